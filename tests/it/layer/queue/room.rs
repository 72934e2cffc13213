//! Turns where there is no room to record, or nothing to share.

use super::*;

#[tokio::test(start_paused = true)]
async fn without_room_to_record_so_many_call_at_a_time_until_there_is_some() {
    let layer = layer(1).response_limits(ResponseLimits::new().max_recording(20));
    let (one, stream) = by_hand();
    let stream = std::sync::Mutex::new(Some(stream));
    let gate = Gate::new();
    let inner = {
        let gate = gate.clone();
        Inner::new(move |_, call| {
            let (gate, stream) = (gate.clone(), stream.lock().unwrap().take());
            async move {
                match stream {
                    Some(stream) => Ok(with(streamed(stream), "cache-control", "max-age=60")),
                    None => {
                        gate.pass().await;
                        Ok(fresh(format!("call {call}")))
                    }
                }
            }
        })
    };
    let node = layer.layer(inner.clone());
    let first = send(&node, get("/a"));
    settle().await;
    one.send(data("twenty bytes of body")).expect("a reader");
    settle().await;
    let others: Vec<_> = (0..10).map(|_| send(&node, get("/b"))).collect();
    gate.reached_by(1).await;
    settle().await;
    assert_eq!((gate.reached(), layer.handle().stats().queued), (1, 9));

    drop(one);
    assert_eq!(answer(first).await.body, "twenty bytes of body");
    gate.reached_by(2).await;
    settle().await;
    // One leads, and the others wait for it.
    assert_eq!((gate.reached(), layer.handle().stats().queued), (2, 0));
    gate.open();
    let mut all = bodies(others).await;
    all.sort();
    assert_eq!(all[..2], ["call 2", "call 3"]);
    assert!(all[2..].iter().all(|body| body == "call 3"), "{all:?}");
    assert_eq!(layer.handle().stats().recorded_bytes, 0);
}

#[tokio::test(start_paused = true)]
async fn a_response_without_room_lets_those_who_waited_call_in_turn() {
    let layer = layer(2).response_limits(ResponseLimits::new().max_recording(30));
    let (one, stream) = by_hand();
    let stream = std::sync::Mutex::new(Some(stream));
    let (head, body) = (Gate::new(), Gate::new());
    let inner = {
        let (head, body) = (head.clone(), body.clone());
        Inner::new(move |_, call| {
            let (head, body, stream) = (head.clone(), body.clone(), stream.lock().unwrap().take());
            async move {
                if let Some(stream) = stream {
                    return Ok(with(streamed(stream), "cache-control", "max-age=60"));
                }
                match call {
                    2 => head.pass().await,
                    _ => body.pass().await,
                }
                let reply = parts([data(format!("call {call} with some bytes"))]);
                Ok(with(reply, "cache-control", "max-age=60"))
            }
        })
    };
    let node = layer.layer(inner.clone());
    let first = send(&node, get("/a"));
    settle().await;
    one.send(data("twenty bytes of body")).expect("a reader");
    settle().await;
    let leader = send(&node, get("/b"));
    head.reached_by(1).await;
    let waiting: Vec<_> = (0..20).map(|_| send(&node, get("/b"))).collect();
    settle().await;
    head.open();
    assert_eq!(answer(leader).await.body, "call 2 with some bytes");
    body.reached_by(2).await;
    settle().await;
    // Two have turns. The memory that the leader gave back lets at most one more try to lead.
    assert!(body.reached() <= 3, "{} calls at once", body.reached());
    body.open();
    drop(one);
    answer(first).await;
    bodies(waiting).await;
    settle().await;
    let stats = layer.handle().stats();
    assert_eq!((stats.queued, stats.waiting, stats.recorded_bytes), (0, 0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_for_one_client_only_is_called_for_in_turn_beyond_the_limit() {
    let (first, others) = (Gate::new(), Gate::new());
    let gates = (first.clone(), others.clone());
    let inner = Inner::new(move |_, call| {
        let (first, others) = gates.clone();
        async move {
            if call == 1 { first } else { others }.pass().await;
            Ok(with(text(format!("call {call}")), "cache-control", "private"))
        }
    });
    let layer = layer(2)
        .limits(Limits::new().max_waiters(1))
        .privacy(Privacy::new().pass_marker(Duration::ZERO));
    let node = layer.layer(inner.clone());
    let leader = send(&node, get("/"));
    first.reached_by(1).await;
    let waiter = send(&node, get("/"));
    settle().await;
    let more: Vec<_> = (0..20).map(|_| send(&node, get("/"))).collect();
    others.reached_by(2).await;
    first.open();
    answer(leader).await;
    settle().await;
    // The caller that waited as it may goes its own way; a caller that is in line still has to wait.
    assert_eq!((others.reached(), layer.handle().stats().queued), (3, 18));
    others.open();
    answer(waiter).await;
    bodies(more).await;
    assert_eq!(inner.calls(), 22);
}

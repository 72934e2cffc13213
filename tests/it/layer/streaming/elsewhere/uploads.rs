//! What is uploaded of a response, and what is not.

use super::*;

#[tokio::test]
async fn nothing_is_uploaded_where_no_one_follows_elsewhere() {
    let mut counts = Vec::new();
    for whom in [StreamFollowers::Process, StreamFollowers::Cluster] {
        let inner = Inner::replying(|call| {
            let parts = (0..3).map(move |n| data(format!("{call} {n}")));
            with(
                streamed(futures_util::stream::iter(parts)),
                "cache-control",
                "max-age=60",
            )
        });
        let server = RedisServer::start();
        let (_, node) = node_of(&server, &inner, |layer| layer.stream_followers(whom)).await;
        // What a process does once.
        whole(open(&node, get("/first")).await).await;
        eventually("what is stored", || server.stored().len() == 1).await;
        let channels = || server.cli(&["PUBSUB", "CHANNELS", "layer/ctl:{:part *"]);
        eventually("a process that can be asked", || {
            whom == StreamFollowers::Process || !channels().is_empty()
        })
        .await;
        server.reset_commandstats();
        for n in 0..20 {
            whole(open(&node, get(&format!("/{n}"))).await).await;
        }
        eventually("what is stored", || server.stored().len() == 21).await;
        let mut stats = server.commandstats();
        stats.retain(|name, _| !["ping", "config|resetstat", "info"].contains(&name.as_str()));
        counts.push(stats);
    }
    assert_eq!(counts[0], counts[1]);
}

#[tokio::test]
async fn a_body_that_is_longer_than_what_may_be_stored_is_read_along() {
    let (sender, inner) = growing(plain);
    let pair = Pair::with(&inner, |layer| {
        layer.response_limits(ResponseLimits::new().max_body(100_000))
    })
    .await;
    let (leader, follower) = pair.reading().await;
    let (leader, follower) = (read_on(leader), read_on(follower));
    const PIECES: usize = 400;
    for n in 0..PIECES {
        let piece = Bytes::from(vec![b'a' + (n % 26) as u8; 64 * 1024]);
        sender.send(data(piece)).expect("a reader");
        if n % 20 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
            let held: u64 = pair
                .layers
                .iter()
                .map(|layer| layer.handle().stats().recorded_bytes)
                .sum();
            assert!(held <= 2 * (100_000 + 2 * 64 * 1024), "{held}");
        }
    }
    sender.send(trailers("x-cost", "7")).expect("a reader");
    drop(sender);
    let (leader, follower) = (read(leader).await, read(follower).await);
    assert_eq!(leader.body.len(), PIECES * 64 * 1024);
    assert_eq!(leader.body, follower.body);
    assert_eq!(follower.trailers.expect("trailers")["x-cost"], "7");
    assert!(
        !pair.has(VALUE)
            || !pair
                .server
                .cli(&["STRLEN", VALUE])
                .trim()
                .parse::<usize>()
                .is_ok_and(|length| length > 1000)
    );
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn a_body_of_some_megabytes_is_uploaded_once_and_stored() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, follower) = pair.reading().await;
    let (leader, follower) = (read_on(leader), read_on(follower));
    for n in 0..100 {
        let piece = Bytes::from(vec![b'a' + (n % 26) as u8; 50_000]);
        sender.send(data(piece)).expect("a reader");
    }
    drop(sender);
    let (leader, follower) = (read(leader).await, read(follower).await);
    assert_eq!(leader.body.len(), 5_000_000);
    assert_eq!(leader.body, follower.body);
    eventually("a value", || pair.has(VALUE)).await;
    let received: u64 = info(&pair.server, "total_net_input_bytes");
    assert!(received < 5_500_000, "{received} bytes");
    for node in [&pair.here, &pair.there] {
        assert_eq!(whole(open(node, get("/")).await).await.body, leader.body);
    }
    assert_eq!(inner.calls(), 1);
}

fn info(server: &RedisServer, name: &str) -> u64 {
    let info = server.cli(&["INFO"]);
    let line = info.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
    line.and_then(|number| number.trim().parse().ok()).expect("a number")
}

#[tokio::test]
async fn a_follower_whose_layer_does_not_read_along_waits_for_the_end() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading().await;
    let (other, node) = node_of(&pair.server, &inner, |layer| {
        layer.stream_followers(StreamFollowers::Off)
    })
    .await;
    let waiting = open_later(&node);
    give(&sender, "one");
    assert_eq!(some(&mut follower, 3).await, "one");
    eventually("one who waits", || other.handle().stats().waiting == 1).await;
    assert!(!waiting.is_finished());
    drop(sender);
    assert_eq!(
        whole(within("a head", waiting).await.expect("no panic")).await.body,
        "one"
    );
    assert_eq!(whole(leader).await.body, "one");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn a_leader_whose_layer_shows_nothing_is_waited_for() {
    let (sender, inner) = growing(plain);
    let server = RedisServer::start();
    let (_, here) = node_of(&server, &inner, |layer| {
        layer.stream_followers(StreamFollowers::Process)
    })
    .await;
    let (_, there) = node_of(&server, &inner, |layer| layer).await;
    let leader = open(&here, get("/")).await;
    let follower = open_later(&there);
    give(&sender, "one");
    drop(sender);
    assert_eq!(
        whole(within("a head", follower).await.expect("no panic")).await.body,
        "one"
    );
    assert_eq!(whole(leader).await.body, "one");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn a_client_that_stops_reading_a_long_body_breaks_off_and_the_others_read_on() {
    const PIECES: usize = 600;
    let (sender, inner) = growing(plain);
    let pair = Pair::with(&inner, |layer| {
        layer.response_limits(ResponseLimits::new().max_body(100_000))
    })
    .await;
    let (leader, mut slow) = pair.reading().await;
    let (_, third) = node_of(&pair.server, &inner, |layer| {
        layer.response_limits(ResponseLimits::new().max_body(100_000))
    })
    .await;
    let quick = open(&pair.there, get("/")).await;
    let elsewhere = open(&third, get("/")).await;
    let readers = [leader, quick, elsewhere].map(read_on);
    give(&sender, "one");
    assert_eq!(some(&mut slow, 3).await, "one");
    for _ in 0..PIECES {
        sender.send(data(vec![b'x'; 64 * 1024])).expect("a reader");
    }
    drop(sender);
    for reader in readers {
        assert_eq!(read(reader).await.body.len(), 3 + PIECES * 64 * 1024);
    }
    fails(slow).await;
    assert_eq!(inner.calls(), 1);
}

#[tokio::test]
async fn what_is_shared_and_not_stored_is_read_along_too() {
    let (sender, inner) = growing(|mut reply, _| {
        reply.headers_mut().remove("cache-control");
        reply
    });
    let pair = Pair::of(&inner).await;
    let (leader, follower) = pair.reading_one(&sender).await;
    let large = Bytes::from(vec![b'x'; 2_000_000]);
    let follower = read_on(follower);
    sender.send(data(large.clone())).expect("a reader");
    drop(sender);
    assert_eq!(whole(leader).await.body.len(), 2_000_003);
    assert_eq!(read(follower).await.body, large);
    assert!(!pair.has(VALUE) && !pair.has(PART));
    assert_eq!(inner.calls(), 1);
}

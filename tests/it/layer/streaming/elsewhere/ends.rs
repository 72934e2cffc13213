//! How a response that is read along elsewhere ends before its time, and what is left of it.

use super::*;

#[tokio::test]
async fn a_response_that_breaks_off_does_so_for_followers_elsewhere() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, follower) = pair.reading_one(&sender).await;
    sender.send(Err(Broken("on purpose"))).expect("a reader");
    fails(leader).await;
    fails(follower).await;
    assert!(!pair.has(VALUE));
    eventually("nothing left", || !pair.has(PART) && !pair.has(LOCK)).await;
    assert_eq!(whole(open(&pair.there, get("/")).await).await.body, "2");
}

#[tokio::test]
async fn an_invalidation_breaks_it_off_and_nothing_of_it_is_stored() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, follower) = pair.reading_one(&sender).await;
    let leader = read_on(leader);
    pair.layers[1]
        .handle()
        .invalidate(&key("/"))
        .await
        .expect("an invalidation");
    assert_eq!(
        whole(open(&pair.there, get("/")).await).await.body,
        "2",
        "of a run of its own"
    );
    give(&sender, "two");
    drop(sender);
    fails(follower).await;
    assert_eq!(read(leader).await.body, "onetwo");
    assert_eq!(whole(open(&pair.here, get("/")).await).await.body, "2");
    assert_eq!(whole(open(&pair.there, get("/")).await).await.body, "2");
}

#[tokio::test]
async fn trailers_that_make_it_private_break_it_off() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, follower) = pair.reading_one(&sender).await;
    sender.send(trailers("set-cookie", "id=1")).expect("a reader");
    drop(sender);
    assert!(whole(leader).await.trailers.is_some());
    fails(follower).await;
    // What readers have read is a hash, for a while.
    let has = |command: &[&str]| pair.server.try_cli(command).is_ok_and(|what| what.contains("id=1"));
    for key in pair.server.keys() {
        assert!(
            !has(&["GETRANGE", &key, "0", "-1"]) && !has(&["HGETALL", &key]),
            "{key}"
        );
    }
}

#[tokio::test]
async fn a_leader_that_lost_its_lock_appends_nothing() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, follower) = pair.reading_one(&sender).await;
    let before = pair.server.cli(&["STRLEN", PART]);
    pair.server.cli(&["SET", LOCK, "somebody else", "PX", "600"]);
    let leader = read_on(leader);
    give(&sender, "two");
    fails(follower).await;
    let after = pair.server.cli(&["STRLEN", PART]);
    assert!(after == before || after.trim() == "0", "{after}");
    drop(sender);
    assert_eq!(read(leader).await.body, "onetwo");
    assert!(!pair.has(VALUE));
}

#[tokio::test]
async fn a_part_of_an_earlier_leader_is_no_ones() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, follower) = pair.reading_one(&sender).await;
    // As if it had died, and its lease had ended.
    pair.server.cli(&["COPY", PART, "saved"]);
    pair.server.cli(&["DEL", LOCK]);
    fails(follower).await;
    drop(leader);
    pair.server.cli(&["COPY", "saved", PART, "REPLACE"]);
    pair.server
        .cli(&["SET", LOCK, &"0123456789abcdef".repeat(2), "PX", "1500"]);
    let late = whole(open(&pair.there, get("/")).await).await;
    assert_eq!(late.body, "2");
    drop(sender);
}

#[tokio::test]
async fn a_reply_that_is_dropped_leaves_nothing_behind() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (leader, follower) = pair.reading_one(&sender).await;
    drop(follower);
    drop(sender);
    assert_eq!(whole(leader).await.body, "one");
    eventually("nothing held", || {
        pair.layers.iter().all(|layer| {
            let stats = layer.handle().stats();
            (stats.waiting, stats.in_flight, stats.recorded_bytes) == (0, 0, 0)
        })
    })
    .await;
    assert!(pair.has(VALUE) && !pair.has(PART));
}

#[tokio::test]
async fn the_end_reaches_a_follower_as_an_error_of_the_body() {
    let (sender, inner) = growing(plain);
    let pair = Pair::of(&inner).await;
    let (_leader, mut follower) = pair.reading().await;
    sender.send(Err(Broken("on purpose"))).expect("a reader");
    let end = within("an end", follower.body_mut().frame()).await;
    assert!(end.is_some_and(|end| end.is_err()));
}

#[tokio::test]
async fn a_tag_that_is_invalidated_is_nothing_to_those_who_come_later() {
    let (sender, inner) = growing(|reply, _| with(reply, "cache-groups", "\"news\""));
    let pair = Pair::of(&inner).await;
    let (leader, follower) = pair.reading_one(&sender).await;
    pair.layers[1]
        .handle()
        .invalidate_tags(["news"])
        .await
        .expect("an invalidation");
    // It waits for the end, and then asks again.
    let late = open_later(&pair.there);
    eventually("one who waits", || pair.layers[1].handle().stats().waiting == 1).await;
    give(&sender, "two");
    drop(sender);
    assert_eq!(whole(leader).await.body, "onetwo");
    assert_eq!(whole(within("a head", late).await.expect("no panic")).await.body, "2");
    drop(follower);
}

#[tokio::test]
async fn what_is_softly_invalidated_goes_on_for_those_who_read_and_is_stale() {
    let (sender, inner) = growing(|reply, _| with(reply, "cache-control", "stale-while-revalidate=60"));
    let pair = Pair::of(&inner).await;
    let (leader, mut follower) = pair.reading_one(&sender).await;
    pair.layers[1]
        .handle()
        .invalidate(&key("/"))
        .soft()
        .await
        .expect("an invalidation");
    give(&sender, "two");
    assert_eq!(some(&mut follower, 3).await, "two");
    let large = Bytes::from(vec![b'x'; 100_000]);
    sender.send(data(large.clone())).expect("a reader");
    drop(sender);
    assert_eq!(whole(leader).await.body.len(), 6 + 100_000);
    assert_eq!(whole(follower).await.body, large);
    eventually("a value", || pair.has(VALUE)).await;
    let stale = whole(open(&pair.there, get("/")).await).await;
    assert_eq!(stale.body.len(), 6 + 100_000);
    eventually("a new one", || inner.calls() == 2).await;
}

//! What is on its way from Redis when a watch begins is not for it.

use bytes::Bytes;
use tower_memolock::store::{Notice, Watch};
use tower_memolock::{Address, Key, Store, Tag};

use crate::support::{RedisServer, within};

/// What a watch hears first, apart from reminders to read.
async fn heard(watch: &mut impl Watch) -> Bytes {
    loop {
        match within("a notice", watch.next()).await {
            Notice::Reread => {}
            Notice::Stored(value) => return value.bytes().unwrap(),
            other => panic!("{other:?}"),
        }
    }
}

/// One thread: what is published while it is blocked lies in the connection until it is free again.
#[tokio::test]
async fn a_watch_of_redis_does_not_hear_what_was_on_its_way_when_it_began() {
    let redis = RedisServer::start();
    let store = redis.store().await;
    let at = Address::new(&Tag::new("t").unwrap(), &Key::new("a").unwrap());
    let mut early = store.watch(&at);
    assert!(matches!(within("a notice", early.next()).await, Notice::Reread));

    redis.cli(&["PUBLISH", "t/ctl:a", "value old"]);
    let mut late = store.watch(&at);
    assert_eq!(heard(&mut early).await, "old");
    assert!(matches!(within("a notice", late.next()).await, Notice::Reread));
    redis.cli(&["PUBLISH", "t/ctl:a", "value new"]);
    assert_eq!(heard(&mut late).await, "new");

    drop(early);
    drop(late);
    // The subscription ends, or has ended.
    redis.cli(&["PUBLISH", "t/ctl:a", "value old"]);
    let mut last = store.watch(&at);
    assert!(matches!(within("a notice", last.next()).await, Notice::Reread));
    redis.cli(&["PUBLISH", "t/ctl:a", "value newer"]);
    assert_eq!(heard(&mut last).await, "newer");
}

//! Foreign waiters, which take each payload on `T/notif:*` for a value.

use std::future::{Ready, ready};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::PubSub;
use tower_memolock::{ErrorKind, Lease, MemoLock};

use super::fixture::World;
use crate::support::within;

/// Hears everything that is published, as clients in Go and C# do.
struct Listener(PubSub);

impl Listener {
    async fn start(world: &World) -> Self {
        let client = redis::Client::open(world.redis.url()).expect("a url");
        let mut pubsub = client.get_async_pubsub().await.expect("a connection");
        pubsub.psubscribe("likes/notif:*").await.expect("a subscription");
        Self(pubsub)
    }

    async fn next(&mut self) -> (String, Vec<u8>) {
        let message = within("a message", self.0.on_message().next())
            .await
            .expect("a message");
        (
            message.get_channel_name().to_owned(),
            message.get_payload_bytes().to_vec(),
        )
    }
}

/// What is published, in order: the id, and the payload.
type Published = Vec<(&'static str, Vec<u8>)>;

fn compute(value: impl Into<Bytes>) -> impl FnOnce() -> Ready<Result<Bytes, String>> + Send + 'static {
    let value = value.into();
    move || ready(Ok(value))
}

async fn values_are_stored(world: &World, here: &MemoLock) -> Published {
    let stored: [(&str, Vec<u8>); 4] = [
        ("plain", b"a value".to_vec()),
        ("empty", Vec::new()),
        ("bytes", b"\0\xff\r\nvalue \xd5MLS".to_vec()),
        // Above every limit for what is sent inline.
        ("long", b"x".repeat(3 << 20)),
    ];
    for (id, bytes) in &stored {
        here.get_or_compute(*id, compute(bytes.clone())).await.unwrap();
        assert_eq!(world.get(&format!("likes:{id}")).await.unwrap(), *bytes, "{id}");
    }
    stored.into()
}

async fn computations_come_to_nothing(here: &MemoLock, there: &MemoLock) {
    let failing = || async { Err::<Bytes, _>("no database".to_owned()) };
    let failed = here.get_or_compute("failed", failing).await;
    assert!(matches!(failed, Err(error) if error.kind() == ErrorKind::Computation));
    let panicking = || async {
        if true {
            panic!("on purpose");
        }
        Ok::<Bytes, String>(Bytes::new())
    };
    let panicked = here.get_or_compute("panicked", panicking).await;
    assert!(matches!(panicked, Err(error) if error.kind() == ErrorKind::Panicked));
    let invalidating = there.clone();
    let losing = || async move {
        let lease = Lease::take().await;
        invalidating.invalidate("lost").await.unwrap();
        lease.extend(Duration::from_secs(1)).await.map(|()| Bytes::from("lost"))
    };
    let lost = here.get_or_compute("lost", losing).await;
    assert!(matches!(lost, Err(error) if error.kind() == ErrorKind::Computation));
}

async fn values_are_shared_and_tagged(here: &MemoLock, there: &MemoLock) -> Published {
    // Not stored, but for all waiters of this moment.
    let sharing = here.clone().ttl(Duration::ZERO);
    sharing.get_or_compute("shared", compute("passing")).await.unwrap();
    there.invalidate("plain").await.unwrap();
    // What has tags is not for them: it has a stamp in front.
    for (memo, id) in [(here.clone(), "tagged"), (sharing, "tagged and shared")] {
        let memo = memo.tags_of(|_, _| ["a"]);
        memo.get_or_compute(id, compute("tagged")).await.unwrap();
    }
    there.invalidate_tags(["a"]).await.unwrap();
    vec![("shared", b"passing".to_vec())]
}

async fn promises_are_resolved(here: &MemoLock, there: &MemoLock) -> Published {
    let seconds = Duration::from_secs(9);
    there.resolve("resolved", "at once".into(), seconds).await.unwrap();
    let passing = there.resolve("resolved", "passing".into(), Duration::ZERO);
    passing.await.unwrap();
    let worker = there.clone();
    let request = move || {
        let worker = worker.clone();
        async move { worker.resolve("requested", "work".into(), seconds).await }
    };
    assert_eq!(here.get_or_request("requested", request).await.unwrap(), "work");
    here.shutdown(Duration::ZERO).await;
    there.resolve("end", "end".into(), Duration::ZERO).await.unwrap();
    vec![
        ("resolved", b"at once".to_vec()),
        ("resolved", b"passing".to_vec()),
        ("requested", b"work".to_vec()),
        ("end", b"end".to_vec()),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn they_hear_our_values_to_the_letter_and_nothing_else() {
    let world = World::new().await;
    let mut listener = Listener::start(&world).await;
    let [here, there, ..] = &world.nodes[..] else {
        panic!("too few nodes");
    };
    let stored = values_are_stored(&world, here).await;
    computations_come_to_nothing(here, there).await;
    let shared = values_are_shared_and_tagged(here, there).await;
    let resolved = promises_are_resolved(here, there).await;
    for (id, bytes) in stored.into_iter().chain(shared).chain(resolved) {
        let (channel, payload) = listener.next().await;
        assert_eq!(channel, format!("likes/notif:{id}"));
        assert!(payload == bytes, "{id}: {} bytes", payload.len());
    }
}

//! Foreign waiters, which take each payload on `T/notif:*` for a value.

use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt;
use redis::aio::PubSub;
use tower_memolock::{ErrorKind, Lease};

use super::fixture::World;
use crate::support::within;

/// Hears whatever is published, as Go and C# do.
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

#[tokio::test(flavor = "multi_thread")]
async fn they_hear_our_values_to_the_letter_and_nothing_else() {
    let world = World::new().await;
    let mut listener = Listener::start(&world).await;
    let [here, there, ..] = &world.nodes[..] else {
        panic!("too few nodes");
    };
    let value = |bytes: &[u8]| Bytes::copy_from_slice(bytes);
    let long = "x".repeat(3 << 20);
    let mut expected: Vec<(&str, Vec<u8>)> = Vec::new();

    let stored: [(&str, &[u8]); 4] = [
        ("plain", b"a value"),
        ("empty", b""),
        ("bytes", b"\0\xff\r\nvalue \xd5MLS"),
        // Above every limit for what is sent inline.
        ("long", long.as_bytes()),
    ];
    for (id, bytes) in stored {
        let computed = value(bytes);
        let compute = move || async move { Ok::<_, String>(computed) };
        here.get_or_compute(id, compute).await.unwrap();
        assert_eq!(world.get(&format!("likes:{id}")).await.unwrap(), bytes, "{id}");
        expected.push((id, bytes.to_vec()));
    }
    let failed = here
        .get_or_compute("failed", || async { Err::<Bytes, _>("no database".to_owned()) })
        .await;
    assert!(matches!(failed, Err(error) if error.kind() == ErrorKind::Computation));
    let panicked = here
        .get_or_compute("panicked", || async {
            if true {
                panic!("on purpose");
            }
            Ok::<Bytes, String>(Bytes::new())
        })
        .await;
    assert!(matches!(panicked, Err(error) if error.kind() == ErrorKind::Panicked));
    // Not stored, but for all waiters of this moment.
    let sharing = here.clone().ttl(Duration::ZERO);
    let compute = |value: &'static str| move || async move { Ok::<_, String>(Bytes::from(value)) };
    sharing.get_or_compute("shared", compute("passing")).await.unwrap();
    expected.push(("shared", b"passing".to_vec()));
    there.invalidate("plain").await.unwrap();
    // What has tags is not for them: it has a stamp in front.
    for (memo, id) in [(here.clone(), "tagged"), (sharing, "tagged and shared")] {
        let memo = memo.tags_of(|_, _| ["a"]);
        memo.get_or_compute(id, compute("tagged")).await.unwrap();
    }
    there.invalidate_tags(["a"]).await.unwrap();
    let invalidating = there.clone();
    let lost = here
        .get_or_compute("lost", || async move {
            let lease = Lease::take().await;
            invalidating.invalidate("lost").await.unwrap();
            lease.extend(Duration::from_secs(1)).await.map(|()| Bytes::from("lost"))
        })
        .await;
    assert!(matches!(lost, Err(error) if error.kind() == ErrorKind::Computation));
    there
        .resolve("resolved", "at once".into(), Duration::from_secs(9))
        .await
        .unwrap();
    expected.push(("resolved", b"at once".to_vec()));
    there
        .resolve("resolved", "passing".into(), Duration::ZERO)
        .await
        .unwrap();
    expected.push(("resolved", b"passing".to_vec()));
    let requested = {
        let there = there.clone();
        let request = move || {
            let there = there.clone();
            async move { there.resolve("requested", "work".into(), Duration::from_secs(9)).await }
        };
        here.get_or_request("requested", request).await
    };
    assert_eq!(requested.unwrap(), "work");
    expected.push(("requested", b"work".to_vec()));
    here.shutdown(Duration::ZERO).await;
    there.resolve("end", "end".into(), Duration::ZERO).await.unwrap();
    expected.push(("end", b"end".to_vec()));

    for (id, bytes) in expected {
        let (channel, payload) = listener.next().await;
        assert_eq!(channel, format!("likes/notif:{id}"));
        assert!(payload == bytes, "{id}: {} bytes", payload.len());
    }
}

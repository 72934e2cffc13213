use tokio::time::Instant;

use super::super::mailbox::Mailbox;
use super::super::registry::SubscriptionChange;
use super::*;
use crate::key::{Address, Key, Tag};
use crate::store::notice::Notice;
use crate::store::redis::near::Near;
use crate::store::redis::protocol::keyspace::Keyspace;

const CONTROL: &str = "t/ctl:id";

/// Two values of an array, as the server pushes them.
fn push(kind: PushKind, channel: &str, what: Reply) -> Push {
    let data = vec![Reply::BulkString(channel.into()), what];
    Push { kind, data }
}

/// A hub with one watcher, whose channels the server has confirmed.
fn watched() -> (Hub, Address, Arc<Mailbox>) {
    let hub = Hub::default();
    let address = Address::new(&Tag::new("t").unwrap(), &Key::new("id").unwrap());
    hub.connect(1);
    let watcher = attach(&hub, &address);
    for channel in ["t/notif:id", CONTROL] {
        hub.receive(1, push(PushKind::Subscribe, channel, Reply::Int(1)));
    }
    assert!(matches!(watcher.try_next(), Some(Notice::Reread)));
    (hub, address, watcher)
}

/// One more watcher, of which the server is told.
fn attach(hub: &Hub, address: &Address) -> Arc<Mailbox> {
    let mailbox = Arc::new(Mailbox::default());
    hub.registry().attach(Keyspace::new(address, 0), Arc::clone(&mailbox));
    hub.registry().take_changes();
    mailbox
}

#[tokio::test]
async fn a_subscription_that_the_server_ends_is_asked_for_again() {
    let (hub, _, _watcher) = watched();
    let is_woken = || std::pin::pin!(hub.changed.notified()).enable();
    assert!(!is_woken());
    hub.receive(1, push(PushKind::Unsubscribe, CONTROL, Reply::Int(1)));
    assert!(is_woken());
    let changes = hub.registry().take_changes().0;
    assert_eq!(changes, [SubscriptionChange::Subscribe(CONTROL.into())]);
}

#[test]
fn the_end_of_a_subscription_is_no_fence() {
    let (hub, address, _watcher) = watched();
    let late = attach(&hub, &address);
    hub.receive(1, push(PushKind::Unsubscribe, "t/ctl:other", Reply::Int(1)));
    assert!(late.try_next().is_none());
    hub.receive(1, push(PushKind::Unsubscribe, FENCE, Reply::Int(1)));
    assert!(matches!(late.try_next(), Some(Notice::Reread)));
}

#[test]
fn what_an_earlier_connection_brings_is_ignored() {
    let (hub, _, watcher) = watched();
    hub.disconnect(1);
    hub.connect(2);
    hub.registry().take_changes();
    assert!(matches!(watcher.try_next(), Some(Notice::Reread)));
    for (connection, hears) in [(1, false), (2, true)] {
        for channel in ["t/notif:id", CONTROL] {
            hub.receive(connection, push(PushKind::Subscribe, channel, Reply::Int(1)));
        }
        assert_eq!(watcher.try_next().is_some(), hears);
    }
}

#[test]
fn a_fence_parts_the_messages_before_it_from_those_after_it() {
    let (hub, address, _first) = watched();
    let late = attach(&hub, &address);
    let message = || push(PushKind::Message, CONTROL, Reply::BulkString(b"invalidated".to_vec()));
    hub.receive(1, message());
    assert!(late.try_next().is_none());
    // Both messages are there before any task runs.
    hub.receive(1, push(PushKind::Unsubscribe, FENCE, Reply::Int(2)));
    hub.receive(1, message());
    assert!(matches!(late.try_next(), Some(Notice::Reread)));
    assert!(matches!(late.try_next(), Some(Notice::Invalidated)));
    assert!(late.try_next().is_none());
}

/// A hub of a node of a cluster with one watcher, and what it tells of trouble.
fn of_cluster() -> (Hub, Arc<Notify>, Arc<Mailbox>) {
    let trouble = Arc::<Notify>::default();
    let (near, _owed) = Near::new(0, Some((1 << 20, std::time::Duration::from_secs(1))));
    let hub = Hub::of_cluster(Arc::clone(&trouble), near.feed());
    hub.connect(1);
    let address = Address::new(&Tag::new("t").unwrap(), &Key::builder().part("a").part("b").build());
    let watcher = attach(&hub, &address);
    (hub, trouble, watcher)
}

/// Whether it was told since the last call.
fn is_told(notify: &Notify) -> bool {
    std::pin::pin!(notify.notified()).enable()
}

#[tokio::test]
async fn the_end_of_a_connection_is_trouble_and_wakes_the_task() {
    let (hub, trouble, watcher) = of_cluster();
    let data = Vec::new();
    hub.receive(
        1,
        Push {
            kind: PushKind::Disconnection,
            data,
        },
    );
    assert!(is_told(&trouble) && is_told(&hub.disconnected));
    assert!(matches!(watcher.try_next(), Some(Notice::Reread)));
}

#[tokio::test]
async fn a_slot_that_leaves_its_node_is_trouble_and_a_subscription_that_was_given_up_is_none() {
    let (hub, trouble, _watcher) = of_cluster();
    let channel = "t/ctl:{a b}";
    hub.receive(1, push(PushKind::SSubscribe, channel, Reply::Int(1)));
    hub.receive(1, push(PushKind::SUnsubscribe, channel, Reply::Int(0)));
    assert!(is_told(&trouble));
    // It is subscribed to again, wherever it is by then.
    let changes = hub.registry().take_changes().0;
    assert_eq!(changes, [SubscriptionChange::Subscribe(channel.into())]);
    hub.receive(1, push(PushKind::SSubscribe, channel, Reply::Int(1)));
    let address = Address::new(&Tag::new("t").unwrap(), &Key::builder().part("c").part("d").build());
    let id = hub.registry().attach(Keyspace::new(&address, 0), Arc::default());
    hub.registry().take_changes();
    for channel in ["t/notif:{c d}", "t/ctl:{c d}"] {
        hub.receive(1, push(PushKind::SSubscribe, channel, Reply::Int(1)));
    }
    hub.registry().detach(id, Instant::now());
    hub.registry().take_changes();
    hub.receive(1, push(PushKind::SUnsubscribe, "t/ctl:{c d}", Reply::Int(0)));
    assert!(!is_told(&trouble));
}

#[tokio::test]
async fn near_copies_hear_what_is_theirs_and_a_slot_of_theirs_that_leaves_is_trouble() {
    let (hub, trouble, watcher) = of_cluster();
    let channel = "t/ctl:{t}/near";
    for kind in [PushKind::SSubscribe, PushKind::Unsubscribe, PushKind::SMessage] {
        hub.receive(1, push(kind, channel, Reply::BulkString(b"tags".to_vec())));
        assert!(!is_told(&trouble) && watcher.try_next().is_none());
    }
    hub.receive(1, push(PushKind::SUnsubscribe, channel, Reply::Int(0)));
    assert!(is_told(&trouble));
}

#[test]
fn sharded_channels_are_those_of_ids_from_several_parts_in_a_cluster() {
    let (of_cluster, ..) = of_cluster();
    for (hub, names) in [
        (&Hub::default(), ["SUBSCRIBE", "UNSUBSCRIBE"]),
        (&of_cluster, ["SSUBSCRIBE", "SUNSUBSCRIBE"]),
    ] {
        assert_eq!([true, false].map(|on| hub.command(on, "t/ctl:{a b}")), names);
        assert_eq!(
            [true, false].map(|on| hub.command(on, CONTROL)),
            ["SUBSCRIBE", "UNSUBSCRIBE"]
        );
    }
}

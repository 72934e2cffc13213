mod lingering;
mod refused;
mod shared;

use super::*;
use crate::key::{Address, Key, Tag};

struct Bench {
    registry: Registry,
    address: Address,
    now: Instant,
}

impl Bench {
    fn connected() -> Self {
        let mut registry = Registry::default();
        registry.connect(1);
        let address = Address::new(&Tag::new("t").unwrap(), &Key::new("id").unwrap());
        let now = Instant::now();
        Self { registry, address, now }
    }

    fn attach(&mut self) -> (WatcherId, Arc<Mailbox>) {
        let mailbox = Arc::new(Mailbox::default());
        let keys = Keyspace::new(&self.address, 0);
        let id = self.registry.attach(keys, Arc::clone(&mailbox));
        (id, mailbox)
    }

    /// A watcher whose subscription is confirmed.
    fn subscribe(&mut self) -> (WatcherId, Arc<Mailbox>) {
        let watcher = self.attach();
        self.changes();
        self.confirm(true);
        watcher
    }

    fn detach(&mut self, id: WatcherId) {
        self.registry.detach(id, self.now);
    }

    /// The changes as `+channel`, `-channel`, and `|` for a fence.
    fn changes(&mut self) -> Vec<String> {
        let name = |change| match change {
            SubscriptionChange::Subscribe(name) => format!("+{name}"),
            SubscriptionChange::Unsubscribe(name) => format!("-{name}"),
            SubscriptionChange::Fence => "|".to_owned(),
        };
        self.registry.take_changes().0.into_iter().map(name).collect()
    }

    fn confirm(&mut self, subscribed: bool) {
        self.registry.confirm("t/notif:id", subscribed);
        self.registry.confirm("t/ctl:id", subscribed);
    }

    fn is_empty(&self) -> bool {
        self.registry.topics.is_empty() && self.registry.channels.is_empty()
    }
}

fn heard(mailbox: &Mailbox) -> Vec<Notice> {
    std::iter::from_fn(|| mailbox.try_next()).collect()
}

fn rereads(mailbox: &Mailbox) -> usize {
    let heard = heard(mailbox);
    assert!(heard.iter().all(|n| matches!(n, Notice::Reread)), "{heard:?}");
    heard.len()
}

#[test]
fn the_first_notice_needs_both_confirmations() {
    let mut bench = Bench::connected();
    let (_, mailbox) = bench.attach();
    assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
    bench.registry.confirm("t/ctl:id", true);
    assert_eq!(rereads(&mailbox), 0);
    bench.registry.confirm("t/notif:id", true);
    assert_eq!(rereads(&mailbox), 1);
}

#[test]
fn a_second_watcher_shares_the_subscription() {
    let mut bench = Bench::connected();
    let (first, _) = bench.subscribe();
    let (second, mailbox) = bench.attach();
    assert_eq!(bench.changes(), ["|"]);
    bench.registry.pass_fence();
    assert_eq!(rereads(&mailbox), 1);
    bench.detach(first);
    assert!(bench.changes().is_empty());
    bench.detach(second);
    assert_eq!(bench.changes(), ["-t/notif:id", "-t/ctl:id"]);
    bench.confirm(false);
    assert!(bench.is_empty());
}

#[test]
fn a_watcher_that_comes_while_unsubscribing_waits_for_the_next_subscription() {
    let mut bench = Bench::connected();
    let (first, _) = bench.subscribe();
    bench.detach(first);
    bench.changes();
    let (_, mailbox) = bench.attach();
    assert!(bench.changes().is_empty());
    bench.confirm(false);
    assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
    assert_eq!(rereads(&mailbox), 0);
    bench.confirm(true);
    assert_eq!(rereads(&mailbox), 1);
}

#[test]
fn a_watcher_that_goes_while_subscribing_is_unsubscribed_afterwards() {
    let mut bench = Bench::connected();
    let (id, _) = bench.attach();
    bench.changes();
    bench.detach(id);
    assert!(bench.changes().is_empty());
    bench.confirm(true);
    assert_eq!(bench.changes(), ["-t/notif:id", "-t/ctl:id"]);
}

#[test]
fn a_lost_connection_is_heard_at_once_and_again_when_repaired() {
    let mut bench = Bench::connected();
    let (_, mailbox) = bench.attach();
    bench.confirm(true);
    bench.changes();
    assert_eq!(rereads(&mailbox), 1);
    bench.registry.disconnect(1);
    assert_eq!(rereads(&mailbox), 1);
    bench.registry.disconnect(1);
    assert_eq!(rereads(&mailbox), 0);
    bench.registry.connect(2);
    assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
    bench.confirm(true);
    assert_eq!(rereads(&mailbox), 1);
}

#[test]
fn a_topic_without_watchers_does_not_outlive_its_connection() {
    let mut bench = Bench::connected();
    let (id, _) = bench.attach();
    bench.detach(id);
    bench.registry.disconnect(1);
    assert!(bench.is_empty());
}

#[test]
fn watchers_of_a_refused_channel_read_for_themselves() {
    let mut bench = Bench::connected();
    let (id, mailbox) = bench.attach();
    let (_, mark) = bench.registry.take_changes();
    bench.registry.confirm("t/notif:id", true);
    assert_eq!(bench.registry.refuse(mark - 2), None);
    assert_eq!(bench.registry.refuse(mark).as_deref(), Some("t/ctl:id"));
    assert_eq!(bench.registry.stats.refused_subscriptions.get(), 1);
    assert_eq!(rereads(&mailbox), 1);
    let (other, mailbox) = bench.attach();
    assert_eq!(bench.changes(), ["|"]);
    bench.registry.pass_fence();
    assert_eq!(rereads(&mailbox), 1);
    bench.detach(id);
    bench.detach(other);
    assert_eq!(bench.changes(), ["-t/notif:id"]);
    bench.registry.confirm("t/notif:id", false);
    assert!(bench.is_empty());
}

#[test]
fn an_unsubscription_that_was_not_asked_for_is_repaired() {
    let mut bench = Bench::connected();
    let (_, mailbox) = bench.attach();
    bench.confirm(true);
    bench.changes();
    heard(&mailbox);
    bench.registry.confirm("t/ctl:id", false);
    assert_eq!(bench.changes(), ["+t/ctl:id"]);
    bench.registry.confirm("t/ctl:id", true);
    assert_eq!(rereads(&mailbox), 1);
}

#[test]
fn messages_reach_those_who_watch_the_address() {
    let mut bench = Bench::connected();
    let (_, mailbox) = bench.subscribe();
    assert_eq!(rereads(&mailbox), 1);
    bench.registry.deliver("t/notif:id", b"stored".to_vec());
    bench.registry.deliver("t/ctl:id", b"value stored".to_vec());
    bench.registry.deliver("t/ctl:id", b"invalidated".to_vec());
    bench.registry.deliver("t/ctl:id", b"gibberish".to_vec());
    bench.registry.deliver("t/ctl/1:id", b"invalidated".to_vec());
    bench.registry.deliver("t/notif:other", b"x".to_vec());
    let heard = heard(&mailbox);
    let [Notice::Announced, Notice::Stored(value), Notice::Invalidated] = &heard[..] else {
        panic!("{heard:?}");
    };
    assert_eq!(value.bytes().unwrap(), "stored");
}

#[test]
fn a_watcher_hears_nothing_that_was_published_before_it_came() {
    let mut bench = Bench::connected();
    let (_, early) = bench.subscribe();
    assert_eq!(rereads(&early), 1);
    let (_, late) = bench.attach();
    assert_eq!(bench.changes(), ["|"]);
    bench.registry.deliver("t/ctl:id", b"invalidated".to_vec());
    assert!(heard(&late).is_empty());
    bench.registry.pass_fence();
    assert_eq!(rereads(&late), 1);
    bench.registry.deliver("t/ctl:id", b"invalidated".to_vec());
    assert_eq!(heard(&late).len(), 1);
    assert_eq!(heard(&early).len(), 2, "and it was not told again to read");
}

#[test]
fn a_watcher_that_comes_while_unsubscribing_does_not_hear_the_last_messages() {
    let mut bench = Bench::connected();
    let (first, _) = bench.subscribe();
    bench.detach(first);
    bench.changes();
    let (_, mailbox) = bench.attach();
    bench.registry.deliver("t/notif:id", b"stored".to_vec());
    bench.confirm(false);
    assert!(heard(&mailbox).is_empty());
}

#[test]
fn a_confirmation_of_what_was_asked_before_a_watcher_came_is_not_for_it() {
    let mut bench = Bench::connected();
    let (_, first) = bench.attach();
    let (_, second) = bench.attach();
    assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
    let (_, third) = bench.attach();
    assert!(bench.changes().is_empty(), "one command a channel");
    bench.confirm(true);
    assert_eq!([rereads(&first), rereads(&second), rereads(&third)], [1, 1, 0]);
    assert_eq!(bench.changes(), ["|"]);
    bench.registry.pass_fence();
    assert_eq!([rereads(&first), rereads(&second), rereads(&third)], [0, 0, 1]);
    assert!(bench.changes().is_empty());
}

#[test]
fn watchers_that_keep_coming_do_not_keep_the_first_one_deaf() {
    let mut bench = Bench::connected();
    let (_, first) = bench.attach();
    bench.changes();
    bench.attach();
    bench.registry.confirm("t/notif:id", true);
    assert_eq!(bench.changes(), ["|"]);
    bench.attach();
    bench.registry.confirm("t/ctl:id", true);
    assert_eq!(rereads(&first), 1);
}

#[test]
fn a_fence_is_for_all_who_came_before_it_was_sent_and_for_no_other() {
    let mut bench = Bench::connected();
    let (_, first) = bench.subscribe();
    assert_eq!(rereads(&first), 1);
    let (_, second) = bench.attach();
    let (_, third) = bench.attach();
    assert_eq!(bench.changes(), ["|"]);
    let (_, fourth) = bench.attach();
    assert_eq!(bench.changes(), ["|"]);
    let heard = |[second, third, fourth]: [&Mailbox; 3]| [rereads(second), rereads(third), rereads(fourth)];
    assert_eq!(heard([&second, &third, &fourth]), [0, 0, 0]);
    bench.registry.pass_fence();
    assert_eq!(heard([&second, &third, &fourth]), [1, 1, 0]);
    bench.registry.pass_fence();
    assert_eq!(heard([&second, &third, &fourth]), [0, 0, 1]);
    assert!(bench.changes().is_empty());
}

#[test]
fn a_fence_that_is_refused_is_a_subscription_once_more() {
    let mut bench = Bench::connected();
    bench.attach();
    bench.changes();
    bench.confirm(true);
    let (_, late) = bench.attach();
    let (changes, mark) = bench.registry.take_changes();
    assert_eq!(changes, [SubscriptionChange::Fence]);
    assert_eq!(bench.registry.refuse(mark), None);
    assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
    bench.confirm(true);
    assert_eq!(rereads(&late), 1);
}

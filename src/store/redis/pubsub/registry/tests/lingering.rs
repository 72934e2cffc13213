use super::super::super::lingering::{self, LINGER};
use super::*;

impl Bench {
    /// Has watchers come and go. The next watcher then finds a subscription that lingers.
    fn warm_up(&mut self) {
        for _ in 0..2 {
            let (id, _) = self.subscribe();
            self.detach(id);
            if !self.changes().is_empty() {
                self.confirm(false);
            }
        }
    }
}

#[test]
fn what_is_watched_again_and_again_stays_subscribed_to() {
    let mut bench = Bench::connected();
    bench.warm_up();
    for _ in 0..5 {
        let (id, mailbox) = bench.attach();
        assert_eq!(bench.changes(), ["|"]);
        bench.registry.deliver("t/ctl:id", b"invalidated".to_vec());
        assert!(heard(&mailbox).is_empty());
        bench.registry.pass_fence();
        assert_eq!(rereads(&mailbox), 1);
        bench.detach(id);
        assert!(bench.changes().is_empty());
    }
    bench.registry.sweep(bench.now + LINGER / 2);
    assert!(bench.changes().is_empty());
    bench.registry.sweep(bench.now + LINGER);
    assert_eq!(bench.changes(), ["-t/notif:id", "-t/ctl:id"]);
    bench.confirm(false);
    assert!(bench.is_empty());
    assert_eq!(bench.registry.lingering.count, 0);
}

#[test]
fn what_lingers_ends_with_the_connection_or_its_subscription() {
    for with_connection in [true, false] {
        let mut bench = Bench::connected();
        bench.warm_up();
        assert_eq!(bench.registry.lingering.count, 1);
        if with_connection {
            bench.registry.disconnect(1);
        } else {
            bench.registry.confirm("t/ctl:id", false);
            assert_eq!(bench.changes(), ["-t/notif:id"]);
            bench.registry.confirm("t/notif:id", false);
        }
        assert_eq!(bench.registry.lingering.count, 0);
        assert!(bench.is_empty());
    }
}

#[test]
fn few_linger_and_none_that_has_not_been_watched_lately() {
    let mut bench = Bench::connected();
    for n in 0..2 * lingering::MOST {
        let id = n.to_string();
        bench.address = Address::new(&Tag::new("t").unwrap(), &Key::new(id.as_str()).unwrap());
        let lingers = |bench: &mut Bench| {
            let (id, _) = bench.attach();
            for change in bench.changes() {
                bench.registry.confirm(&change[1..], true);
            }
            bench.detach(id);
            let left = bench.changes();
            left.iter()
                .for_each(|change| bench.registry.confirm(&change[1..], false));
            left.is_empty()
        };
        assert!(!lingers(&mut bench), "the first time");
        assert_eq!(lingers(&mut bench), n < lingering::MOST);
    }
    let end = bench.now + LINGER;
    bench.registry.sweep(end);
    assert_eq!(bench.registry.lingering.count, 0);
    assert_eq!(bench.changes().len(), 2 * lingering::MOST);
}

use super::*;

#[test]
fn a_watcher_of_channels_that_were_refused_reads_for_itself_at_once() {
    let mut bench = Bench::connected();
    bench.attach();
    let (_, mark) = bench.registry.take_changes();
    assert!(bench.registry.refuse(mark).is_some());
    let (_, mailbox) = bench.attach();
    assert_eq!(rereads(&mailbox), 1);
    assert!(bench.changes().is_empty());
}

#[test]
fn a_refusal_is_counted_and_known_until_it_is_tried_again() {
    let mut bench = Bench::connected();
    bench.attach();
    let (_, mark) = bench.registry.take_changes();
    let count = |bench: &Bench| bench.registry.stats.refused_subscriptions.get();
    // What was sent later is not refused yet.
    assert!(bench.registry.refuse(mark - 2).is_none() && !bench.registry.has_refused());
    assert_eq!(bench.registry.refuse(mark - 1).as_deref(), Some("t/notif:id"));
    assert_eq!(count(&bench), 1);
    assert_eq!(bench.registry.refuse(mark).as_deref(), Some("t/ctl:id"));
    assert!(bench.registry.refuse(mark).is_none());
    assert!(count(&bench) == 2 && bench.registry.has_refused());
    bench.registry.retry();
    assert!(!bench.registry.has_refused());
    assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
    bench.confirm(true);
    bench.registry.retry();
    assert!(bench.changes().is_empty() && !bench.registry.has_refused());
}

#[test]
fn an_unsubscription_that_is_refused_is_over() {
    for comes_another in [false, true] {
        let mut bench = Bench::connected();
        let (id, _) = bench.subscribe();
        bench.detach(id);
        let (_, mark) = bench.registry.take_changes();
        if comes_another {
            bench.attach();
        }
        bench.registry.refuse(mark);
        assert_eq!(bench.registry.stats.refused_subscriptions.get(), 0);
        match comes_another {
            false => assert!(bench.is_empty()),
            true => assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]),
        }
    }
}

#[test]
fn a_fence_that_was_sent_later_is_not_refused_with_an_earlier_one() {
    let mut bench = Bench::connected();
    bench.subscribe();
    bench.attach();
    let (changes, first) = bench.registry.take_changes();
    assert_eq!(changes, [SubscriptionChange::Fence]);
    bench.registry.refuse(first - 1);
    assert!(bench.changes().is_empty());
    let (_, late) = bench.attach();
    assert_eq!(bench.changes(), ["|"]);
    bench.registry.refuse(first);
    assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
    assert_eq!(bench.registry.fences.pass().map(|fence| fence.at), Some(first + 1));
    bench.confirm(true);
    assert_eq!(rereads(&late), 1);
}

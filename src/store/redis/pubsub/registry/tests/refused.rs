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

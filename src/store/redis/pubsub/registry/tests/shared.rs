use super::*;

impl Bench {
    /// Goes on with another address.
    fn turn_to(&mut self, id: &str) {
        self.address = Address::new(&Tag::new("t").unwrap(), &Key::new(id).unwrap());
    }
}

#[test]
fn watchers_of_several_addresses_share_a_fence() {
    let mut bench = Bench::connected();
    bench.subscribe();
    bench.turn_to("other");
    bench.attach();
    for change in bench.changes() {
        bench.registry.confirm(&change[1..], true);
    }
    let (_, one) = bench.attach();
    bench.turn_to("id");
    let (_, two) = bench.attach();
    assert_eq!(bench.changes(), ["|"]);
    bench.registry.pass_fence();
    assert_eq!([rereads(&one), rereads(&two)], [1, 1]);
}

#[test]
fn what_a_lost_connection_was_not_told_or_did_not_answer_is_not_for_the_next_one() {
    let mut bench = Bench::connected();
    bench.attach();
    bench.registry.disconnect(1);
    bench.registry.connect(2);
    assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
    bench.confirm(true);
    bench.attach();
    assert_eq!(bench.changes(), ["|"]);
    bench.registry.disconnect(2);
    bench.registry.connect(3);
    assert_eq!(bench.changes(), ["+t/notif:id", "+t/ctl:id"]);
    bench.confirm(true);
    let (_, late) = bench.attach();
    assert_eq!(bench.changes(), ["|"]);
    bench.registry.pass_fence();
    assert_eq!(rereads(&late), 1);
}

#[test]
fn a_loss_counts_as_an_interruption_if_there_are_watchers() {
    let mut bench = Bench::connected();
    let (id, _) = bench.attach();
    bench.detach(id);
    bench.registry.disconnect(1);
    let interruptions = |bench: &Bench| bench.registry.stats.interruptions.get();
    assert_eq!(interruptions(&bench), 0);
    bench.registry.connect(2);
    bench.attach();
    bench.turn_to("other");
    let (id, _) = bench.attach();
    bench.detach(id);
    bench.registry.disconnect(2);
    assert_eq!(interruptions(&bench), 1);
}

#[test]
fn a_channel_that_the_server_is_to_leave_is_asked_for_once_it_has_left() {
    let mut bench = Bench::connected();
    let (id, _) = bench.subscribe();
    bench.detach(id);
    bench.changes();
    bench.registry.confirm("t/notif:id", false);
    bench.attach();
    assert_eq!(bench.changes(), ["+t/notif:id"]);
    bench.registry.confirm("t/ctl:id", false);
    assert_eq!(bench.changes(), ["+t/ctl:id"]);
}

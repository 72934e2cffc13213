//! The models beside the protocol: promises of others, invalidations that are owed, near copies.

use super::explore::{Counterexample, Explored, explore};
use super::{external, near, near_cluster, pending};

/// What goes wrong first where a promise of others is kept like this.
fn keep(variant: external::Variant, faults: u8) -> Option<String> {
    match explore(&external::External { variant, faults }) {
        Ok(explored) => {
            println!("{faults} faults: {} states", explored.states);
            None
        }
        Err(found) => Some(format!("{found:?}")),
    }
}

#[test]
fn a_promise_of_others_is_kept_and_the_work_started_no_more_often_than_may_be() {
    let deep = std::env::var_os("MODEL_DEEP").is_some();
    for faults in 0..=2 + u8::from(deep) {
        assert_eq!(keep(external::Variant::Sound, faults), None);
    }
}

#[track_caller]
fn assert_broken(variant: external::Variant, faults: u8, flaw: &str) {
    let found = keep(variant, faults).expect("a promise that is broken");
    assert!(found.starts_with(flaw), "{found}");
}

#[test]
fn a_start_that_was_only_seen_is_one_too_many_unless_it_counts() {
    assert_broken(external::Variant::Uncounted, 1, "more starts than may be");
}

#[test]
fn a_value_that_no_process_reads_again_is_waited_for_for_ever() {
    assert_broken(external::Variant::NeverReads, 1, "a caller may wait for ever");
}

#[test]
fn a_dead_worker_is_waited_for_for_ever_unless_the_work_is_started_again() {
    assert_broken(external::Variant::KeepsLock, 1, "a caller may wait for ever");
}

/// What goes wrong first where what is owed to Redis is kept like this.
fn owe(variant: pending::Variant, faults: u8) -> Option<String> {
    match explore(&pending::Pending { variant, faults }) {
        Ok(explored) => {
            println!("{faults} faults: {} states", explored.states);
            None
        }
        Err(found) => Some(format!("{found:?}")),
    }
}

#[test]
fn what_is_owed_is_heeded_until_it_is_made_good() {
    let deep = std::env::var_os("MODEL_DEEP").is_some();
    assert_eq!(owe(pending::Variant::Sound, 2 + u8::from(deep)), None);
}

#[track_caller]
fn assert_unheeded(variant: pending::Variant, faults: u8, flaw: &str) {
    let found = owe(variant, faults).expect("a flaw");
    assert!(found.starts_with(flaw), "{found}");
}

#[test]
fn a_read_under_way_gives_what_is_owed_unless_it_looks_once_more() {
    assert_unheeded(pending::Variant::ChecksBefore, 1, "older than what is owed");
}

#[test]
fn a_read_that_begins_before_what_is_owed_is_made_good_may_end_after_that() {
    assert_unheeded(
        pending::Variant::ChecksAfter,
        1,
        "older than an invalidation that came before",
    );
}

#[test]
fn a_commit_that_ignores_what_is_owed_stores_what_is_out_of_date() {
    assert_unheeded(
        pending::Variant::CommitIgnores,
        1,
        "stores what it was told is out of date",
    );
}

#[test]
fn what_was_added_again_is_still_owed_when_the_first_is_acknowledged() {
    assert_unheeded(
        pending::Variant::DropsAgain,
        2,
        "older than an invalidation that came before",
    );
}

#[test]
fn a_watch_gives_what_is_owed_unless_it_looks() {
    assert_unheeded(pending::Variant::WatchDelivers, 1, "older than what is owed");
}

#[test]
fn what_is_sent_once_and_lost_is_owed_for_ever() {
    assert_unheeded(pending::Variant::SendsOnce, 2, "a caller may wait for ever");
}

fn near(variant: near::Variant, faults: u8) -> Result<Explored<near::Action>, Counterexample> {
    explore(&near::Near { variant, faults })
}

#[test]
fn near_copies_are_neither_too_old_nor_from_before_an_invalidation() {
    for faults in [0, 1] {
        let explored = near(near::Variant::Sound, faults).expect("a sound protocol");
        println!("near, {faults} faults: {} states", explored.states);
        assert!(explored.states > 1000);
    }
}

#[test]
fn without_one_of_their_rules_near_copies_lie() {
    use near::Variant;
    for (variant, faults, flaw) in [
        (Variant::OnePing, 0, "older than the lag"),
        (Variant::FromAnswer, 0, "older than the lag"),
        (Variant::NoPlaceholder, 0, "older than the lag"),
        (Variant::NoWait, 0, "from before an invalidation"),
        (Variant::SetOnly, 1, "from before an invalidation"),
        (Variant::CountOnly, 1, "from before an invalidation"),
        (Variant::KeepsCopies, 1, "older than the lag"),
    ] {
        let found = near(variant, faults).err().expect("a protocol that goes wrong");
        // The shortest way is to whatever goes wrong first.
        let flaws = [flaw, "from before an invalidation"];
        assert!(flaws.contains(&&*found.flaw), "{found:?}");
    }
}

fn near_cluster(variant: near_cluster::Variant, faults: u8) -> Result<Explored<near_cluster::Action>, Counterexample> {
    explore(&near_cluster::NearCluster { variant, faults })
}

#[test]
fn near_copies_of_a_cluster_are_neither_too_old_nor_from_before_an_invalidation() {
    for faults in [0, 1, 2] {
        let explored = near_cluster(near_cluster::Variant::Sound, faults).expect("a sound protocol");
        println!("near in a cluster, {faults} faults: {} states", explored.states);
        assert!(explored.states > 1000);
    }
}

#[test]
fn without_one_of_their_rules_near_copies_of_a_cluster_lie() {
    use near_cluster::Variant;
    for (variant, faults, flaw) in [
        (Variant::OneLease, 1, "from before an invalidation"),
        (Variant::TellsFirst, 0, "from before an invalidation"),
        (Variant::TrustsHome, 1, "from before an invalidation"),
        (Variant::IgnoresMap, 1, "older than the lag"),
        (Variant::KeepsAll, 1, "older than the lag"),
    ] {
        let found = near_cluster(variant, faults).err().expect("a protocol that goes wrong");
        // The shortest way is to whatever goes wrong first.
        let flaws = [flaw, "from before an invalidation"];
        assert!(flaws.contains(&&*found.flaw), "{found:?}");
    }
}

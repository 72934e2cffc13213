//! The protocol as a model, and all of its states: three nodes that share a Redis, and every order in which their steps,
//! their callers and a bounded number of faults can come. Promises that others resolve have a model of their own, in
//! `external.rs`, and so have invalidations that Redis does not take at once, in `pending.rs`, and near copies, in `near.rs` and
//! `near_cluster.rs`.
//!
//! A fault is a caller that leaves, a computation that is given up, a crash, a lease that runs out under a frozen leader, an
//! acquire without an answer, a lost notification, a lost connection, an invalidation, or a Redis that starts again empty.
//!
//! # What holds
//!
//! - At most one leader can commit at any time; none commits without its lease, and no computation that began before an
//!   acknowledged invalidation is committed.
//! - A waiter is answered, if what can happen for ever happens sooner or later; and as long as no notification is lost,
//!   a caller that waits is told of a value or a free lock, and the lease's end is needed for holders that died only.
//! - There are no more computations than one, and one for each value and each lease that was lost. An invalidation can take
//!   both a value and a lease: of a keeper that has the lock and is about to read the value.
//! - No caller gets a value that an invalidation acknowledged before it came has removed: not from the key, not from a leader
//!   in their process, and not from a message, however late they joined the waiters.
//!
//! # What does not hold
//!
//! A computation without the store (`Lease::Unknown`) is not fenced, and its waiters may get what was computed
//! before an invalidation. It stays in its process.
//!
//! # What is left out
//!
//! A lookup that the store does not answer counts as absence, and so joins a flight as any other does. A commit that it does
//! not answer lands as a computation without the store does. An acquire that is executed after its keeper has ended leaves
//! a lock behind as a crash does. The verdicts `Pass` and `Fail`, and the limit on attempts, end waits sooner; a value that
//! is shared lands as a message or a reply does, and is lost for callers that are late; a value that expires is a value that is
//! lost. An address has one channel here. The flight itself is explored in `tests/loom`, in the code rather than in a
//! model.

mod beside;
mod explore;
mod external;
mod near;
mod near_cluster;
mod pending;
mod protocol;
mod queue;
mod registry;
mod state;
mod steps;

use explore::{Counterexample, Explored, explore};
use protocol::{Action, KINDS, Protocol, Variant};
use state::{Flaw, NODES};

const ANY: &[Flaw] = &[
    Flaw::TwoLeaders,
    Flaw::CommitWithoutLease,
    Flaw::CommitAfterInvalidation,
    Flaw::StaleAnswer,
    Flaw::StaleMessage,
    Flaw::Herd,
    Flaw::SleptThrough,
];

/// Callers that come to each node.
const ONE_EACH: [usize; NODES] = [1, 1, 1];

fn hold(faults: u8, callers: [usize; NODES], symmetric: bool) -> Explored<Action> {
    let protocol = Protocol {
        variant: Variant::Sound,
        faults,
        never: ANY,
        symmetric,
        callers,
    };
    let explored = explore(&protocol).expect("a sound protocol");
    println!(
        "{callers:?} callers, {faults} faults: {} states, {} transitions",
        explored.states, explored.transitions
    );
    explored
}

/// The shortest way to go wrong with so many faults at most.
fn fail(variant: Variant, faults: u8, never: &'static [Flaw], callers: [usize; NODES]) -> Counterexample {
    let protocol = Protocol {
        variant,
        faults,
        never,
        symmetric: false,
        callers,
    };
    explore(&protocol).err().expect("a protocol that goes wrong")
}

#[track_caller]
fn assert_caught(variant: Variant, flaw: &'static [Flaw], callers: [usize; NODES]) {
    let found = fail(variant, 1, flaw, callers);
    assert_eq!(found.flaw, format!("{:?}", flaw[0]), "{found:?}");
}

#[test]
fn nothing_goes_wrong_with_one_fault_and_every_fair_run_answers() {
    hold(0, ONE_EACH, false);
    hold(1, ONE_EACH, false);
}

#[test]
fn nothing_goes_wrong_with_two_faults() {
    hold(2, ONE_EACH, true);
}

#[test]
fn nothing_goes_wrong_with_two_callers_on_a_node() {
    let explored = hold(1, [2, 1, 0], false);
    assert_eq!(
        explored.taken.len(),
        KINDS,
        "not everything happened: {:?}",
        explored.taken
    );
    hold(2, [2, 0, 0], false);
}

/// `MODEL_DEEP=1 cargo test --test model` takes minutes and gigabytes, and explores five million states more.
#[test]
fn nothing_goes_wrong_with_more_callers() {
    hold(2, [1, 1, 0], false);
    if std::env::var_os("MODEL_DEEP").is_some() {
        hold(1, [2, 1, 1], true);
        hold(2, [2, 1, 0], true);
    }
}

#[test]
fn a_commit_without_a_fence_makes_two_leaders() {
    assert_caught(Variant::CommitUnfenced, &[Flaw::TwoLeaders], ONE_EACH);
    assert_caught(Variant::CommitUnfenced, &[Flaw::CommitWithoutLease], ONE_EACH);
    assert_caught(Variant::CommitUnfenced, &[Flaw::CommitAfterInvalidation], ONE_EACH);
}

#[test]
fn an_invalidation_that_keeps_the_lock_is_undone_by_the_leader() {
    assert_caught(Variant::InvalidateKeepsLock, &[Flaw::CommitAfterInvalidation], ONE_EACH);
    assert_caught(Variant::InvalidateKeepsLock, &[Flaw::StaleAnswer], ONE_EACH);
}

#[test]
fn a_refused_commit_must_not_answer_those_who_came_after_the_invalidation() {
    assert_caught(Variant::RefusalIgnored, &[Flaw::StaleAnswer], [2, 1, 0]);
}

#[test]
fn an_acquire_without_nx_makes_a_herd() {
    assert_caught(Variant::AcquireWithoutNx, &[Flaw::Herd], ONE_EACH);
}

#[test]
fn a_subscription_without_a_second_look_sleeps_through_the_commit() {
    assert_caught(Variant::NoReread, &[Flaw::SleptThrough], ONE_EACH);
}

#[test]
fn without_the_leases_end_a_dead_leader_is_waited_for_for_ever() {
    let found = fail(Variant::NoLeaseEnd, 1, ANY, ONE_EACH);
    assert_eq!(found.flaw, "a caller may wait for ever", "{found:?}");
    assert!(found.trace.contains("Crash"), "{found:?}");
}

/// Here all nodes go on taking steps, for ever and in vain.
#[test]
fn a_lock_without_a_lease_keeps_all_who_wait_for_a_dead_leader_asking() {
    let found = fail(Variant::AcquireWithoutPx, 1, ANY, ONE_EACH);
    assert_eq!(found.flaw, "a caller may wait for ever", "{found:?}");
    assert!(found.trace.contains("Crash"), "{found:?}");
}

#[test]
fn messages_that_overtake_each_other_bring_back_what_was_invalidated() {
    assert_caught(Variant::Unordered, &[Flaw::StaleMessage], ONE_EACH);
}

#[test]
fn a_commit_under_a_lock_that_was_taken_late_undoes_an_invalidation() {
    let found = fail(Variant::CommitUnknown, 2, &[Flaw::CommitAfterInvalidation], ONE_EACH);
    assert_eq!(found.flaw, "CommitAfterInvalidation", "{found:?}");
}

/// A leader has committed, or a keeper read the key, and the answer is on its way. The key is invalidated from another node.
/// Then a caller joins the flight, which lands with what the store said before.
#[test]
fn a_landing_for_all_gives_late_callers_what_was_invalidated_while_the_answer_was_under_way() {
    assert_caught(Variant::LateLanded, &[Flaw::StaleAnswer], [2, 1, 0]);
}

/// A leader commits, and the message is on its way to a follower, or in its mailbox. The key is invalidated from another
/// node. Then a caller joins the follower's flight, which lands with the message.
#[test]
fn a_message_for_all_is_older_than_an_invalidation_the_node_has_not_heard_of() {
    assert_caught(Variant::MessageToLate, &[Flaw::StaleAnswer], [2, 1, 0]);
}

/// A leader commits, and the message is on its way to a node on which a flight ends and another begins. The key was
/// invalidated before that.
#[test]
fn a_watch_that_hears_what_is_on_its_way_hears_what_was_invalidated() {
    assert_caught(Variant::HearsBeforeBarrier, &[Flaw::StaleAnswer], [2, 1, 0]);
}

//! The suite for the [contract](super#the-contract) of [`Store`](super::Store), clause by clause. For tests, with the
//! feature `test-util`.
//!
//! Each function is one clause. It gets two handles on one store that is empty, clones or two connections, and panics
//! where the store breaks the clause. [`for_each_clause!`] calls a macro of yours with the names of all clauses, so that
//! each becomes a test:
//!
//! ```
//! # use tower_memolock::MemoryStore as MyStore;
//! use tower_memolock::store::contract::{self, for_each_clause};
//!
//! macro_rules! tests {
//!     ($($clause:ident)*) => {$(
//!         #[tokio::test]
//!         async fn $clause() {
//!             let store = MyStore::new();
//!             contract::$clause(store.clone(), store).await;
//!         }
//!     )*};
//! }
//! for_each_clause!(tests);
//! ```
//!
//! `for_each_clause!(tests, required)` leaves out the clauses about methods that have a default: a store that implements
//! no others passes the rest.
//!
//! Where something must be over, a clause waits for as long as the store itself said, or for the shortest time that it
//! may depend on. Whatever must *not* be over yet lasts a minute, so a slow machine changes nothing. A clause uses the
//! tags `contract`, `one`, `two`, `one/two` and `o`.

mod generations;
mod locks;
mod notices;
mod steps;
mod values;

pub use self::generations::*;
pub use self::locks::*;
pub use self::notices::*;
pub use self::values::*;
#[doc(inline)]
pub use crate::for_each_clause;

/// Calls the macro `$each` with the names of all clauses of the [contract](crate::store::contract), or of those that are
/// `required` of every store, `optional`, or about `soft` invalidations.
#[macro_export]
macro_rules! for_each_clause {
    ($each:ident) => {
        $crate::for_each_clause!($each, required);
        $crate::for_each_clause!($each, optional);
        $crate::for_each_clause!($each, soft);
    };
    ($each:ident, required) => {
        $each! {
            an_unknown_address_has_no_value
            a_committed_value_is_read_back_until_another_replaces_it
            any_bytes_are_a_value
            a_value_expires
            the_shortest_and_the_longest_ttl_are_taken
            one_of_many_gets_the_lock
            acquiring_again_with_the_same_token_is_granted_and_starts_the_lease_anew
            acquiring_reads_the_value_stored_meanwhile
            a_refusal_says_what_is_left_of_the_lease
            a_lease_runs_out
            renewing_extends_the_lease
            a_foreign_or_lost_token_renews_nothing
            committing_gives_the_lock_back
            a_foreign_token_commits_and_releases_nothing
            an_expired_lease_changes_nothing
            releasing_gives_the_lock_back_and_leaves_the_value
            invalidating_removes_value_and_lock
            invalidating_what_is_not_there_is_no_error
            an_invalidated_computation_cannot_commit
            a_watch_begins_with_reread
            a_commit_is_heard_by_all_watchers
            every_kind_of_release_is_heard
            an_invalidation_is_heard
            what_is_shared_under_an_id_to_the_letter_is_heard
            a_watcher_hears_only_its_own_address
            dropping_one_watch_leaves_the_others_alone
            an_address_can_be_watched_again_and_again
            a_watcher_hears_nothing_from_before_it_came
            a_notice_survives_a_wait_that_was_given_up
            addresses_do_not_interfere
        }
    };
    ($each:ident, optional) => {
        $each! {
            a_marker_stands_in_the_place_of_the_value_and_is_heard_as_pass
            unmarking_removes_the_marker_and_no_value
            deferring_extends_the_lease_and_is_heard
            a_foreign_or_lost_token_defers_nothing
            a_caller_that_resolves_stores_and_is_heard_and_leaves_the_lock_alone
            what_is_resolved_for_no_time_is_heard_and_not_stored
            a_stamp_goes_with_its_value
            a_stamp_is_current_until_one_of_its_labels_is_invalidated
            a_generation_is_there_before_and_after_an_invalidation
            invalidating_everything_reaches_every_stamp
            invalidating_under_one_tag_leaves_the_others_alone
            what_is_out_of_date_is_not_peeked_at
            what_is_forgotten_of_invalidations_is_out_of_date
        }
    };
    ($each:ident, soft) => {
        $each! {
            what_was_softened_stays_and_is_soft_until_another_replaces_it
            what_is_committed_under_a_softened_lock_is_soft
            what_is_released_under_a_softened_lock_is_for_none
            what_is_softly_invalidated_is_soft
            what_is_softly_invalidated_by_a_label_is_peeked_at_as_such
        }
    };
}

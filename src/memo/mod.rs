//! The core: memoize any async computation, without HTTP.
//!
//! ```text
//! caller -> memolock.rs, and how a caller says what it wants
//!             turn.rs: a caller at a limit waits in line
//!           lookup.rs: look up
//!           join.rs: where nothing was found, join the flight
//!             flights/: one flight a key, its waiters, and for how long they wait             (no I/O)
//!             background/: refreshes, and callers that compute alone
//!           coordinator.rs: the task behind a flight. acquire, watch, lead, renew, commit
//!             coordinator/deferred.rs: the value is made elsewhere
//!           permit.rs: the right to compute, and outcome.rs: what became of it
//!             leases/: locks of the store that this process holds
//!             insight.rs: what an operator can look at
//!             shared/currency.rs, marking.rs: what has a stamp is current, or absent; receipt.rs: what is new enough
//! ```

pub(crate) mod background;
mod compute;
mod config;
mod coordinator;
mod flights;
mod found;
mod insight;
pub(crate) mod invalidation;
pub(crate) mod join;
mod leases;
mod limits;
pub(crate) mod lookup;
mod marking;
mod memolock;
mod outcome;
mod path;
mod permit;
mod receipt;
mod refreshes;
mod rules;
mod shared;
mod stats;
mod stream;
mod tasks;
#[cfg(all(test, feature = "memory"))]
mod tests;
pub(crate) mod turn;
mod warm;

pub(crate) use self::config::Config;
#[cfg(feature = "http")]
pub(crate) use self::flights::custody::{Presence, Present, Stop};
#[cfg(feature = "admin")]
pub(crate) use self::flights::flight::{FlightRole, Glance};
pub(crate) use self::flights::line::{QueueTurn, Room};
pub(crate) use self::flights::patience::Patience;
#[cfg(feature = "admin")]
pub(crate) use self::insight::{FailureNote, Hot};
pub use self::invalidation::{InvalidateError, Invalidation};
pub(crate) use self::join::{Caller, Obtained, Role};
pub use self::leases::lease::{Lease, LeaseError};
pub use self::limits::{AtLimit, Limit, Limits};
pub use self::memolock::{MemoLock, ResolveError};
pub(crate) use self::outcome::{Outcome, Past};
pub(crate) use self::path::Path;
#[cfg(feature = "http")]
pub(crate) use self::permit::Unleased;
pub(crate) use self::permit::{Lead, Settled};
pub(crate) use self::receipt::Aim;
pub use self::receipt::{ParseReceiptError, Receipt};
pub(crate) use self::shared::Shared;
pub(crate) use self::shared::currency::HeadLook;
pub(crate) use self::stats::Counters;
pub use self::stats::Stats;
#[cfg(feature = "http")]
pub(crate) use self::stream::{Beginning, Growing, Outgoing, Piece};
pub use self::warm::Warmed;
#[cfg(feature = "http")]
pub(crate) use self::warm::warm;

//! The core: memoize any async computation, without HTTP.
//!
//! ```text
//! caller -> obtain.rs: look up (lookups.rs); else join the flight (table.rs, flight.rs)
//!             the flight's keeper (keeper.rs): acquire, listen, offer the lead, renew, commit or release
//!             a computation may keep its lease itself (lease.rs), or leave the value to others and wait again
//!             how long it waits for the work of others is counted meanwhile (patience.rs)
//!             who came too late for an answer (clock.rs) asks again, all of them together (lookups.rs)
//!             what goes on answering while it is computed anew is not waited for at all (refresh.rs, refreshes.rs)
//!             who computes rather than wait leads alone, and for others only if the result is one for them (solo.rs)
//!             what has a stamp is current, or absent (currency.rs, marking.rs)
//!             what its clients have all left is not to go on for ever (custody.rs)
//!             what asks for its own result is passed through (path.rs)
//!             who finds a limit reached may wait for a turn (line.rs)
//!           lead.rs: the one who computes says what became of it (outcome.rs)
//! ```

mod claim;
mod clock;
mod compute;
mod computed;
mod config;
mod currency;
mod custody;
mod flight;
mod invalidation;
mod keeper;
mod lead;
mod lease;
mod leases;
mod limits;
mod line;
mod lookups;
mod marking;
mod memolock;
mod obtain;
mod outcome;
mod path;
mod patience;
#[cfg(feature = "http")]
mod refresh;
#[cfg(feature = "http")]
mod refreshes;
mod shared;
#[cfg(feature = "http")]
mod solo;
mod stats;
mod sync;
mod table;
mod tasks;

pub use self::computed::Computed;
#[cfg(feature = "http")]
pub(crate) use self::config::Config;
#[cfg(feature = "http")]
pub(crate) use self::currency::HeadLook;
#[cfg(feature = "http")]
pub(crate) use self::custody::{Presence, Present, Stop};
pub use self::invalidation::InvalidateError;
#[cfg(feature = "http")]
pub(crate) use self::lead::{Lead, Settled};
pub use self::lease::{Lease, LeaseError};
pub use self::limits::{AtLimit, Limit};
#[cfg(feature = "http")]
pub(crate) use self::line::{QueueTurn, Room};
pub use self::memolock::{MemoLock, ResolveError};
#[cfg(feature = "http")]
pub(crate) use self::obtain::{Obtained, Role};
#[cfg(feature = "http")]
pub(crate) use self::outcome::Past;
#[cfg(feature = "http")]
pub(crate) use self::path::Path;
#[cfg(feature = "http")]
pub(crate) use self::patience::Patience;
#[cfg(feature = "http")]
pub(crate) use self::shared::Shared;
#[cfg(feature = "http")]
pub(crate) use self::stats::Counters;
pub use self::stats::Stats;

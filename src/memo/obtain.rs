//! How one caller comes to a value: hit, lead or follow.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};
use tracing::Instrument;

use super::config::Config;
use super::flight::Turn;
use super::keeper::Keeper;
use super::lead::Lead;
use super::outcome::Outcome;
use super::shared::Shared;
use super::table::Joined;
use crate::codec::Codec;
use crate::error::{Failure, StoreError};
use crate::key::Address;
use crate::store::{Store, Value};

/// How often one caller starts again after a computation was given up, before going its own way.
const MAX_ATTEMPTS: usize = 3;

/// What a caller comes to.
#[derive(Debug)]
pub(crate) enum Obtained<V> {
    /// The value was stored.
    Hit(V),
    /// Somebody else computed the value while this caller waited.
    Followed(V),
    /// This caller computes.
    Lead(Lead<V>),
    /// There was a result, but not one to share.
    Pass,
    /// The computation failed.
    Failed(Failure),
    /// The wait timeout is over.
    TimedOut,
    /// The computation was given up again and again.
    GaveUp,
}

impl<St: Store, C: Codec> Shared<St, C> {
    /// The value, where the store has it in this process.
    pub(crate) fn peek(&self, address: &Address) -> Option<C::Value> {
        let value = self.store.peek(address)?;
        let value = self.decode(address, &value)?;
        self.counters.hits.add();
        Some(value)
    }

    /// Looks the value up, or joins those who wait for it.
    pub(crate) async fn obtain(self: &Arc<Self>, address: &Address, config: Config) -> Obtained<C::Value> {
        let deadline = deadline(config.wait_timeout);
        for attempt in 0..=MAX_ATTEMPTS {
            let waiter = match self.table.join_existing(address) {
                Some(waiter) => waiter,
                None => {
                    // The keeper reads the value in any case; only the first time is it likely enough to be there.
                    if attempt == 0
                        && let Some(value) = self.lookup(address).await
                    {
                        return Obtained::Hit(value);
                    }
                    self.join(address, config)
                }
            };
            let Ok(turn) = timeout_at(deadline, waiter).await else {
                self.counters.wait_timeouts.add();
                return Obtained::TimedOut;
            };
            let outcome = match turn {
                Turn::Lead(lead) => {
                    self.counters.led.add();
                    if attempt > 0 {
                        self.counters.taken_over.add();
                    }
                    return Obtained::Lead(lead);
                }
                Turn::Landed(outcome) => outcome,
            };
            match &*outcome {
                Outcome::Ready(value) => {
                    self.counters.followed.add();
                    return Obtained::Followed(value.clone());
                }
                Outcome::Pass => return Obtained::Pass,
                Outcome::Failed(failure) => return Obtained::Failed(failure.clone()),
                Outcome::Again => {}
            }
        }
        Obtained::GaveUp
    }

    /// Removes the value, and what is computed of it at this moment.
    pub(crate) async fn invalidate(&self, address: &Address) -> Result<(), StoreError> {
        // Whoever comes from here on must not join a computation from before.
        self.table.detach(address);
        let result = self.store.invalidate(address).await;
        self.table.detach(address);
        result
    }

    pub(crate) async fn lookup(&self, address: &Address) -> Option<C::Value> {
        let found = match self.store.lookup(address).await {
            Ok(found) => found,
            Err(error) => {
                self.store_failed(address, "lookup", &error);
                None
            }
        };
        let value = found.and_then(|value: Value| self.decode(address, &value))?;
        self.counters.hits.add();
        Some(value)
    }

    /// Joins the flight, starting it and its keeper where there is none.
    fn join(
        self: &Arc<Self>,
        address: &Address,
        config: Config,
    ) -> super::flight::Waiter<Lead<C::Value>, Arc<Outcome<C::Value>>> {
        let Joined { waiter, started } = self.table.join(address);
        if let Some(flight) = started {
            let keeper = Keeper::new(Arc::clone(self), config, address.clone(), flight);
            tokio::spawn(keeper.run().in_current_span());
        }
        waiter
    }
}

/// `wait` from now, or a very long time where the clock cannot count that far.
fn deadline(wait: Duration) -> Instant {
    const LONG: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    Instant::now() + wait.min(LONG)
}

//! How a keeper comes to an outcome or a lease: it asks, and listens, and asks again.

use tokio::time::timeout;

use super::hearing::Hearing;
use super::{Keeper, Sought};
use crate::codec::Codec;
use crate::error::Failure;
use crate::memo::clock::Moment;
use crate::memo::lease::Lease;
use crate::memo::leases::Holding;
use crate::memo::outcome::Outcome;
use crate::store::{Lock, Notice, Release, Store, Value};

/// What the promise has become, or whether to ask again.
enum Heard<V> {
    /// For those who came before that moment.
    Landed(Outcome<V>, Moment),
    Again,
}

impl<St: Store, C: Codec> Keeper<St, C> {
    /// Asks and listens until there is an outcome or a reason to compute.
    pub(super) async fn seek(&self, holding: &mut Holding<'_>) -> Sought<C::Value> {
        let mut hearing = None;
        let mut waited_for_immortal = false;
        loop {
            let closed = !holding.take();
            // Whoever waits for another process goes on waiting: it will answer before a call of our own does.
            if closed && hearing.is_none() {
                return Sought::Lead(Lease::None);
            }
            let epoch = self.shared.store.epoch();
            let asked = self.shared.clock.tick();
            let acquired = match self
                .shared
                .store
                .acquire(&self.address, self.token, self.config.lease)
                .await
            {
                Ok(acquired) => acquired,
                Err(error) => {
                    self.shared.store_failed(&self.address, "acquire", &error);
                    return Sought::Lead(error.kind().into());
                }
            };
            if let Some(value) = acquired
                .value
                .and_then(|value| self.shared.decode(&self.address, &value))
            {
                if acquired.lock == Lock::Granted {
                    self.release(Lease::Held(epoch), Release::Abandoned).await;
                }
                return Sought::Landed(Outcome::Ready(value), asked);
            }
            let remaining = match acquired.lock {
                Lock::Granted if closed => {
                    self.release(Lease::Held(epoch), Release::Abandoned).await;
                    return Sought::Lead(Lease::None);
                }
                Lock::Granted => {
                    if hearing.is_some() {
                        self.shared.counters.taken_over.add();
                        tracing::debug!(address = %self.address.readable(), "taking over from another process");
                    }
                    return Sought::Lead(Lease::Held(epoch));
                }
                Lock::Held { remaining: Some(time) } => time,
                // A lock that never expires can only be waited for once.
                Lock::Held { remaining: None } if waited_for_immortal => return Sought::Lead(Lease::None),
                Lock::Held { remaining: None } => self.config.lease,
            };
            holding.give_back();
            let hearing = hearing.get_or_insert_with(|| Hearing::start(self));
            match timeout(remaining + self.config.jitter(), self.listen(hearing)).await {
                Ok(Heard::Landed(outcome, before)) => return Sought::Landed(outcome, before),
                Ok(Heard::Again) => {}
                Err(_) => waited_for_immortal = matches!(acquired.lock, Lock::Held { remaining: None }),
            }
        }
    }

    async fn listen(&self, hearing: &mut Hearing<'_, St, C>) -> Heard<C::Value> {
        let decode = |value: &Value| self.shared.decode(&self.address, value);
        let (notice, since) = hearing.next().await;
        match notice {
            Notice::Stored(value) | Notice::Released(Release::Shared(value)) => {
                decode(&value).map_or(Heard::Again, |value| Heard::Landed(Outcome::Ready(value), since))
            }
            // What carries no value is as good for those who came later.
            Notice::Released(Release::Pass) => Heard::Landed(Outcome::Pass, Moment::END),
            Notice::Released(Release::Failed(message)) => {
                Heard::Landed(Outcome::Failed(Failure::remote(message)), Moment::END)
            }
            Notice::Released(Release::Abandoned) | Notice::Reread | Notice::Invalidated => Heard::Again,
        }
    }
}

//! How a keeper comes to an outcome or a lease: it asks, and listens, and asks again.

use tokio::time::timeout;

use super::hearing::Hearing;
use super::{Keeper, Sought};
use crate::codec::Codec;
use crate::error::Failure;
use crate::memo::clock::Moment;
use crate::memo::lease::Lease;
use crate::memo::leases::Holding;
use crate::memo::marking::Start;
use crate::memo::obtain::MAX_FAILURES;
use crate::memo::outcome::Outcome;
use crate::store::{Lock, Notice, Release, Store};

/// What the promise has become, or whether to ask again.
enum Heard<V> {
    /// For those who came before that moment.
    Landed(Outcome<V>, Moment),
    Again,
    /// So many computations in a row broke off.
    Broken(u32),
}

impl<St: Store, C: Codec> Keeper<St, C> {
    /// Asks and listens until there is an outcome or a reason to compute.
    pub(super) async fn seek(&self, holding: &mut Holding<'_>) -> Sought<C::Value> {
        let mut hearing = None;
        let mut waited_for_immortal = false;
        let mut holder_died = false;
        let mut failures = self.failures;
        loop {
            let closed = !holding.take();
            // Whoever waits for another process goes on waiting: it will answer before a call of our own does.
            if closed && hearing.is_none() {
                return Sought::Lead(Lease::None, failures, None);
            }
            let epoch = self.shared.store.epoch();
            let asked = self.shared.clock.tick();
            // On one connection, both are on their way together.
            let (acquired, generation) = tokio::join!(
                self.shared.store.acquire(&self.address, self.token, self.config.lease),
                self.shared.generation(&self.address, &self.config)
            );
            let start = generation.map(|generation| Start { generation, asked });
            let acquired = match acquired {
                Ok(acquired) => acquired,
                Err(error) => {
                    self.shared.store_failed(&self.address, "acquire", &error);
                    return Sought::Lead(error.kind().into(), failures, None);
                }
            };
            let value = self.shared.vouched(&self.address, acquired.value).await;
            let is_stale = value.is_some();
            if let Some(outcome) = value.and_then(|value| self.outcome(value)) {
                if acquired.lock == Lock::Granted {
                    self.release(Lease::Held(epoch), Release::Abandoned).await;
                }
                return Sought::Landed(outcome, asked);
            }
            // Those who have waited for nothing this long need not wait for another computation.
            if holder_died && is_stale && acquired.lock == Lock::Granted {
                self.release(Lease::Held(epoch), Release::Stale).await;
                return Sought::Landed(Outcome::Stale, Moment::END);
            }
            let remaining = match acquired.lock {
                Lock::Granted if closed => {
                    self.release(Lease::Held(epoch), Release::Abandoned).await;
                    return Sought::Lead(Lease::None, failures, None);
                }
                Lock::Granted => {
                    if hearing.is_some() {
                        self.shared.counters.taken_over.add();
                        tracing::debug!(address = %self.address.readable(), "taking over from another process");
                    }
                    return Sought::Lead(Lease::Held(epoch), failures, start);
                }
                Lock::Held { remaining: Some(time) } => time,
                // A lock that never expires can only be waited for once.
                Lock::Held { remaining: None } if waited_for_immortal => {
                    return Sought::Lead(Lease::None, failures, None);
                }
                Lock::Held { remaining: None } => self.config.lease,
            };
            holding.give_back();
            let hearing = hearing.get_or_insert_with(|| Hearing::start(self));
            match timeout(remaining + self.config.jitter(), self.listen(hearing)).await {
                Ok(Heard::Landed(outcome, before)) => return Sought::Landed(outcome, before),
                Ok(Heard::Again) => {}
                Ok(Heard::Broken(heard)) => {
                    failures = failures.max(heard);
                    if failures > MAX_FAILURES {
                        return Sought::Landed(Outcome::Again(failures), Moment::END);
                    }
                }
                Err(_) => {
                    waited_for_immortal = matches!(acquired.lock, Lock::Held { remaining: None });
                    holder_died = true;
                }
            }
        }
    }

    /// What a stored value is to those who wait for one; `None` where it is stale.
    fn outcome(&self, value: C::Value) -> Option<Outcome<C::Value>> {
        let codec = &self.shared.codec;
        if codec.is_marker(&value) {
            return Some(Outcome::Pass);
        }
        codec.is_fresh(&value).then_some(Outcome::Ready(value))
    }

    async fn listen(&self, hearing: &mut Hearing<'_, St, C>) -> Heard<C::Value> {
        let (notice, since) = hearing.next().await;
        match notice {
            Notice::Stored(value) | Notice::Released(Release::Shared(value)) => {
                match self.shared.vouched(&self.address, Some(value)).await {
                    Some(value) if self.shared.codec.is_fresh(&value) => Heard::Landed(Outcome::Ready(value), since),
                    // Stored, but for nobody who waits.
                    Some(_) => Heard::Landed(Outcome::Pass, Moment::END),
                    None => Heard::Again,
                }
            }
            // What carries no value is as good for those who came later.
            Notice::Released(Release::Pass) => Heard::Landed(Outcome::Pass, Moment::END),
            Notice::Released(Release::Failed(message)) => {
                Heard::Landed(Outcome::Failed(Failure::remote(message)), Moment::END)
            }
            Notice::Released(Release::Stale) => Heard::Landed(Outcome::Stale, Moment::END),
            Notice::Released(Release::Broken { failures }) => Heard::Broken(failures),
            Notice::Released(Release::Abandoned) | Notice::Reread | Notice::Invalidated => Heard::Again,
        }
    }
}

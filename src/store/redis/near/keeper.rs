//! The task that gets near copies under way, keeps them so, and sends what this process acknowledges.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use redis::Cmd;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::tag::NearNames;
use super::words::acknowledgement;
use super::{Near, OwedAck};
use crate::error::StoreError;
use crate::store::Token;
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::script::{NEAR_JOIN, NEAR_PRUNE};
use crate::store::redis::topology::link::Link;
use crate::throttle::Throttle;

/// How long to wait for what this process wrote itself to be heard.
const PATIENCE: Duration = Duration::from_secs(1);

/// The first and the longest pause before what failed is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Where to find the link. The task ends with it.
pub(crate) trait HasLink: Send + Sync + 'static {
    fn link(&self) -> &Link;
}

/// A number that has not been this process's before, and that a double can hold.
fn random_score() -> u64 {
    u64::from_str_radix(&Token::random().to_string()[..12], 16).unwrap_or(0)
}

/// Gets copies under way wherever they are wanted, and sends acknowledgements.
pub(crate) async fn keep<L: HasLink>(near: Arc<Near>, owner: Weak<L>, mut owed: mpsc::Receiver<OwedAck>) {
    let (mut pause, warnings) = (PAUSE.0, Throttle::default());
    let mut retry = false;
    loop {
        let woken = async {
            let wake = near.wake.notified();
            match retry {
                true => drop(timeout(pause, wake).await),
                false => wake.await,
            }
        };
        tokio::select! {
            biased;
            one = owed.recv() => match (one, owner.upgrade()) {
                (Some(one), Some(owner)) => near.acknowledge(owner.link(), &one).await,
                _ => return,
            },
            () = woken => {
                let Some(owner) = owner.upgrade() else { return };
                // Acknowledgements do not wait for what may take its time.
                let mut joining = pin!(near.join_all(owner.link(), &warnings));
                let all_joined = loop {
                    tokio::select! {
                        biased;
                        Some(one) = owed.recv() => near.acknowledge(owner.link(), &one).await,
                        joined = &mut joining => break joined,
                    }
                };
                (retry, pause) = match all_joined {
                    true => (false, PAUSE.0),
                    false => (true, (pause * 2).min(PAUSE.1)),
                };
            }
        }
    }
}

impl Near {
    async fn acknowledge(&self, link: &Link, owed: &OwedAck) {
        let mut publish = Cmd::new();
        publish.arg("PUBLISH").arg(&owed.channel);
        publish.arg(acknowledgement(owed.nonce, self.process));
        let address = self.state().tags.values().next().map(|tag| Arc::clone(&tag.names));
        let Some(names) = address else { return };
        // Who does not hear it waits until no lease can be left.
        let _ = link.send(Keyspace::new(&names.address, self.database), &publish).await;
    }

    /// Joins those who have copies, under every tag that is prepared. Whether there is nothing left to do.
    async fn join_all(&self, link: &Link, warnings: &Throttle) -> bool {
        self.prepare.notify_one();
        let mut done = true;
        for names in self.unproven(link.connection()) {
            let joined = self.join(link, &names).await;
            if !matches!(joined, Ok(true))
                && let Some(tag) = self.state().tags.get_mut(names.address.tag())
            {
                tag.recheck = true;
            }
            match joined {
                Ok(true) => {}
                Ok(false) => {
                    done = false;
                    if warnings.is_due() {
                        tracing::warn!(
                            tag = names.address.tag(),
                            "no near copies: Redis does not tell this process of what it has written"
                        );
                    }
                }
                Err(error) => {
                    done = false;
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, tag = names.address.tag(), "no near copies for now");
                }
            }
        }
        done
    }

    /// The tags under which copies could be kept, and are not yet, or of which it is not known whether all know that.
    fn unproven(&self, commands: u64) -> Vec<Arc<NearNames>> {
        let state = self.state();
        let tags = state.tags.values().filter(|tag| tag.is_prepared());
        let tags = tags.filter(|tag| tag.recheck || tag.proven != Some(commands));
        tags.map(|tag| Arc::clone(&tag.names)).collect()
    }

    /// Adds this process to those who have copies, and sees whether it hears that. First the one, or an invalidation would
    /// not wait for it.
    async fn join(&self, link: &Link, names: &NearNames) -> Result<bool, StoreError> {
        let (tag, commands) = (names.address.tag(), link.connection());
        if self.is_member(link, names, commands).await? {
            return Ok(true);
        }
        let score = random_score();
        let Some((connection, canaries)) = self.begin_joining(tag, score) else {
            return Ok(true);
        };
        let (member, score) = (self.member(), score.to_string());
        let at = Keyspace::new(&names.address, self.database);
        let keys = [names.members.as_str(), names.canary.as_str()];
        NEAR_JOIN
            .run(link, at, &keys, &[member.as_bytes(), score.as_bytes()])
            .await?;
        let heard = timeout(PATIENCE, self.until_heard(tag, connection, canaries)).await;
        if heard != Ok(true) {
            return Ok(heard.is_ok());
        }
        let mut state = self.state();
        let is_same = state.connection == Some(connection) && link.connection() == commands;
        if let Some(tag) = state.tags.get_mut(tag).filter(|_| is_same) {
            tag.proven = Some(commands);
            if let Some(own) = &self.own {
                own.wanted.store(true, Ordering::Relaxed);
            }
            self.prepare.notify_one();
            tracing::debug!(tag = names.address.tag(), "near copies are kept");
        }
        Ok(is_same)
    }

    /// Gives all copies up and says so, until they are wanted again: no invalidation has to wait for a process that ends.
    pub(crate) async fn leave(&self, link: &Link) {
        let Some(own) = &self.own else { return };
        let mut joined = Vec::new();
        for tag in self.state().tags.values_mut() {
            // One that may have been broken off before is gone through once more.
            if tag.score != 0 {
                joined.push((Arc::clone(&tag.names), tag.score));
            }
            (tag.proven, tag.copies, tag.tried, tag.recheck) = (None, false, None, false);
        }
        own.lease.revoke();
        // Before the set is told: nothing is fetched under a tag that is not proven.
        self.forget_all();
        for (names, score) in joined {
            let (member, text) = (self.member(), score.to_string());
            let at = Keyspace::new(&names.address, self.database);
            let args = [member.as_bytes(), text.as_bytes()];
            // The next process that invalidates would wait for this one in vain.
            if NEAR_PRUNE.run(link, at, &[&names.members], &args).await.is_ok()
                && let Some(tag) = self.state().tags.get_mut(names.address.tag())
                && tag.score == score
            {
                tag.score = 0;
            }
        }
    }

    /// What stands for this process in the set.
    fn member(&self) -> String {
        let lag = self.own.as_ref().map_or(Duration::ZERO, |own| own.lease.lag());
        // Never less than it is.
        format!("{}:{}", lag.as_millis() + 1, self.process)
    }

    /// Whether nothing has to be done, because this process is still in the set.
    async fn is_member(&self, link: &Link, names: &NearNames, commands: u64) -> Result<bool, StoreError> {
        let score = {
            let mut state = self.state();
            let Some(tag) = state.tags.get_mut(names.address.tag()) else {
                return Ok(true);
            };
            if tag.proven != Some(commands) {
                return Ok(false);
            }
            tag.recheck = false;
            tag.score
        };
        let mut zscore = Cmd::new();
        zscore.arg("ZSCORE").arg(&names.members).arg(self.member());
        let at = Keyspace::new(&names.address, self.database);
        let found = match link.send(at, &zscore).await? {
            redis::Value::BulkString(text) => text == score.to_string().as_bytes(),
            redis::Value::Double(number) => number == score as f64,
            _ => false,
        };
        Ok(found)
    }

    /// The connection on which the canary has to be heard, and how often it was so far.
    fn begin_joining(&self, tag: &str, score: u64) -> Option<(u64, u64)> {
        let mut state = self.state();
        let connection = state.connection?;
        let tag = state.tags.get_mut(tag).filter(|tag| tag.is_prepared())?;
        (tag.score, tag.recheck) = (score, false);
        Some((connection, tag.canaries))
    }

    /// Waits until the canary was heard once more. `false` where the connection is another one.
    async fn until_heard(&self, tag: &str, connection: u64, canaries: u64) -> bool {
        loop {
            let mut progress = pin!(self.progress.notified());
            progress.as_mut().enable();
            {
                let state = self.state();
                let heard = state.tags.get(tag).is_some_and(|tag| tag.canaries > canaries);
                if state.connection != Some(connection) || heard {
                    return heard;
                }
            }
            progress.await;
        }
    }
}

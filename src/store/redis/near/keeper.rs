//! The task that starts near copies, keeps them going, and sends the acknowledgements of this process.

use std::pin::pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;

use super::lease::Backing;
use super::tag::NearTag;
use super::words::acknowledgement;
use super::{Near, NearFeed, OwedAck, lock};
use crate::error::StoreError;
use crate::key::Address;
use crate::store::Token;
use crate::store::redis::conn::error;
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::resp::{Command, Reply};
use crate::store::redis::script::{NEAR_JOIN, NEAR_PRUNE};
use crate::store::redis::topology::link::Link;
use crate::throttle::Throttle;

/// How long to wait until this process hears of a key that it wrote itself.
const PATIENCE: Duration = Duration::from_secs(1);

/// The first and the longest pause before a failed step is tried again.
const PAUSE: (Duration, Duration) = (Duration::from_millis(50), Duration::from_secs(5));

/// Where to find the link. The task ends with it.
pub(crate) trait HasLink: Send + Sync + 'static {
    fn link(&self) -> &Link;
}

/// A number that this process has not had before, and that a double can hold.
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
                // Acknowledgements do not wait for steps that may take long.
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

/// How far a tag has got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NearProgress {
    All,
    /// The next step is waited for.
    NotYet,
    /// The server does not tell of keys that this process has written.
    Unheard,
}

impl Near {
    async fn acknowledge(&self, link: &Link, owed: &OwedAck) {
        let mut publish = Command::new(if link.is_cluster() { "SPUBLISH" } else { "PUBLISH" });
        publish.arg(&owed.channel);
        publish.arg(acknowledgement(owed.nonce, self.process));
        // A process that does not hear the acknowledgement waits until no lease can be left.
        let _ = link.send(owed.tag.keys(), &publish).await;
    }

    /// Joins the processes that have copies, under every tag that is prepared. Returns whether nothing is left to do.
    async fn join_all(&self, link: &Link, warnings: &Throttle) -> bool {
        let tags = lock(&self.tags).clone();
        let mut done = true;
        for tag in tags.iter().filter(|tag| tag.copies.load(Ordering::Relaxed)) {
            let joined = self.join(link, tag).await;
            if !matches!(joined, Ok(NearProgress::All)) {
                tag.recheck.store(true, Ordering::Relaxed);
                done = false;
            }
            let name = tag.names.address.tag();
            match joined {
                Ok(NearProgress::Unheard) if warnings.is_due() => {
                    tracing::warn!(
                        tag = name,
                        "no near copies: Redis does not tell this process of what it has written"
                    );
                }
                Ok(_) => {}
                Err(error) => {
                    let error = &error as &dyn std::error::Error;
                    tracing::debug!(error, tag = name, "no near copies for now");
                }
            }
        }
        done
    }

    async fn join(&self, link: &Link, tag: &Arc<NearTag>) -> Result<NearProgress, StoreError> {
        let home = link.near(tag.keys()).ok_or_else(error::unavailable)?;
        let mut joined = match home.is_home_of(tag) {
            true => self.join_home(link, tag, &home).await,
            false => Ok(NearProgress::NotYet),
        };
        for feed in self.feeds().iter().filter(|feed| !Arc::ptr_eq(feed, &home)) {
            if let Some((address, canary)) = feed.to_prove(tag) {
                // One node that does not answer keeps no other from its copies.
                let proven = self.prove(link, tag, feed, &address, &canary).await;
                if !matches!(proven, Ok(NearProgress::All)) {
                    joined = proven;
                }
            }
        }
        joined
    }

    /// Adds this process to those that have copies, and then finds out whether it hears of changes. In this order, or
    /// an invalidation would not wait for this process.
    async fn join_home(&self, link: &Link, tag: &Arc<NearTag>, home: &NearFeed) -> Result<NearProgress, StoreError> {
        let names = &tag.names;
        if self.is_member(link, tag, home).await? {
            return Ok(NearProgress::All);
        }
        let backing = Backing::of(home.lease());
        let score = random_score();
        tag.score.store(score, Ordering::Relaxed);
        let canaries = home.canaries(tag);
        let (member, score) = (self.member(), score.to_string());
        let keys = [names.members.as_str(), names.canary.as_str()];
        NEAR_JOIN
            .run(link, tag.keys(), &keys, &[member.as_bytes(), score.as_bytes()])
            .await?;
        if !self.is_heard(tag, home, &backing, canaries).await {
            return Ok(NearProgress::Unheard);
        }
        home.prove(tag, backing.term());
        tag.join(backing);
        tracing::debug!(tag = names.address.tag(), "near copies are kept");
        Ok(NearProgress::All)
    }

    /// Finds out whether this process hears of a key that it writes to another node of the cluster.
    async fn prove(
        &self,
        link: &Link,
        tag: &NearTag,
        feed: &Arc<NearFeed>,
        address: &Address,
        canary: &str,
    ) -> Result<NearProgress, StoreError> {
        let keys = Keyspace::new(address, self.database);
        if link.near(keys).is_none_or(|at| !Arc::ptr_eq(&at, feed)) {
            // That slot has moved.
            feed.give_up(tag);
            return Ok(NearProgress::All);
        }
        let (backing, canaries) = (Backing::of(feed.lease()), feed.canaries(tag));
        let mut set = Command::new("SET");
        set.arg(canary).arg("").arg("PX").number(10_000);
        if let Reply::ServerError(error) = link.send(keys, &set).await? {
            return Err(error::rejected(&error));
        }
        if !self.is_heard(tag, feed, &backing, canaries).await {
            return Ok(NearProgress::Unheard);
        }
        feed.prove(tag, backing.term());
        Ok(NearProgress::All)
    }

    /// Gives all copies up, until they are wanted again, and tells the others: no invalidation has to wait for a
    /// process that ends.
    pub(crate) async fn leave(&self, link: &Link) {
        if self.own.is_none() {
            return;
        }
        let tags = lock(&self.tags).clone();
        for tag in &tags {
            tag.copies.store(false, Ordering::Relaxed);
        }
        for feed in self.feeds() {
            tags.iter().for_each(|tag| feed.give_up(tag));
            feed.lease().end_term();
        }
        // Left before the set is told: with the terms ends that this process has joined, and without that it keeps nothing.
        self.forget_all();
        for tag in tags {
            // A step that may have been broken off before is done once more.
            let score = tag.score.load(Ordering::Relaxed);
            if score == 0 {
                continue;
            }
            let (member, text) = (self.member(), score.to_string());
            let args = [member.as_bytes(), text.as_bytes()];
            // The next process that invalidates would wait for this one in vain.
            let left = NEAR_PRUNE.run(link, tag.keys(), &[&tag.names.members], &args).await;
            if left.is_ok() {
                let _ = tag
                    .score
                    .compare_exchange(score, 0, Ordering::Relaxed, Ordering::Relaxed);
            }
        }
    }

    /// The member that stands for this process in the set.
    fn member(&self) -> String {
        // Never less than it is.
        format!("{}:{}", self.lag.as_millis() + 1, self.process)
    }

    /// Whether nothing has to be done, because this process is still in the set.
    async fn is_member(&self, link: &Link, tag: &NearTag, home: &NearFeed) -> Result<bool, StoreError> {
        if tag.joined().is_none_or(|at| !at.is_of(home.lease())) {
            return Ok(false);
        }
        if !tag.recheck.swap(false, Ordering::Relaxed) {
            return Ok(true);
        }
        let score = tag.score.load(Ordering::Relaxed);
        let mut zscore = Command::new("ZSCORE");
        zscore.arg(&tag.names.members).arg(self.member());
        let found = match link.send(tag.keys(), &zscore).await? {
            Reply::BulkString(text) => text == score.to_string().as_bytes(),
            _ => false,
        };
        Ok(found)
    }

    /// Waits until the canary is heard once more on this connection. Returns whether it was, while commands still go by
    /// the same connection.
    async fn is_heard(&self, tag: &NearTag, feed: &NearFeed, backing: &Backing, canaries: u64) -> bool {
        let heard = async {
            loop {
                let mut progress = pin!(self.progress.notified());
                progress.as_mut().enable();
                if !backing.holds() || feed.canaries(tag) > canaries {
                    return backing.holds();
                }
                progress.await;
            }
        };
        timeout(PATIENCE, heard).await == Ok(true)
    }
}

#[cfg(test)]
mod tests;

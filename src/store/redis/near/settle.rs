//! How an invalidation comes to hold everywhere: it is over once no process can serve a near copy from before it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use redis::Value as Reply;
use tokio::time::{Instant, timeout_at};

use super::acks::ExpectedAcks;
use super::tag::{NearNames, Switch};
use super::words::NearNotice;
use super::{About, DRIFT, LAGS, Near};
use crate::error::StoreError;
use crate::key::{Address, Tag};
use crate::store::Token;
use crate::store::redis::protocol::keyspace::Keyspace;
use crate::store::redis::script::{NEAR_NOTICE, NEAR_PRUNE};
use crate::store::redis::topology::link::Link;

/// What an invalidation says to those who may have near copies.
pub(crate) struct NearCall {
    names: Arc<NearNames>,
    notice: String,
    expected: ExpectedAcks,
    /// Whether acknowledgements can be heard already.
    hears: bool,
}

impl NearCall {
    pub(crate) fn members(&self) -> &str {
        &self.names.members
    }

    /// The channel of the notice, the notice, and the set of those who have to acknowledge it, for the scripts.
    pub(crate) fn args(&self) -> [&[u8]; 3] {
        [
            self.names.notices.as_bytes(),
            self.notice.as_bytes(),
            self.names.members.as_bytes(),
        ]
    }
}

/// Who may have near copies.
pub(crate) struct Evidence {
    /// How many clients have heard the notice.
    heard: usize,
    members: Vec<NearMember>,
    /// No later than this, no lease of theirs is from before the invalidation.
    since: Instant,
}

struct NearMember {
    name: String,
    score: String,
    process: Token,
    lag: Duration,
}

/// What a script has returned: 1, or how many heard the notice, and the members of the set with their scores.
pub(crate) fn evidence(reply: &Reply) -> Option<Evidence> {
    let Reply::Array(parts) = reply else { return None };
    let (Reply::Int(heard), members) = parts.split_first()? else {
        return None;
    };
    let members = members.chunks_exact(2).filter_map(|pair| {
        let (name, score) = (text(&pair[0])?, text(&pair[1])?);
        let (lag, process) = name.split_once(':')?;
        Some(NearMember {
            process: process.parse().ok()?,
            // A foreign program may have written it: it is not waited for without end.
            lag: Duration::from_millis(lag.parse().ok()?).min(LAGS.1 + Duration::from_millis(1)),
            name,
            score,
        })
    });
    Some(Evidence {
        heard: usize::try_from(*heard).unwrap_or(0),
        members: members.collect(),
        since: Instant::now(),
    })
}

fn text(reply: &Reply) -> Option<String> {
    match reply {
        Reply::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        Reply::Double(number) => Some(number.to_string()),
        _ => None,
    }
}

impl Near {
    /// What to say about an invalidation under a tag, and a place to hear who has heeded it.
    pub(crate) fn call(&self, tag: &str, about: About<'_>) -> Option<NearCall> {
        let mut state = self.state();
        let tag = self.tag(&mut state, tag)?;
        let (names, hears) = (Arc::clone(&tag.names), tag.replies == Switch::On);
        drop(state);
        let nonce = Token::random();
        let notice = NearNotice {
            nonce,
            from: self.process,
            about,
        };
        Some(NearCall {
            names,
            notice: notice.text(),
            expected: self.acks.expect(nonce),
            hears,
        })
    }

    pub(crate) fn call_value(&self, address: &Address) -> Option<NearCall> {
        self.call(address.tag(), About::Value(address.as_str()))
    }

    pub(crate) fn call_tags(&self, tag: &Tag) -> Option<NearCall> {
        self.call(tag.as_str(), About::Tags)
    }

    /// Waits until no process serves a copy from before the invalidation: all have acknowledged it, or can have no lease any
    /// more.
    pub(crate) async fn settle(&self, link: &Link, call: NearCall, evidence: Option<Evidence>) {
        let unsure = self.unsure_until();
        if let Some(evidence) = evidence {
            self.until_heeded(link, call, evidence).await;
        }
        if let Some(until) = unsure {
            tokio::time::sleep_until(until).await;
        }
    }

    /// A server that has just started again may know neither the set nor the connections of those who have copies from
    /// before. Where there were some, until when they may be served.
    fn unsure_until(&self) -> Option<Instant> {
        if !self.is_believed() {
            return None;
        }
        let state = self.state();
        let since = match state.connection {
            Some(_) => state.reconnected?,
            None if state.was_connected => Instant::now(),
            None => return None,
        };
        Some(since + self.longest_lag()).filter(|until| *until > Instant::now())
    }

    /// Whether others are known to have had copies, or likely to. Where they are not, a client that hears a notice is one that
    /// looks on.
    fn is_believed(&self) -> bool {
        self.own.is_some() || self.known.load(Ordering::Relaxed)
    }

    async fn until_heeded(&self, link: &Link, call: NearCall, evidence: Evidence) {
        let others: Vec<_> = evidence.members.iter().filter(|m| m.process != self.process).collect();
        if let Some(longest) = others.iter().map(|member| member.lag.as_millis() as u64).max() {
            self.known.store(true, Ordering::Relaxed);
            self.longest.fetch_max(longest, Ordering::Relaxed);
        }
        let heard = if self.is_believed() { evidence.heard } else { 0 };
        let processes: Vec<_> = others.iter().map(|member| member.process).collect();
        if call.expected.is_heard(&processes, heard) {
            // What they say may arrive before the reply to the script.
            if heard > 0 || !processes.is_empty() {
                self.counters.acknowledged.add();
            }
            return;
        }
        let deadline = evidence.since + self.longest_lag();
        let all_heard = async {
            if !call.hears {
                self.listen(&call.names).await;
                // The first notice was heeded and could not be acknowledged.
                self.repeat(link, &call).await?;
            }
            call.expected.until(&processes, heard).await;
            Ok::<(), StoreError>(())
        };
        if let Ok(Ok(())) = timeout_at(deadline, all_heard).await {
            self.counters.acknowledged.add();
            return;
        }
        tokio::time::sleep_until(deadline).await;
        self.counters.outwaited.add();
        let missing: Vec<_> = others
            .into_iter()
            .filter(|member| !call.expected.is_heard(&[member.process], 0))
            .collect();
        // All who listen have answered, so the others have no connection, and will be back in the set before they keep a
        // copy. Waiting for them once more would be in vain.
        if call.hears && call.expected.count() >= evidence.heard {
            self.prune(link, &call.names, &missing).await;
        }
    }

    /// The longest that a lease may last, by any clock.
    fn longest_lag(&self) -> Duration {
        let lag = Duration::from_millis(self.longest.load(Ordering::Relaxed));
        lag + lag / DRIFT + Duration::from_millis(1)
    }

    /// Waits until acknowledgements can be heard.
    async fn listen(&self, names: &NearNames) {
        let tag = names.address.tag();
        if let Some(tag) = self.state().tags.get_mut(tag) {
            tag.answers = true;
        }
        self.prepare.notify_one();
        loop {
            let mut progress = std::pin::pin!(self.progress.notified());
            progress.as_mut().enable();
            if self.state().tags.get(tag).is_some_and(|tag| tag.replies == Switch::On) {
                return;
            }
            progress.await;
        }
    }

    async fn repeat(&self, link: &Link, call: &NearCall) -> Result<(), StoreError> {
        let at = Keyspace::new(&call.names.address, self.database);
        NEAR_NOTICE.reply(link, at, &[], &call.args()).await.map(drop)
    }

    async fn prune(&self, link: &Link, names: &NearNames, gone: &[&NearMember]) {
        let at = Keyspace::new(&names.address, self.database);
        let args: Vec<_> = gone
            .iter()
            .flat_map(|member| [member.name.as_bytes(), member.score.as_bytes()])
            .collect();
        // They stay otherwise, which costs time and nothing else.
        if let Err(error) = NEAR_PRUNE.run(link, at, &[&names.members], &args).await {
            let error = &error as &dyn std::error::Error;
            tracing::debug!(error, "a process without near copies still counts as one that has some");
        }
    }
}

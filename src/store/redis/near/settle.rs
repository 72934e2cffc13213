//! How an invalidation comes to hold everywhere: it is over once no process can serve a near copy from before it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::acks::ExpectedAcks;
use super::tag::NearTag;
use super::words::NearNotice;
use super::{About, LAGS, Near};
use crate::error::StoreError;
use crate::key::{Address, Tag};
use crate::simulation::{Planted, planted};
use crate::store::Token;
use crate::store::redis::conn::error;
use crate::store::redis::resp::{Pipeline, Reply};
use crate::store::redis::script::{NEAR_NOTICE, NEAR_PRUNE};
use crate::store::redis::topology::link::Link;

/// The notice of an invalidation to the processes that may have near copies.
pub(crate) struct NearCall {
    tag: Arc<NearTag>,
    notice: String,
    expected: ExpectedAcks,
    /// Whether acknowledgements can be heard already.
    hears: bool,
}

impl NearCall {
    pub(crate) fn members(&self) -> &str {
        &self.tag.names.members
    }

    /// The channel of the notice, the notice, and the set of the processes that have to acknowledge it, for the scripts.
    pub(crate) fn args(&self) -> [&[u8]; 3] {
        let names = &self.tag.names;
        [
            names.notices.as_bytes(),
            self.notice.as_bytes(),
            names.members.as_bytes(),
        ]
    }
}

/// Which processes may have near copies.
pub(crate) struct Evidence {
    /// How many clients have heard the notice.
    heard: usize,
    members: Vec<NearMember>,
    /// When the invalidation was done: every lease from before it ends a lag after this.
    since: Instant,
    /// Whether the server that has heard the notice has the channels, in a cluster where slots may be on their way.
    is_home: bool,
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
            // A foreign program may have written the lag, so the wait for it is bounded.
            lag: Duration::from_millis(lag.parse().ok()?).min(LAGS.1 + Duration::from_millis(1)),
            name,
            score,
        })
    });
    Some(Evidence {
        heard: usize::try_from(*heard).unwrap_or(0),
        members: members.collect(),
        since: Instant::now(),
        is_home: true,
    })
}

fn text(reply: &Reply) -> Option<String> {
    match reply {
        Reply::BulkString(bytes) => String::from_utf8(bytes.clone()).ok(),
        _ => None,
    }
}

/// The notice of an invalidation under a tag, and a place to hear which processes have heeded it.
fn call(near: &Near, link: &Link, tag: &str, about: About<'_>) -> Option<NearCall> {
    let tag = near.tag(tag)?;
    let hears = link.near(tag.keys()).is_some_and(|home| home.hears_replies(&tag));
    let nonce = Token::random();
    let notice = NearNotice {
        nonce,
        from: near.process,
        about,
    };
    Some(NearCall {
        tag,
        notice: notice.text(),
        expected: near.acks.expect(nonce),
        hears,
    })
}

pub(crate) fn call_value(near: &Near, link: &Link, address: &Address) -> Option<NearCall> {
    call(near, link, address.tag(), About::Value(address.as_str()))
}

pub(crate) fn call_tags(near: &Near, link: &Link, tag: &Tag) -> Option<NearCall> {
    call(near, link, tag.as_str(), About::Tags)
}

/// Waits until no process serves a copy from before the invalidation: all have acknowledged it, or can have no
/// lease any more. In a cluster this also tells them, because the script of the invalidation did not.
pub(crate) async fn settle(near: &Near, link: &Link, call: NearCall, evidence: Option<Evidence>) {
    if planted(Planted::NearUnsettled) || planted(Planted::NearOwnKept) {
        return;
    }
    let evidence = match link.is_cluster() {
        false => Ok(evidence),
        true => tell(link, &call).await,
    };
    let unsure = match evidence {
        Ok(_) => unsure_until(near, link, &call.tag),
        // Processes that cannot reach the home either have no lease after this, and all others have heard of the
        // change.
        Err(_) => Some(Instant::now() + near.longest_lag()),
    };
    if let Ok(Some(evidence)) = evidence {
        until_heeded(near, link, call, evidence).await;
    }
    if let Some(until) = unsure {
        tokio::time::sleep_until(until).await;
    }
}

/// Tells the processes that may have copies.
async fn tell(link: &Link, call: &NearCall) -> Result<Option<Evidence>, StoreError> {
    let (keys, args) = ([call.members()], call.args());
    let code = NEAR_NOTICE.code(link.is_cluster());
    let mut command = code.cached(&keys, &args);
    loop {
        let mut pipeline = Pipeline::with_capacity(1);
        pipeline.add(command);
        let (replies, home) = link.send_all_from(call.tag.keys(), &pipeline).await?;
        match replies.into_iter().next() {
            Some(Reply::ServerError(error)) if error.code() == "NOSCRIPT" => {
                command = code.complete(&keys, &args);
            }
            Some(Reply::ServerError(error)) => return Err(error::rejected(&error)),
            Some(reply) => {
                let is_home = home.is_some();
                return Ok(evidence(&reply).map(|evidence| Evidence { is_home, ..evidence }));
            }
            None => return Err(error::unexpected()),
        }
    }
}

/// A server that has just started again, or to which a slot has just come, may know neither the set nor the
/// connections of the processes that have copies from before. Where there may be such copies, this is until when
/// they may be served.
fn unsure_until(near: &Near, link: &Link, tag: &NearTag) -> Option<Instant> {
    let home = link.near(tag.keys());
    let moved = home.as_ref().and_then(|home| tag.moved(home.lease()));
    if !near.is_believed() {
        return None;
    }
    let since = match &home {
        Some(home) => home.unsure_since().max(moved)?,
        None => Instant::now(),
    };
    Some(since + near.longest_lag()).filter(|until| *until > Instant::now())
}

async fn until_heeded(near: &Near, link: &Link, call: NearCall, evidence: Evidence) {
    let others: Vec<_> = evidence.members.iter().filter(|m| m.process != near.process).collect();
    if let Some(longest) = others.iter().map(|member| member.lag.as_millis() as u64).max() {
        near.known.store(true, Ordering::Relaxed);
        near.longest.fetch_max(longest, Ordering::Relaxed);
    }
    let heard = if near.is_believed() { evidence.heard } else { 0 };
    let processes: Vec<_> = others.iter().map(|member| member.process).collect();
    if call.expected.is_heard(&processes, heard) {
        // The acknowledgements may arrive before the reply to the script.
        if heard > 0 || !processes.is_empty() {
            near.counters.acknowledged.add();
        }
        return;
    }
    let deadline = evidence.since + near.longest_lag();
    let all_heard = async {
        if !call.hears {
            listen(near, link, &call.tag).await?;
            // The first notice was heeded and could not be acknowledged.
            tell(link, &call).await?;
        }
        call.expected.until(&processes, heard).await;
        Ok::<(), StoreError>(())
    };
    if let Ok(Ok(())) = timeout_at(deadline, all_heard).await {
        near.counters.acknowledged.add();
        return;
    }
    tokio::time::sleep_until(deadline).await;
    near.counters.outwaited.add();
    let missing: Vec<_> = others
        .into_iter()
        .filter(|member| !call.expected.is_heard(&[member.process], 0))
        .collect();
    // All nodes that listen have answered. So the missing ones have no connection, and will enter the set again
    // before they keep a copy. Waiting for them once more would be in vain.
    if call.hears && evidence.is_home && call.expected.count() >= evidence.heard {
        prune(link, &call.tag, &missing).await;
    }
}

/// Waits until acknowledgements can be heard.
async fn listen(near: &Near, link: &Link, tag: &Arc<NearTag>) -> Result<(), StoreError> {
    let home = link.near(tag.keys()).ok_or_else(error::unavailable)?;
    home.listen(tag);
    loop {
        let mut progress = std::pin::pin!(near.progress.notified());
        progress.as_mut().enable();
        if home.hears_replies(tag) {
            return Ok(());
        }
        progress.await;
    }
}

async fn prune(link: &Link, tag: &NearTag, gone: &[&NearMember]) {
    let args: Vec<_> = gone
        .iter()
        .flat_map(|member| [member.name.as_bytes(), member.score.as_bytes()])
        .collect();
    // They stay otherwise, which costs time and nothing else.
    if let Err(error) = NEAR_PRUNE.run(link, tag.keys(), &[&tag.names.members], &args).await {
        let error = &error as &dyn std::error::Error;
        tracing::debug!(error, "a process without near copies still counts as one that has some");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_is_waited_for_a_little_longer_than_the_longest_lag() {
        let millis = Duration::from_millis;
        let (near, _owed) = Near::new(0, Some((1 << 20, millis(200))));
        assert_eq!(near.longest_lag(), millis(203));
        near.longest.fetch_max(5000, Ordering::Relaxed);
        assert_eq!(near.longest_lag(), millis(5051));
    }

    #[test]
    fn the_evidence_names_each_process_with_its_lag() {
        let bulk = |text: &str| Reply::BulkString(text.as_bytes().to_vec());
        let [a, b] = [(); 2].map(|()| Token::random());
        let names = [
            format!("501:{a}"),
            "gibberish".to_owned(),
            format!("x:{a}"),
            format!("99999999:{b}"),
        ];
        let members = names.iter().flat_map(|name| [bulk(name), bulk("7")]);
        let reply = Reply::Array([Reply::Int(3)].into_iter().chain(members).collect());
        let evidence = evidence(&reply).unwrap();
        assert!(evidence.heard == 3 && evidence.is_home);
        let members = evidence.members.iter();
        let members: Vec<_> = members.map(|member| (member.process, member.lag.as_millis())).collect();
        // No program can make others wait for hours.
        assert_eq!(members, [(a, 501), (b, 10_001)]);
        assert!(evidence.members.iter().all(|member| member.score == "7"));
        for reply in [Reply::Int(1), Reply::Array(Vec::new()), Reply::Array(vec![Reply::Nil])] {
            assert!(super::evidence(&reply).is_none());
        }
    }
}

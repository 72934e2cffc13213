//! Requests whose key is not known before their body is read.

use std::sync::Arc;

use tokio::time::Instant;

use super::answer;
use crate::key::{Address, Key};
use crate::middleware::cache::Cache;
use crate::middleware::grpc::until;
use crate::middleware::inner::InnerCall;
use crate::middleware::lead::begin;
use crate::middleware::lead::on_path;
use crate::middleware::policy::cache_status::decision::Decision;
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::reason::Reason;
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::respond::body::ReplyBody;
use crate::middleware::respond::future::Step;
use crate::middleware::respond::tally::Answer;
use crate::middleware::respond::told_key::ToldKey;
use crate::middleware::respond::trailers_only::deadline_exceeded;
use crate::task::BoxFuture;
use crate::trace;

/// A request whose body is read for the key.
pub(crate) type BodyKeyRead = BoxFuture<'static, (Option<Key>, InnerCall)>;

/// Reads the body for the key; then hit, follow or lead.
pub(crate) fn answer_with_body(
    cache: Arc<Cache>,
    reading: BodyKeyRead,
    deadline: Option<Instant>,
    told: Option<ToldKey>,
) -> BoxFuture<'static, Step<Answer>> {
    Box::pin(async move {
        let read = match deadline {
            Some(deadline) => until(deadline, reading).await,
            None => Some(reading.await),
        };
        let Some((key, call)) = read else {
            return Step::Done(too_late());
        };
        let key = key.map(|key| cache.whole_key(key, call.headers()));
        let Some(key) = key else {
            let decision = Forwarded::because(Forward::Bypass).bypassed(Reason::BodyNotInKey);
            return begin::by_itself(call, decision);
        };
        let address = Address::of(&cache.memo.shared.tag, key);
        trace::locate(&address);
        told.inspect(|told| told.set(&address));
        if on_path::has_been_at(&call.head.extensions, &cache.memo.shared.store, &address) {
            cache.memo.shared.asks_for_itself(&address);
            return Step::then(async move {
                let result = call.send().await.map(|response| response.map(ReplyBody::inner));
                let decision = Decision::untouched(Reason::Reentry);
                Step::Done(Answer { result, decision })
            });
        }
        cache.ask(&address);
        // The body is read: the key covers it.
        let can_lead = true;
        let looking = answer::give(cache, call, address, RequestConstraints::default(), can_lead);
        // A hit is an answer whatever the deadline.
        let looked = match deadline {
            Some(deadline) => until(deadline, looking).await,
            None => Some(looking.await),
        };
        let Some(step) = looked else {
            return Step::Done(too_late());
        };
        match (step, deadline) {
            (Step::Then(waiting), Some(deadline)) => Step::then(async move {
                let answer = until(deadline, Step::Then(waiting).finish()).await;
                Step::Done(answer.unwrap_or_else(too_late))
            }),
            (step, _) => step,
        }
    })
}

/// The deadline of a call is over.
fn too_late() -> Answer {
    Answer::new(deadline_exceeded(), Decision::refused(Reason::Deadline))
}

//! [`Draft`]: a response to store, as far as it is known once its head is there.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::CONTENT_LENGTH;
use http::{HeaderMap, StatusCode, response};
use tokio::time::Instant;

use super::{Meta, StoredResponse};
use crate::key::Label;
use crate::middleware::MemoControl;
use crate::middleware::policy::freshness::Terms;
use crate::middleware::policy::origin::Origin;
use crate::middleware::policy::{age, fields, groups};
use crate::system::{fill, now};
use crate::trace::TraceContext;

#[derive(Clone)]
pub(crate) struct Draft {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) control: MemoControl,
    pub(crate) received: Instant,
    age: Duration,
    stored_at: SystemTime,
    cost: Duration,
    /// The generation of its variants, where it had to be settled before the end.
    generation: Option<[u8; 8]>,
    computed_by: Option<TraceContext>,
    /// The generation in which it was begun to be computed.
    pub(crate) began: Option<u64>,
}

impl Draft {
    /// Of a response whose head is there `now`, and was asked for at `started`.
    pub(crate) fn new(
        head: &response::Parts,
        control: MemoControl,
        now: SystemTime,
        started: Instant,
        computed_by: Option<TraceContext>,
    ) -> Self {
        let mut headers = head.headers.clone();
        if head.status == StatusCode::NO_CONTENT {
            // RFC 9110, 8.6.
            headers.remove(CONTENT_LENGTH);
        }
        Self {
            status: head.status,
            headers,
            control,
            received: Instant::now(),
            age: age::on_arrival(&head.headers, now).unwrap_or_default(),
            stored_at: now,
            cost: started.elapsed(),
            generation: None,
            computed_by,
            began: None,
        }
    }

    /// The labels by which the response can be invalidated: the tags that the handler gave it, and its groups, each by
    /// its name and as a group of its origin.
    pub(crate) fn labels(&self, origin: &Origin) -> Vec<Label> {
        let groups = groups::groups(&self.headers);
        let names = groups.iter().chain(&self.control.tags);
        let labels = names.flat_map(|name| [Label::new(name).ok(), Some(origin.group(name))]);
        Label::each_once(labels.flatten().collect())
    }

    /// Holds no more memory than its fields need.
    pub(crate) fn compact(&mut self) {
        self.headers = fields::compact(&self.headers);
    }

    /// Settles the generation of all responses that are made of this draft, if it has variants.
    pub(crate) fn settle_generation(&mut self) {
        self.generation = Some(random());
    }

    pub(crate) fn finish(
        self,
        content: Bytes,
        trailers: Option<HeaderMap>,
        terms: Terms,
        variant: Option<[u8; 16]>,
    ) -> StoredResponse {
        // The handler's tags come first: the groups beyond the bound are left out.
        let mut control = self.control;
        control.add_tags(&groups::groups(&self.headers));
        let meta = Meta {
            stored_at: self.stored_at,
            fresh_for: terms.fresh_for,
            age: self.age,
            cost: self.cost + self.received.elapsed(),
            stale_while_revalidate: terms.stale_while_revalidate,
            stale_if_error: terms.stale_if_error,
            variant,
            kept_for: terms.kept_for,
            must_revalidate: terms.must_revalidate,
            for_authorized: terms.for_authorized,
            for_cookies: terms.for_cookies,
            generation: variant.map(|_| self.generation.unwrap_or_else(random)),
            groups: groups::bounded(control.tags),
            computed_by: self.computed_by,
            began: self.began,
            is_marker: false,
        };
        StoredResponse::new(self.status, self.headers, content, trailers, meta).stored(self.received)
    }
}

fn random() -> [u8; 8] {
    let mut random = [0; 8];
    if fill(&mut random).is_err() {
        // Without a random source, the moment: no other response has the same.
        let since = now().duration_since(SystemTime::UNIX_EPOCH);
        random = (since.unwrap_or_default().as_nanos() as u64).to_be_bytes();
    }
    random
}

//! [`Tally`]: what became of requests, counted and logged. [`Teller`]: sees to it that each has one [`Decision`].

use std::sync::{Arc, OnceLock};

use http::Response;
use tracing::Span;

use super::body::ReplyBody;
use super::told_key::ToldKey;
use crate::counter::{Counter, Figure, Metric, Sample, Visit};
use crate::key::{Address, Tag};
use crate::middleware::inner::InnerError;
use crate::middleware::policy::cache_status::decision::Decision;
use crate::middleware::policy::reason::{Reason, RequestOutcome};
use crate::trace;

const REQUESTS: &str = "memolock_requests_total";
const HELP: &str = "Requests, by what became of them and why.";

/// How many requests had which outcome, for which reason.
pub(crate) struct Tally {
    tag: Tag,
    /// By outcome and reason. All pairs that can occur are there from the beginning.
    requests: Box<[OnceLock<Counter>]>,
}

impl Tally {
    pub(crate) fn new(tag: &Tag) -> Self {
        let pairs = RequestOutcome::ALL.len() * Reason::ALL.len();
        let tally = Self {
            tag: tag.clone(),
            requests: (0..pairs).map(|_| OnceLock::new()).collect(),
        };
        for reason in Reason::ALL {
            for outcome in reason.outcomes() {
                tally.counter(*outcome, reason);
            }
        }
        tally
    }

    #[inline]
    fn counter(&self, outcome: RequestOutcome, reason: Reason) -> Option<&Counter> {
        let counter = self
            .requests
            .get(outcome as usize * Reason::ALL.len() + reason as usize)?;
        Some(counter.get_or_init(|| Counter::new(metric(&labels(&self.tag, outcome, reason)))))
    }

    /// Counts a request that is answered without a [`Teller`], and logs it.
    #[inline]
    pub(crate) fn decide(&self, outcome: RequestOutcome, reason: Reason, address: Option<&Address>) {
        if let Some(counter) = self.counter(outcome, reason) {
            counter.add();
        }
        tracing::debug!(
            target: trace::REQUESTS,
            address = address.map(|address| tracing::field::display(address.readable())),
            outcome = outcome.as_str(),
            reason = reason.as_str(),
            "what became of a request"
        );
    }

    /// Shows how many requests there were.
    #[cfg_attr(
        not(any(test, feature = "admin")),
        expect(dead_code, reason = "the admin service shows them")
    )]
    pub(crate) fn visit(&self, each: Visit<'_>) {
        for outcome in RequestOutcome::ALL {
            for reason in Reason::ALL {
                let counter = self
                    .requests
                    .get(outcome as usize * Reason::ALL.len() + reason as usize);
                if let Some(counter) = counter.and_then(OnceLock::get) {
                    each(Sample {
                        metric: metric(&labels(&self.tag, outcome, reason)),
                        figure: Figure::Counter(counter.get()),
                    });
                }
            }
        }
    }
}

fn labels(tag: &Tag, outcome: RequestOutcome, reason: Reason) -> [(&'static str, &str); 3] {
    [
        ("tag", tag.as_str()),
        ("outcome", outcome.as_str()),
        ("reason", reason.as_str()),
    ]
}

fn metric<'a>(labels: &'a [(&'static str, &'a str)]) -> Metric<'a> {
    Metric {
        name: REQUESTS,
        help: HELP,
        labels,
    }
}

/// The outcome of a request, and its reason.
pub(crate) struct Answer {
    pub(crate) result: Result<Response<ReplyBody>, InnerError>,
    pub(crate) decision: Decision,
}

impl Answer {
    pub(crate) fn new(response: Response<ReplyBody>, decision: Decision) -> Self {
        let result = Ok(response);
        Self { result, decision }
    }

    /// The inner service failed.
    pub(crate) fn failed(error: InnerError, decision: Decision) -> Self {
        let result = Err(error);
        Self { result, decision }
    }

    pub(crate) fn map_body(self, map: impl FnOnce(ReplyBody) -> ReplyBody) -> Self {
        Self {
            result: self.result.map(|response| response.map(map)),
            ..self
        }
    }
}

/// Tells what became of one request. If it is dropped before there is an answer, it tells that there was none.
pub(crate) struct Teller {
    tally: Arc<Tally>,
    cache_status: bool,
    key: Option<ToldKey>,
    /// Boxed, because most requests are in none, and each waiter would keep room for it.
    lookup: Option<Box<Span>>,
    decided: bool,
}

impl Teller {
    /// `key` gets the request's key, once it is known, where the key is to be told.
    pub(crate) fn new(tally: &Arc<Tally>, cache_status: bool, key: Option<ToldKey>) -> Self {
        Self {
            tally: Arc::clone(tally),
            cache_status,
            key,
            lookup: None,
            decided: false,
        }
    }

    /// The same, for a request that is looked up in this span.
    pub(crate) fn looking_up(mut self, lookup: Span) -> Self {
        self.lookup = (!lookup.is_disabled()).then(|| Box::new(lookup));
        self
    }

    /// Runs a part of the lookup.
    pub(crate) fn in_lookup<T>(&self, part: impl FnOnce() -> T) -> T {
        match &self.lookup {
            Some(lookup) => lookup.in_scope(part),
            None => part(),
        }
    }

    pub(crate) fn tell(&mut self, answer: Answer) -> Result<Response<ReplyBody>, InnerError> {
        let Answer { mut result, decision } = answer;
        self.decide(decision);
        if let Ok(response) = &mut result {
            let headers = response.headers_mut();
            if self.cache_status {
                decision.tell(headers);
            }
            if let Some(key) = &self.key {
                key.tell(headers);
            }
        }
        result
    }

    fn decide(&mut self, decision: Decision) {
        self.decided = true;
        let Decision { outcome, reason, .. } = decision;
        let address = self.key.as_ref().and_then(ToldKey::address);
        if let Some(lookup) = &self.lookup {
            lookup.record("outcome", outcome.as_str());
            lookup.record("reason", reason.as_str());
        }
        self.in_lookup(|| self.tally.decide(outcome, reason, address));
    }
}

impl Drop for Teller {
    fn drop(&mut self) {
        if !self.decided {
            self.decide(Decision::left(match std::thread::panicking() {
                true => Reason::Panic,
                false => Reason::ClientGone,
            }));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counted(tally: &Tally) -> Vec<(String, String, u64)> {
        let mut counted = Vec::new();
        tally.visit(&mut |sample| {
            let Figure::Counter(count) = sample.figure else {
                panic!()
            };
            let [("tag", "t"), ("outcome", outcome), ("reason", reason)] = sample.metric.labels else {
                panic!("{:?}", sample.metric)
            };
            counted.push(((*outcome).to_owned(), (*reason).to_owned(), count));
        });
        counted
    }

    #[test]
    fn all_pairs_that_go_together_are_there_from_the_beginning() {
        let tally = Tally::new(&Tag::new("t").unwrap());
        let pairs: usize = Reason::ALL.iter().map(|reason| reason.outcomes().len()).sum();
        assert_eq!(counted(&tally).len(), pairs);
        for reason in Reason::ALL {
            for outcome in reason.outcomes() {
                tally.decide(*outcome, reason, None);
            }
        }
        assert!(counted(&tally).iter().all(|(.., count)| *count == 1));
        assert_eq!(counted(&tally).len(), pairs);
    }

    #[test]
    fn a_request_that_is_dropped_has_left_and_one_that_was_told_has_not() {
        let tally = Arc::new(Tally::new(&Tag::new("t").unwrap()));
        drop(Teller::new(&tally, true, None));
        let answer = Answer::new(Response::new(ReplyBody::empty()), Decision::refused(Reason::Pause));
        let Ok(response) = Teller::new(&tally, true, None).tell(answer) else {
            panic!()
        };
        assert_eq!(response.headers()["cache-status"], "memolock; detail=pause");
        let seen: Vec<_> = counted(&tally).into_iter().filter(|(.., count)| *count > 0).collect();
        let pair = |outcome: &str, reason: &str| (outcome.to_owned(), reason.to_owned(), 1);
        assert_eq!(seen, [pair("refused", "pause"), pair("left", "client-gone")]);
    }
}

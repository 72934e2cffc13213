//! [`Observer`]: sees a response go by.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::Response;
use http::header::HeaderName;
use http_body::{Body, Frame};
use tokio::time::Instant;

use super::asked::{RequestStanding, RequestTraits};
use super::books::{Books, Fate, WatchedRequest, WatchedResponse};
use super::digest::ResponseDigest;
use super::report::ShadowReport;
use crate::middleware::policy::control::MemoControl;
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::response::{Head, at_head};
use crate::middleware::policy::response_rules::ResponseRules;
use crate::middleware::policy::sharing::{Reason, Sharing};
use crate::middleware::policy::vary::{self, Vary};
use crate::system::now;

/// What a layer in shadow mode knows.
pub(crate) struct Shadow {
    books: Mutex<Books>,
    since: Instant,
}

impl Default for Shadow {
    fn default() -> Self {
        Self {
            books: Mutex::default(),
            since: Instant::now(),
        }
    }
}

impl Shadow {
    fn books(&self) -> MutexGuard<'_, Books> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A request comes, whose response is judged by these rules.
    pub(crate) fn begin(self: &Arc<Self>, asked: RequestTraits, rules: ResponseRules) -> Observer {
        let began = Instant::now();
        let entry = self.books().begin(&asked, began);
        Observer {
            shadow: Arc::clone(self),
            asked,
            rules,
            began,
            entry: Some(entry),
            passing: None,
        }
    }

    pub(crate) fn report(&self) -> ShadowReport {
        ShadowReport::of(&self.books(), self.since.elapsed())
    }
}

/// Goes with one request, and its response. If it is dropped before the end, it tells that there was none.
pub(crate) struct Observer {
    shadow: Arc<Shadow>,
    asked: RequestTraits,
    rules: ResponseRules,
    began: Instant,
    entry: Option<WatchedRequest>,
    passing: Option<Passing>,
}

/// A response whose body goes by.
struct Passing {
    fate: Fate,
    vary: Vec<HeaderName>,
    digest: ResponseDigest,
    /// How long the body is, where that is known.
    expected: Option<u64>,
}

impl Observer {
    pub(crate) fn head<B: Body>(&mut self, response: &Response<B>) {
        let is_empty = response.body().is_end_stream();
        self.passing = Some(Passing {
            fate: self.fate(response),
            vary: match vary::names(response.headers()) {
                Vary::Names(names) => names,
                Vary::None | Vary::Any => Vec::new(),
            },
            digest: ResponseDigest::of_head(response.status(), response.headers()),
            expected: response.body().size_hint().exact(),
        });
        if is_empty {
            self.finish();
        }
    }

    /// What would become of the response.
    fn fate<B>(&self, response: &Response<B>) -> Fate {
        let control = response.extensions().get::<MemoControl>().cloned().unwrap_or_default();
        let head = Head {
            method: &self.asked.method,
            status: response.status(),
            headers: response.headers(),
            control: &control,
        };
        let credentials = match self.asked.standing {
            RequestStanding::Keyed(_, constraints) => Credentials::known(constraints),
            RequestStanding::Changes(_) | RequestStanding::Alone(_) => Credentials::None,
        };
        match credentials.limit(at_head(&head, &self.rules, now()), &head, &self.rules) {
            Sharing::Store(terms) if !terms.fresh_for.is_zero() => Fate::Stored(terms.fresh_for),
            Sharing::Store(_) | Sharing::Share => Fate::Shared,
            Sharing::Pass(reason) => Fate::Alone(reason.as_str()),
        }
    }

    /// A frame of the body, or its end.
    pub(crate) fn see<E>(&mut self, frame: Option<&Result<Frame<Bytes>, E>>, is_end: bool) {
        let Some(passing) = &mut self.passing else { return };
        let is_over = match frame {
            None => true,
            Some(Err(_)) => return drop(self.passing.take()),
            Some(Ok(frame)) => {
                passing.digest.add(frame);
                is_end
                    || passing
                        .expected
                        .is_some_and(|expected| passing.digest.len() >= expected)
            }
        };
        if is_over {
            self.finish();
        }
    }

    fn finish(&mut self) {
        let (Some(entry), Some(passing)) = (self.entry.take(), self.passing.take()) else {
            return;
        };
        let fate = match passing.digest.len() > self.rules.max_body {
            true => Fate::Alone(Reason::TooLarge.as_str()),
            false => passing.fate,
        };
        let seen = WatchedResponse {
            digest: passing.digest.finish(),
            fate,
            vary: passing.vary,
        };
        let now = Instant::now();
        let took = now.saturating_duration_since(self.began);
        self.shadow.books().finish(&self.asked, entry, seen, took, now);
    }
}

impl Drop for Observer {
    fn drop(&mut self) {
        if let Some(entry) = self.entry.take() {
            self.shadow.books().broken(&entry);
        }
    }
}

impl fmt::Debug for Observer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Observer")
    }
}

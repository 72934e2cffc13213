//! Whether a response that goes by can be shared: its end tells.

use bytes::Bytes;
use http::{HeaderMap, Method, StatusCode};
use http_body::{Frame, SizeHint};
use tokio::time::Instant;

use super::endless;
use crate::middleware::policy::cookies::SetCookie;
use crate::middleware::policy::ending::{Ended, at_end, is_sized};
use crate::middleware::policy::fields;
use crate::middleware::policy::response_rules::ResponseRules;
use crate::middleware::policy::sharing::Sharing;

/// A response that can be shared if it ends as it should.
pub(crate) struct Candidate {
    pub(crate) method: Method,
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) sharing: Sharing,
    pub(crate) set_cookie: SetCookie,
}

impl Candidate {
    /// Whether its head says how long it is.
    pub(crate) fn is_sized(&self, hint: &SizeHint) -> bool {
        is_sized(&self.headers, hint)
    }

    /// Watches the response's body, which began at that moment. If the response can be shared, calls `on_shared`, with
    /// whether the body took long enough to be worth remembering. A body that took longer than followers could have
    /// waited does not count.
    pub(crate) fn trial(
        self,
        rules: &ResponseRules,
        begun: Instant,
        is_sized: bool,
        on_shared: impl FnOnce(bool) + Send + Sync + 'static,
    ) -> Trial {
        let (max_headers, after) = (rules.max_headers, rules.endless_after);
        Trial::new(rules.max_body, move |body_len, trailers| {
            let ended = Ended {
                method: &self.method,
                status: self.status,
                headers: &self.headers,
                trailers,
                body_len,
                set_cookie: self.set_cookie,
            };
            let size = fields::size(&self.headers) + trailers.map_or(0, fields::size);
            let ended = at_end(self.sharing, &ended);
            let took = begun.elapsed();
            let in_time = is_sized || took <= endless::longest(after);
            if matches!(ended, Ok(Sharing::Store(_) | Sharing::Share)) && size <= max_headers && in_time {
                on_shared(!is_sized && took >= after);
            }
        })
    }
}

type AtEnd = Box<dyn FnOnce(u64, Option<&HeaderMap>) + Send + Sync>;

/// Watches a body go by, and says so if it comes to its end within a limit.
pub(crate) struct Trial {
    limit: u64,
    len: u64,
    trailers: Option<HeaderMap>,
    /// With the length of the body and its trailer fields. `None` once it is known.
    verdict: Option<AtEnd>,
}

impl Trial {
    pub(crate) fn new(limit: u64, verdict: impl FnOnce(u64, Option<&HeaderMap>) + Send + Sync + 'static) -> Self {
        Self {
            limit,
            len: 0,
            trailers: None,
            verdict: Some(Box::new(verdict)),
        }
    }

    /// The same, where this much of the body has gone by already.
    pub(crate) fn after(mut self, len: u64) -> Self {
        self.len = len;
        self
    }

    /// The body has gone by, to its end.
    pub(crate) fn ended(mut self, len: u64, trailers: Option<&HeaderMap>) {
        if let Some(verdict) = self.verdict.take() {
            verdict(len, trailers);
        }
    }

    /// The next frame, and whether the body says that it is the last one: there is no need to ask for another then.
    pub(crate) fn see<E>(&mut self, frame: Option<&Result<Frame<Bytes>, E>>, is_last: bool) {
        if self.verdict.is_none() {
            return;
        }
        let is_over = match frame {
            Some(Ok(frame)) => {
                self.len += frame.data_ref().map_or(0, |data| data.len() as u64);
                if let Some(trailers) = frame.trailers_ref() {
                    self.trailers = Some(trailers.clone());
                }
                is_last
            }
            Some(Err(_)) => {
                self.verdict = None;
                return;
            }
            None => true,
        };
        if self.len > self.limit {
            self.verdict = None;
        }
        if is_over && let Some(verdict) = self.verdict.take() {
            verdict(self.len, self.trailers.as_ref());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    fn tried(frames: Vec<Option<Result<Frame<Bytes>, ()>>>, last: bool) -> Option<u64> {
        let (sender, receiver) = std::sync::mpsc::channel();
        let sender = Mutex::new(sender);
        let mut trial = Trial::new(4, move |len, _| sender.lock().unwrap().send(len).unwrap());
        let count = frames.len();
        for (at, frame) in frames.into_iter().enumerate() {
            trial.see(frame.as_ref(), last && at + 1 == count);
        }
        receiver.try_recv().ok()
    }

    #[test]
    fn trial_is_over_with_the_end_of_a_body_within_the_limit() {
        let data = |len| Some(Ok(Frame::data(Bytes::from(vec![0; len]))));
        assert_eq!(tried(vec![None], false), Some(0));
        assert_eq!(tried(vec![data(2), data(2), None], false), Some(4));
        assert_eq!(tried(vec![data(2), data(2)], true), Some(4));
        assert_eq!(tried(vec![data(2), data(2)], false), None);
        assert_eq!(tried(vec![data(2), data(3), None], false), None);
        assert_eq!(tried(vec![data(2), Some(Err(())), None], false), None);
    }
}

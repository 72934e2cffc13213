//! [`Admission`]: decides whether a response is shared, and tells the log and the counters.

mod passing;

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::{Method, StatusCode, response};
use http_body::SizeHint;
use tokio::time::Instant;

use super::marker::unmark;
use crate::key::Address;
use crate::memo::{Limit, Past, Shared};
use crate::middleware::MemoControl;
use crate::middleware::known::credential_history::CredentialHistory;
use crate::middleware::known::demand::DemandOf;
use crate::middleware::known::hit_for_pass::{HitForPass, SPREAD};
use crate::middleware::known::misuse::Misuse;
use crate::middleware::known::pauses::{Failed, Pauses};
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::ending::is_sized;
use crate::middleware::policy::response::{Head, at_head, is_fresh_by_itself};
use crate::middleware::policy::response_rules::{ResponseRules, Unconfirmed};
use crate::middleware::policy::sharing::{Reason, Sharing};
use crate::middleware::recording::endless::Horizon;
use crate::middleware::recording::trial::{Candidate, Trial};
use crate::middleware::stored_response::draft::Draft;
use crate::middleware::stored_response::{Form, StoredResponse};
use crate::system;

/// All that decides whether a response is shared, and where the decision is told.
pub(crate) struct Admission {
    pub(crate) shared: Arc<Shared<Form>>,
    pub(crate) hit_for_pass: Arc<HitForPass>,
    pub(crate) pauses: Arc<Pauses>,
    pub(crate) misuse: Arc<Misuse>,
    pub(crate) address: Address,
    pub(crate) rules: ResponseRules,
    pub(crate) cache_status: bool,
    pub(crate) credential_history: Arc<CredentialHistory>,
    pub(crate) credentials: Credentials,
    /// For the response, where it depends on that whether anything is stored.
    pub(crate) demand: Option<DemandOf>,
}

impl Admission {
    pub(crate) fn at_head(
        &self,
        method: &Method,
        head: &response::Parts,
        control: &MemoControl,
        now: SystemTime,
    ) -> Sharing {
        let head = Head {
            method,
            status: head.status,
            headers: &head.headers,
            control,
        };
        let sharing = self
            .credentials
            .limit(at_head(&head, &self.rules, now), &head, &self.rules);
        self.misuse.judged(head.status, head.headers, sharing, &self.rules);
        match sharing {
            Sharing::Store(terms) if terms.no_cache && self.shared.codec.is_raw() => Sharing::Pass(Reason::NoCache),
            Sharing::Store(mut terms) => {
                if self.shared.codec.is_raw() {
                    terms = terms.while_fresh();
                }
                terms.fresh_for = self.rules.random.shortened(terms.fresh_for, self.rules.ttl_jitter);
                Sharing::Store(terms)
            }
            sharing => sharing,
        }
    }

    /// The same, but a failure is for all followers once it is the second in a row.
    pub(crate) fn confirmed(&self, sharing: Sharing, past: Past) -> Sharing {
        let confirms =
            self.rules.on_unconfirmed == Unconfirmed::Confirm && !matches!(self.credentials, Credentials::Unknown(_));
        match sharing {
            Sharing::Pass(Reason::Failure) if confirms && past.failures > 0 => Sharing::Share,
            sharing => sharing,
        }
    }

    /// Whether the key was asked for often enough for the response to be stored.
    pub(crate) fn is_wanted(&self) -> bool {
        let demand = self.demand.as_ref();
        demand.is_none_or(|demand| demand.is_enough(Instant::now()))
    }

    /// The marker of a response that is not shared for this reason.
    pub(crate) fn marker(&self, reason: Reason, status: StatusCode) -> Option<(Arc<StoredResponse>, Duration)> {
        let (rules, is_error) = (&self.rules, status.is_client_error() || status.is_server_error());
        if !reason.is_lasting() || is_error || rules.pass_marker.is_zero() || !self.is_wanted() {
            return None;
        }
        let time = rules.random.shortened(rules.pass_marker, SPREAD);
        self.hit_for_pass.put(&self.address, Instant::now(), time);
        Some((Arc::new(StoredResponse::marker()), time))
    }

    /// The same, unless a body of at least `bytes` bytes is too long.
    pub(crate) fn at_size(&self, bytes: u64, sharing: Sharing) -> Sharing {
        let held = self.shared.counters.recorded_bytes.get();
        if bytes > self.rules.max_body {
            Sharing::Pass(Reason::TooLarge)
        } else if bytes > self.rules.max_recording.saturating_sub(held) {
            Sharing::Pass(Reason::NoRoom)
        } else {
            sharing
        }
    }

    /// Until when the followers are kept waiting for the end of a body.
    pub(crate) fn horizon(&self, draft: &Draft, hint: &SizeHint) -> Horizon {
        let rules = &self.rules;
        let horizon = Horizon::new(draft.received, rules.endless_after, rules.max_body);
        if is_sized(&draft.headers, hint) {
            return horizon.never();
        }
        let says_so = is_fresh_by_itself(&draft.headers, &draft.control, rules, system::now());
        match says_so || self.hit_for_pass.ends.are_known(&self.address) {
            true => horizon.expected(),
            false => horizon,
        }
    }

    /// Watches a body that turned out endless: it may end after all.
    pub(crate) fn watch(&self, candidate: Candidate, begun: Instant) -> Trial {
        self.hit_for_pass.ends.forget(&self.address);
        let (shared, hit_for_pass) = (Arc::clone(&self.shared), Arc::clone(&self.hit_for_pass));
        let address = self.address.clone();
        candidate.trial(&self.rules, begun, false, move |took_long| {
            unmark(&shared, &hit_for_pass, &address, took_long);
        })
    }

    /// Says why the response is not shared.
    pub(crate) fn tell(&self, reason: Reason) {
        tracing::debug!(address = %self.address.readable(), reason = reason.as_str(), "the response is not shared");
        match reason {
            Reason::TooLarge => self.shared.counters.limited_body.add(),
            Reason::HeadersTooLarge => self.shared.counters.limited_headers.add(),
            Reason::NoRoom => self.shared.limited(&self.address, Limit::Recording),
            _ => {}
        }
    }

    /// The computation failed.
    pub(crate) fn pause(&self, failed: impl FnOnce() -> Failed) {
        // The failure of a request that may be unlike others says nothing of those.
        if !self.rules.fail_pause.is_zero() && !matches!(self.credentials, Credentials::Unknown(_)) {
            let time = self.rules.fail_pause;
            self.pauses.begin(&self.address, Instant::now(), time, failed());
        }
    }

    /// The inner service has answered with this status.
    pub(crate) fn pause_by(&self, status: StatusCode) {
        match status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
            true => self.pause(|| Failed::Status(status)),
            false => self.pauses.end(&self.address),
        }
    }
}

//! Requests with credentials, whose responses are for others only where they say so.
//!
//! Whether such a response may be shared is known only once it is there. So the request does not wait: a miss goes to
//! the inner service at once. Meanwhile it tries to take the lease, without waiting for it, so that a response that
//! says that it is for all such requests can be stored, fenced like every other. That response is the *record* from
//! then on. As long as the record is stored, fresh or stale, or this process remembers it, requests like the first one
//! wait, lead and refresh as all others do.
//!
//! A response that does not say so reaches its own client only. It goes neither to followers nor to the store. It
//! leaves no marker either, because it means nothing for requests without credentials.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};
use tokio::time::Instant;

use super::admission::Admission;
use super::unshared::Unshared;
use crate::key::Address;
use crate::memo::{self, Lead, Settled};
use crate::middleware::cache::Cache;
use crate::middleware::inner::InnerCall;
use crate::middleware::known::credential_history::{CredentialHistory, Seen};
use crate::middleware::known::hit_for_pass::SPREAD;
use crate::middleware::lead::begin::computing_as;
use crate::middleware::lookup::{Miss, VariantAddress};
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::permission::Permission;
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::policy::response::is_heuristic;
use crate::middleware::policy::response_rules::Unconfirmed;
use crate::middleware::policy::sharing::{Reason, Sharing};
use crate::middleware::respond::body::ReplyBody;
use crate::middleware::respond::future::Step;
use crate::middleware::respond::tally::Answer;
use crate::middleware::stored_response::{Meta, StoredResponse};

/// How long the entry is stored that takes the place of a record: as short as a store can.
const MOMENT: Duration = Duration::from_millis(1);

/// How long after a failure no such request tries to have its response stored: a request without credentials is not to
/// wait for one failure after another.
const ERROR_REST: Duration = Duration::from_secs(3);

impl Admission {
    /// Remembers that there was nothing for other requests like this one.
    pub(crate) fn remember_refusal(&self, is_error: bool) {
        let (constraints, time) = match self.credentials {
            Credentials::Unknown(constraints) if is_error => (constraints, ERROR_REST.min(self.rules.pass_marker)),
            Credentials::Unknown(constraints) | Credentials::Known(constraints) if !is_error => {
                (constraints, self.rules.pass_marker)
            }
            // An error does not make this process forget the record.
            Credentials::None | Credentials::Unknown(_) | Credentials::Known(_) => return,
        };
        let seen = Seen::Refused {
            cookies: constraints.cookies,
        };
        let time = self.rules.random.shortened(time, SPREAD);
        self.credential_history.see(&self.address, seen, Instant::now(), time);
    }
}

impl Admission {
    /// Ends a computation whose response is for its own request only.
    pub(crate) fn pass(&self, lead: Lead<Arc<StoredResponse>>, reason: Reason, status: StatusCode) -> Settled {
        let is_error = status.is_client_error() || status.is_server_error();
        if let Some(failed) = self.declines(reason, status) {
            return self.decline(lead, failed, is_error);
        }
        self.remember_refusal(is_error);
        match self.credentials {
            Credentials::None | Credentials::Known(_) if reason == Reason::NoRoom => lead.crowded_out(),
            Credentials::None => lead.pass(self.marker(reason, status)),
            // Requests without credentials that wait are not to pay for this one.
            Credentials::Unknown(_) => lead.withdraw(),
            // An error says nothing of the response that others get.
            Credentials::Known(_) if is_error => lead.pass(None),
            Credentials::Known(_) => lead.pass(Some((Arc::new(no_record()), MOMENT))),
        }
    }

    /// `Some` where the response says nothing at all of what others would get; then whether it is a failure.
    fn declines(&self, reason: Reason, status: StatusCode) -> Option<bool> {
        match reason {
            Reason::Failure => Some(true),
            Reason::Unconfirmed => Some(false),
            _ if self.rules.on_unconfirmed == Unconfirmed::Share || is_heuristic(status) => None,
            _ => Some(status.is_server_error()),
        }
    }

    /// One follower tries next, or all go their own way. There is nothing to remember: one request could make it
    /// up.
    fn decline(&self, lead: Lead<Arc<StoredResponse>>, failed: bool, is_error: bool) -> Settled {
        match self.credentials {
            Credentials::Unknown(_) => {
                self.remember_refusal(is_error);
                lead.withdraw()
            }
            Credentials::None | Credentials::Known(_) if lead.past.is_last() => lead.pass(None),
            Credentials::None | Credentials::Known(_) => lead.decline(failed),
        }
    }

    /// Remembers which requests the response is for that is stored from now on, for some time longer than it is fresh.
    pub(crate) fn learn(&self, stored: &StoredResponse) {
        self.credential_history.learn(stored.meta());
        self.credential_history
            .remember(&self.address, stored, Instant::now(), self.rules.pass_marker);
    }
}

impl CredentialHistory {
    /// Remembers that there is, or was, a response for requests with credentials.
    pub(crate) fn remember(&self, address: &Address, stored: &StoredResponse, now: Instant, time: Duration) {
        let permission = Permission::stored(stored.meta());
        if permission == Permission::default() || time.is_zero() {
            return;
        }
        let fresh = stored.fresh_at(now).unwrap_or_default();
        self.see(address, Seen::Permitted(permission), now, fresh.saturating_add(time));
    }
}

/// A response to store in the place of a record that is no longer valid. It is stale from the beginning.
fn no_record() -> StoredResponse {
    let meta = Meta {
        kept_for: Duration::from_secs(1),
        ..Meta::default()
    };
    StoredResponse::new(StatusCode::OK, HeaderMap::new(), Bytes::new(), None, meta)
}

impl Cache {
    /// Whether requests like this one are known to have had a response in common.
    pub(crate) fn has_record(&self, address: &Address, constraints: &RequestConstraints) -> bool {
        let seen = self.credential_history.seen(address, Instant::now());
        seen.is_some_and(|seen| seen.permits(constraints))
    }

    /// Whether the last response to a request like this one was for its client only.
    pub(crate) fn is_refused(&self, address: &Address, constraints: &RequestConstraints) -> bool {
        let seen = self.credential_history.seen(address, Instant::now());
        seen.is_some_and(|seen| seen.refuses(constraints))
    }

    /// Sends the request to the inner service at once, and stores a response that says that it is for more than this
    /// request.
    pub(crate) async fn ask_alone(
        self: Arc<Self>,
        mut call: InnerCall,
        miss: Miss,
        constraints: RequestConstraints,
    ) -> Step<Answer> {
        let VariantAddress { address, fingerprint } = &miss.variant;
        if self.is_refused(address, &constraints) {
            let address = address.clone();
            return self.ask_again(call, address, constraints, miss.why).await;
        }
        if fingerprint.is_some_and(|fingerprint| !self.vary.admit(&miss.first, fingerprint)) {
            let decision = Forwarded::because(Forward::VaryMiss).bypassed(Reason::TooManyVariants);
            return self.then_direct(call, decision);
        }
        if self.memo.shared.counters.recorded_bytes.get() >= self.responses.max_recording {
            let decision = Forwarded::because(miss.why).bypassed(Reason::NoRoom);
            return self.then_direct(call, decision);
        }
        match memo::background::solo::lead(
            &self.memo.shared,
            address,
            &self.memo.config,
            computing_as(call.headers()),
        )
        .await
        {
            Some(lead) => {
                let computation = self.computation(lead, &mut call.head, miss);
                Step::then(async move { Step::Done(computation.run(call).await) })
            }
            None => {
                let decision = Forwarded::because(miss.why).bypassed(Reason::Credentials);
                self.then_direct(call, decision)
            }
        }
    }

    /// Sends the request to the inner service, where the last response to such a request was for its client only. The
    /// first response that is for more requests ends that.
    pub(crate) async fn ask_again(
        self: Arc<Self>,
        call: InnerCall,
        address: Address,
        constraints: RequestConstraints,
        why: Forward,
    ) -> Step<Answer> {
        let decision = Forwarded::because(why).bypassed(Reason::Credentials);
        let alone = Unshared::call(call, Credentials::Unknown(constraints), &self.responses);
        let (head, body, sharing) = match alone.await {
            Ok(alone) => (alone.head, alone.body, alone.sharing),
            Err(error) => return Step::Done(Answer::failed(error, decision)),
        };
        if let Sharing::Store(_) = sharing {
            self.credential_history.forget(&address);
        }
        let response = Response::from_parts(head, ReplyBody::inner(body));
        Step::Done(Answer::new(response, decision))
    }
}

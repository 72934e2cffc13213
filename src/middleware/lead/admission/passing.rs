//! Responses that are for their own request only, and what a process remembers of them.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use tokio::time::Instant;

use super::Admission;
use crate::memo::{Lead, Settled};
use crate::middleware::known::credential_history::Seen;
use crate::middleware::known::hit_for_pass::SPREAD;
use crate::middleware::policy::credentials::Credentials;
use crate::middleware::policy::response::is_heuristic;
use crate::middleware::policy::response_rules::Unconfirmed;
use crate::middleware::policy::sharing::Reason;
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

/// A response to store in the place of a record that is no longer valid. It is stale from the beginning.
fn no_record() -> StoredResponse {
    let meta = Meta {
        kept_for: Duration::from_secs(1),
        ..Meta::default()
    };
    StoredResponse::new(StatusCode::OK, HeaderMap::new(), Bytes::new(), None, meta)
}

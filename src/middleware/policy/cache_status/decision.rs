//! [`Decision`]: what became of one request, and what its response says of that.

use http::{HeaderMap, StatusCode};

use super::{Forward, Forwarded};
use crate::middleware::policy::reason::{Reason, RequestOutcome};

/// What became of a request. It has exactly one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Decision {
    pub(crate) outcome: RequestOutcome,
    pub(crate) reason: Reason,
    member: Told,
}

/// The member of `Cache-Status` for a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    /// It says so already, or it is for another layer to say.
    Elsewhere,
    /// The layer made the response.
    Own,
    Forwarded(Forwarded),
}

impl Decision {
    /// The response is from the store, and says so.
    pub(crate) fn found(outcome: RequestOutcome, reason: Reason) -> Self {
        let member = Told::Elsewhere;
        Self {
            outcome,
            reason,
            member,
        }
    }

    /// As if the layer were not there.
    pub(crate) fn untouched(reason: Reason) -> Self {
        Self::found(RequestOutcome::Bypassed, reason)
    }

    /// The layer answers.
    pub(crate) fn refused(reason: Reason) -> Self {
        Self {
            outcome: RequestOutcome::Refused,
            reason,
            member: Told::Own,
        }
    }

    /// There is no response.
    pub(crate) fn left(reason: Reason) -> Self {
        Self::found(RequestOutcome::Left, reason)
    }

    /// Says it in the response.
    pub(crate) fn tell(self, headers: &mut HeaderMap) {
        match self.member {
            Told::Elsewhere => {}
            Told::Own => Forwarded::tell_own(self.reason, headers),
            Told::Forwarded(forwarded) => forwarded.tell(self.reason, headers),
        }
    }
}

impl Forwarded {
    pub(crate) fn led(self, reason: Reason) -> Decision {
        self.decision(RequestOutcome::Led, reason)
    }

    pub(crate) fn passed(self, reason: Reason) -> Decision {
        self.decision(RequestOutcome::Passed, reason)
    }

    pub(crate) fn bypassed(self, reason: Reason) -> Decision {
        self.decision(RequestOutcome::Bypassed, reason)
    }

    pub(crate) fn followed(self, reason: Reason) -> Decision {
        self.decision(RequestOutcome::Followed, reason)
    }

    pub(crate) fn refused(self, reason: Reason) -> Decision {
        self.decision(RequestOutcome::Refused, reason)
    }

    /// A stale response answers in place of the response with this status, if there was one.
    pub(crate) fn stands_in(status: Option<StatusCode>) -> Decision {
        let mut forwarded = Self::because(Forward::Stale);
        forwarded.status = status;
        forwarded.decision(RequestOutcome::Stale, Reason::StaleIfError)
    }

    fn decision(self, outcome: RequestOutcome, reason: Reason) -> Decision {
        Decision {
            outcome,
            reason,
            member: Told::Forwarded(self),
        }
    }
}

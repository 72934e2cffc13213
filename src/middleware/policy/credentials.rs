//! [`Credentials`]: a client with credentials, or without.

use super::meta::Meta;
use super::permission::Permission;
use super::request::RequestConstraints;
use super::response::Head;
use super::response_rules::ResponseRules;
use super::sharing::{Reason, Sharing};

/// Whether the client has credentials, and what is known of responses to requests like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Credentials {
    /// A client without credentials, or with some that count for nothing here.
    #[default]
    None,
    /// A client with credentials.
    Unknown(RequestConstraints),
    /// The same, where there is a record.
    Known(RequestConstraints),
}

impl Credentials {
    /// Of a request for which there is a response, or was.
    pub(crate) fn known(constraints: RequestConstraints) -> Self {
        match constraints.has_credentials() {
            true => Self::Known(constraints),
            false => Self::None,
        }
    }

    /// Whether a stored response is for this one.
    pub(crate) fn may_have(self, stored: &Meta) -> bool {
        match self {
            Self::None => true,
            Self::Unknown(constraints) | Self::Known(constraints) => Permission::stored(stored).covers(&constraints),
        }
    }

    pub(crate) fn has_credentials(self) -> bool {
        self != Self::None
    }

    /// The same, unless the response does not say that it is for more requests than this one.
    pub(crate) fn limit(self, sharing: Sharing, head: &Head<'_>, rules: &ResponseRules) -> Sharing {
        match (self, sharing) {
            (Self::Unknown(constraints) | Self::Known(constraints), Sharing::Store(_) | Sharing::Share)
                if !Permission::of(head, rules).covers(&constraints) =>
            {
                Sharing::Pass(Reason::Credentials)
            }
            _ => sharing,
        }
    }
}

//! [`Credentials`]: a client with credentials, or without.

use super::meta::Meta;
use super::permission::Permission;
use super::request::RequestConstraints;
use super::response::{Head, Reason, ResponseRules, Sharing};

/// Who asks, and what is known of responses to requests like this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Credentials {
    /// A client without credentials, or with some that count for nothing here.
    #[default]
    Anybody,
    /// A client with credentials.
    Unknown(RequestConstraints),
    /// The same, where there is a record.
    Known(RequestConstraints),
}

impl Credentials {
    /// Of a request for which there is a response, or was.
    pub(crate) fn known(narrow: RequestConstraints) -> Self {
        match narrow.has_credentials() {
            true => Self::Known(narrow),
            false => Self::Anybody,
        }
    }

    /// Whether a stored response is for this one.
    pub(crate) fn may_have(self, stored: &Meta) -> bool {
        match self {
            Self::Anybody => true,
            Self::Unknown(narrow) | Self::Known(narrow) => Permission::stored(stored).covers(&narrow),
        }
    }

    pub(crate) fn has_credentials(self) -> bool {
        self != Self::Anybody
    }

    /// The same, unless the response does not say that it is for more than this one.
    pub(crate) fn limit(self, sharing: Sharing, head: &Head<'_>, rules: &ResponseRules) -> Sharing {
        match (self, sharing) {
            (Self::Unknown(narrow) | Self::Known(narrow), Sharing::Store(_) | Sharing::Share)
                if !Permission::of(head, rules).covers(&narrow) =>
            {
                Sharing::Pass(Reason::Credentials)
            }
            _ => sharing,
        }
    }
}

//! [`Sharing`]: who may have a response, and why it is for one request only.

use super::freshness::Terms;

/// Who may have a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Those who wait for it, and those who ask later, on these terms.
    Store(Terms),
    /// Those who wait for it already (RFC 9111, 4: a storable response satisfies requests that were collapsed).
    Share,
    /// The one request it was made for.
    Pass(Reason),
}

impl Sharing {
    /// The same, but nothing stored.
    pub(crate) fn at_most_share(self) -> Self {
        match self {
            // Those who wait may have it no more than those who come later.
            Self::Store(terms) if terms.no_cache => Self::Pass(Reason::NoCache),
            Self::Store(_) => Self::Share,
            Self::Share | Self::Pass(_) => self,
        }
    }
}

/// Why a response is for one request only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// The status makes sense to its own request only.
    Status,
    /// Nothing says that it is for others.
    Unconfirmed,
    /// The same, of a failure.
    Failure,
    /// `Cache-Control: no-store`.
    NoStore,
    /// `Cache-Control: no-cache`.
    NoCache,
    /// `Cache-Control: private`.
    Private,
    /// `Cache-Control` cannot be parsed.
    Malformed,
    /// The response sets a cookie.
    SetCookie,
    /// The request has credentials, and the response does not say that it is for others like it.
    Credentials,
    /// `Vary: *`.
    Vary,
    /// The handler gave it more tags than can be kept, or one that cannot be.
    Tags,
    /// The body is a stream that goes on for as long as its client listens, as its type or its duration tells.
    Endless,
    /// A reply of gRPC that is not one message.
    Messages,
    /// The body is larger than [`ResponseRules::max_body`].
    TooLarge,
    /// The fields are larger than [`ResponseRules::max_headers`].
    HeadersTooLarge,
    /// Recordings hold [`ResponseRules::max_recording`] already.
    NoRoom,
}

impl Reason {
    /// A word for it, for logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Status => "status",
            Self::Unconfirmed => "unconfirmed",
            Self::Failure => "failure",
            Self::NoStore => "no-store",
            Self::NoCache => "no-cache",
            Self::Private => "private",
            Self::Malformed => "malformed",
            Self::SetCookie => "set-cookie",
            Self::Credentials => "credentials",
            Self::Vary => "vary",
            Self::Tags => "tags",
            Self::Endless => "endless",
            Self::Messages => "messages",
            Self::TooLarge => "too-large",
            Self::HeadersTooLarge => "headers-too-large",
            Self::NoRoom => "no-room",
        }
    }

    /// Whether the next response is not one to share either, as far as this one tells.
    pub(crate) fn is_lasting(self) -> bool {
        match self {
            Self::NoStore
            | Self::NoCache
            | Self::Private
            | Self::Malformed
            | Self::SetCookie
            | Self::Vary
            | Self::Tags
            | Self::Endless
            | Self::TooLarge
            | Self::HeadersTooLarge => true,
            // Of this request, or of this moment.
            Self::Status | Self::Unconfirmed | Self::Failure | Self::Credentials | Self::Messages | Self::NoRoom => {
                false
            }
        }
    }
}

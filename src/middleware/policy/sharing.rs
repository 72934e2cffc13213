//! [`Sharing`]: who may have a response, and why it is for one request only.

use super::freshness::Terms;
pub(crate) use super::reason::Reason;

/// Who may have a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sharing {
    /// Its followers, and later requests, on these terms.
    Store(Terms),
    /// Its present followers (RFC 9111, 4: a storable response satisfies requests that were collapsed).
    Share,
    /// The one request it was made for.
    Pass(Reason),
}

impl Sharing {
    /// The same, but nothing stored.
    pub(crate) fn at_most_share(self) -> Self {
        match self {
            // The followers may have it no more than later requests.
            Self::Store(terms) if terms.no_cache => Self::Pass(Reason::NoCache),
            Self::Store(_) => Self::Share,
            Self::Share | Self::Pass(_) => self,
        }
    }
}

//! [`Sharing`]: which requests may have a response, and why it is for one request only if it is.

use super::freshness::Terms;
pub(crate) use super::reason::Reason;

/// Which requests may have a response.
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
    /// The same, but nothing is stored.
    pub(crate) fn at_most_share(self) -> Self {
        match self {
            // The followers may have it no more than later requests.
            Self::Store(terms) if terms.no_cache => Self::Pass(Reason::NoCache),
            Self::Store(_) => Self::Share,
            Self::Share | Self::Pass(_) => self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_stored_goes_to_followers_unless_no_later_request_may_have_it() {
        let terms = |no_cache| Terms {
            no_cache,
            ..Terms::default()
        };
        assert_eq!(Sharing::Store(terms(false)).at_most_share(), Sharing::Share);
        let passed = Sharing::Pass(Reason::NoCache);
        assert_eq!(Sharing::Store(terms(true)).at_most_share(), passed);
        assert_eq!(passed.at_most_share(), passed);
    }
}

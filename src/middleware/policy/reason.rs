//! [`RequestOutcome`] and [`Reason`]: what became of a request, and why it was not a plain hit.

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestOutcome {
    /// It found a fresh response in the store.
    Hit,
    /// It got a stale response.
    Stale,
    /// It waited, and got the response of another request.
    Followed,
    /// It led: the inner service answered it, and the followers have the response, too.
    Led,
    /// It led, and its response is for itself alone.
    Passed,
    /// It went to the inner service by itself.
    Bypassed,
    /// The layer answered it.
    Refused,
    /// It has no answer.
    Left,
}

impl RequestOutcome {
    pub(crate) const ALL: [Self; 8] = [
        Self::Hit,
        Self::Stale,
        Self::Followed,
        Self::Led,
        Self::Passed,
        Self::Bypassed,
        Self::Refused,
        Self::Left,
    ];

    /// The word for it, in logs and metrics.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Followed => "followed",
            Self::Led => "led",
            Self::Passed => "passed",
            Self::Bypassed => "bypassed",
            Self::Refused => "refused",
            Self::Left => "left",
        }
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])* $name:ident = $word:literal: $($outcome:ident)+,)*) => {
        /// Why a request was not a plain hit, or that it was one.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Reason {
            $($(#[doc = $doc])* $name,)*
        }

        impl Reason {
            pub(crate) const ALL: [Self; [$($word),*].len()] = [$(Self::$name),*];

            /// The word for it, in `Cache-Status`, logs and metrics: a token.
            pub(crate) fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $word,)*
                }
            }

            /// What becomes of requests for this reason.
            pub(crate) fn outcomes(self) -> &'static [RequestOutcome] {
                match self {
                    $(Self::$name => &[$(RequestOutcome::$outcome),+],)*
                }
            }
        }
    };
}

reasons! {
    // What is there.
    /// A fresh response is in the store.
    Fresh = "fresh": Hit,
    /// A fresh response is in the store, and a copy of it in this process.
    Near = "near": Hit,
    /// A stale response answers while a new one is computed.
    StaleWhileRevalidate = "stale-while-revalidate": Stale,
    /// A stale response answers in place of a failure.
    StaleIfError = "stale-if-error": Stale,
    /// The inner service failed a moment ago and is left alone.
    Pause = "pause": Stale Refused,

    // What is not there yet.
    /// Nothing is in the store.
    Absent = "absent": Followed Led,
    /// Something is in the store, but not for these fields of the request.
    Variant = "variant": Followed Led,
    /// What is in the store is stale.
    Expired = "expired": Followed Led Bypassed,
    /// A worker gave the response.
    Deferred = "deferred": Followed Led,
    /// The store is out of reach, or refuses.
    StoreDown = "store-down": Followed Led,
    /// Another program has a lock that does not end.
    NoLease = "no-lease": Led,
    /// The lease has ended, or the key was invalidated, while the response was computed.
    LeaseLost = "lease-lost": Led,
    /// The process is about to stop.
    Shutdown = "shutdown": Led Refused,

    // What keeps a response from being stored.
    /// Nothing says how long the response is fresh.
    NoFreshness = "no-freshness": Led,
    /// The layer is told to store nothing.
    StoresNothing = "stores-nothing": Led,
    /// The response was not asked for often enough.
    StoreAfter = "store-after": Led,
    /// A 304 that is about another response than the one in the store.
    OtherValidator = "other-validator": Led,

    // What keeps a response from others.
    /// The status makes sense to its own request only.
    Status = "status": Passed,
    /// Nothing says that the response is for others.
    Unconfirmed = "unconfirmed": Passed,
    /// Nothing says that the failure is for others; the second failure in a row is shared.
    Failure = "failure": Led Passed,
    /// `Cache-Control: no-store` in the response.
    NoStore = "no-store": Passed,
    /// `Cache-Control: no-cache` in the response.
    NoCache = "no-cache": Passed,
    /// `Cache-Control: private`.
    Private = "private": Passed,
    /// `Cache-Control` cannot be parsed.
    Malformed = "malformed": Passed,
    /// The response sets a cookie.
    SetCookie = "set-cookie": Passed,
    /// The request has credentials, and the response does not say that it is for others like it.
    Credentials = "credentials": Passed Bypassed,
    /// `Vary: *`.
    Vary = "vary": Passed,
    /// The handler gave the response more tags than can be kept, or one that cannot be.
    Tags = "tags": Passed,
    /// The body is a stream that goes on for as long as its client listens, as its type or its duration tells.
    Endless = "endless": Passed,
    /// A reply of gRPC that is not one message.
    Messages = "messages": Passed,
    /// The body is larger than [`ResponseRules::max_body`](super::response_rules::ResponseRules::max_body).
    TooLarge = "too-large": Passed,
    /// The fields are larger than [`ResponseRules::max_headers`](super::response_rules::ResponseRules::max_headers).
    HeadersTooLarge = "headers-too-large": Passed,
    /// The inner service gave an error in place of a response.
    Error = "error": Passed,

    // What keeps a request from others.
    /// The method is not collapsed.
    Method = "method": Bypassed,
    /// The request has a body that is not in its key.
    BodyNotInKey = "body-not-in-key": Bypassed,
    /// There is no key for the request.
    NoKey = "no-key": Bypassed,
    /// `Cache-Control: no-store` in the request.
    RequestNoStore = "request-no-store": Bypassed,
    /// The response depends on a condition that a cache does not evaluate, or that nothing in the store meets.
    Conditional = "conditional": Bypassed,
    /// The request asks for a range, and leads nothing.
    Range = "range": Bypassed,
    /// The request asks for a head, and leads nothing.
    Head = "head": Bypassed,
    /// The request asks for more than a response: `Upgrade`, `Expect`, CONNECT.
    Protocol = "protocol": Bypassed,
    /// The method that counts may be another one.
    MethodOverride = "method-override": Bypassed,
    /// A gRPC layer is not told the method.
    Unnamed = "unnamed": Bypassed,
    /// The layer watches, and does nothing.
    Shadow = "shadow": Bypassed,
    /// A computation asks for its own response.
    Reentry = "reentry": Bypassed,
    /// There is no runtime to compute in.
    NoRuntime = "no-runtime": Bypassed,
    /// An earlier response was not to be shared.
    Marked = "marked": Bypassed,
    /// A node stores as many variants of the response as it may.
    TooManyVariants = "too-many-variants": Bypassed,
    /// The fields by which the response varies change all the time.
    Unsettled = "unsettled": Bypassed,

    // How waiting ends.
    /// The leader's response was not to be shared.
    LeaderPassed = "leader-passed": Bypassed,
    /// The leaders failed.
    LeaderFailed = "leader-failed": Bypassed,
    /// The key was invalidated each time while the request waited.
    Invalidated = "invalidated": Bypassed,
    /// The request waited for as long as it may.
    Timeout = "timeout": Passed Bypassed Refused,
    /// The deadline of the call is over.
    Deadline = "deadline": Refused,

    // Limits.
    /// As many requests wait for the key as may.
    TooManyWaiters = "too-many-waiters": Bypassed Refused,
    /// As many keys are in flight as may be.
    TooManyKeys = "too-many-keys": Bypassed Refused,
    /// Recordings, or bodies that clients have not read, hold as much memory as they may.
    NoRoom = "no-room": Passed Bypassed Refused,
    /// The request had its turn in the line at a limit.
    Queued = "queued": Bypassed,

    /// The request wants only a stored response.
    OnlyIfCached = "only-if-cached": Refused,
    /// The client has hung up.
    ClientGone = "client-gone": Left,
    /// The inner service panicked.
    Panic = "panic": Left,
}

impl Reason {
    /// Whether the next response is not one to share either, as far as this one tells.
    pub(crate) fn is_lasting(self) -> bool {
        matches!(
            self,
            Self::NoStore
                | Self::NoCache
                | Self::Private
                | Self::Malformed
                | Self::SetCookie
                | Self::Vary
                | Self::Tags
                | Self::Endless
                | Self::TooLarge
                | Self::HeadersTooLarge
        )
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_tokens_and_each_stands_for_one_reason() {
        let words: BTreeSet<_> = Reason::ALL.map(Reason::as_str).into();
        assert_eq!(words.len(), Reason::ALL.len());
        for word in words.into_iter().chain(RequestOutcome::ALL.map(RequestOutcome::as_str)) {
            let is_token = word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
            assert!(is_token && word.starts_with(|first: char| first != '-'), "{word}");
        }
    }

    #[test]
    fn each_outcome_has_reasons_and_each_reason_its_outcomes_once() {
        for outcome in RequestOutcome::ALL {
            assert!(Reason::ALL.iter().any(|reason| reason.outcomes().contains(&outcome)));
        }
        for reason in Reason::ALL {
            let outcomes = reason.outcomes();
            for (n, outcome) in outcomes.iter().enumerate() {
                assert!(!outcomes[..n].contains(outcome), "{reason:?}");
            }
        }
    }

    const GUIDE: &str = include_str!("../../docs/guide/why_not_cached.md");

    /// The rows of the guide's table: the outcomes and the reason of each.
    fn rows() -> Vec<(Vec<&'static str>, &'static str)> {
        let words = |cell: &'static str| cell.split(", ").map(|word| word.trim().trim_matches('`')).collect();
        let is_outcome = |word: &&str| RequestOutcome::ALL.iter().any(|outcome| outcome.as_str() == *word);
        let rows = GUIDE.lines().filter_map(|line| {
            let mut cells = line.strip_prefix("| ")?.split(" | ");
            let outcomes: Vec<_> = words(cells.next()?);
            let reason = cells.next()?.strip_prefix('`')?.strip_suffix('`')?;
            let told = cells.count() == 2;
            (outcomes.iter().all(is_outcome) && told).then_some((outcomes, reason))
        });
        rows.collect()
    }

    #[test]
    fn the_guide_has_a_row_for_each_reason_with_its_outcomes() {
        let rows = rows();
        for reason in Reason::ALL {
            let of_reason: Vec<_> = rows.iter().filter(|(_, word)| *word == reason.as_str()).collect();
            assert_eq!(of_reason.len(), 1, "rows for `{}`", reason.as_str());
            let expected: Vec<_> = reason.outcomes().iter().map(|outcome| outcome.as_str()).collect();
            assert_eq!(of_reason[0].0, expected, "outcomes of `{}`", reason.as_str());
        }
        assert_eq!(rows.len(), Reason::ALL.len());
    }
}

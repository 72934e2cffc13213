//! [`Outcome`]: what became of a request, as its `Cache-Status` says.

use axum::http::HeaderMap;

/// What became of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The handler was called for it, and the others got the response too.
    Leads,
    /// It waited for another request, and has that one's response.
    Waits,
    /// It found the response stored, with so many seconds left.
    Hit(u64),
    /// It found a stale response.
    Stale,
    /// The handler failed, and a stale response stood in.
    StandIn,
    /// It went past the layer.
    Bypass,
    /// It waited in vain, and the handler was called for it alone.
    Alone,
    /// It was sent to the handler without a layer.
    Bare,
    /// There was no answer.
    Lost,
}

impl Outcome {
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        // Caches in front of the handler come before the layer.
        let told = headers.get_all("cache-status").iter().next_back();
        let Some(told) = told.and_then(|told| told.to_str().ok()) else {
            return Self::Bare;
        };
        let has = |wanted: &str| told.split(';').any(|parameter| parameter.trim() == wanted);
        let ttl = told
            .split(';')
            .find_map(|parameter| parameter.trim().strip_prefix("ttl="));
        if has("hit") {
            // A negative ttl is no number of these.
            let fresh = ttl.unwrap_or("0").parse();
            return fresh.map_or(Self::Stale, Self::Hit);
        }
        match () {
            () if has("detail=stale-if-error") => Self::StandIn,
            // The layer answered it.
            () if !told.contains("fwd=") => Self::Alone,
            () if has("fwd=bypass") || has("fwd=method") => Self::Bypass,
            () if has("collapsed") => Self::Waits,
            () if has("collapsed=?0") && !has("stored") => Self::Alone,
            () => Self::Leads,
        }
    }

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Leads => "leads",
            Self::Waits => "waits",
            Self::Hit(_) => "hit",
            Self::Stale | Self::StandIn => "stale",
            Self::Bypass => "bypass",
            Self::Alone => "alone",
            Self::Bare => "bare",
            Self::Lost => "lost",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_became_of_a_request_is_what_the_layer_says() {
        for (told, outcome) in [
            ("memolock; hit; ttl=19", Outcome::Hit(19)),
            ("memolock; hit; ttl=-3; detail=stale-while-revalidate", Outcome::Stale),
            ("memolock; fwd=uri-miss; stored; detail=absent", Outcome::Leads),
            ("memolock; fwd=uri-miss; detail=store-down", Outcome::Leads),
            ("memolock; fwd=stale; stored; detail=expired", Outcome::Leads),
            ("memolock; fwd=uri-miss; detail=failure", Outcome::Leads),
            ("memolock; fwd=uri-miss; collapsed; detail=absent", Outcome::Waits),
            ("memolock; fwd=uri-miss; collapsed=?0; detail=timeout", Outcome::Alone),
            (
                "memolock; fwd=uri-miss; stored; collapsed=?0; detail=absent",
                Outcome::Leads,
            ),
            ("memolock; fwd=bypass; detail=no-key", Outcome::Bypass),
            ("memolock; detail=pause", Outcome::Alone),
            (
                "memolock; fwd=stale; fwd-status=500; detail=stale-if-error",
                Outcome::StandIn,
            ),
        ] {
            let headers = [("cache-status".parse().unwrap(), told.parse().unwrap())];
            assert_eq!(Outcome::of(&headers.into_iter().collect()), outcome, "{told}");
        }
        assert_eq!(Outcome::of(&HeaderMap::new()), Outcome::Bare);
    }
}

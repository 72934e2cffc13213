//! [`ResponseRules`]: what a layer stores and shares.

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use http::header::HeaderName;

use super::control::MemoControl;
use super::cookies::SetCookie;
use super::error_mapper::ErrorMapper;
use super::freshness::may_have_ttl;
use super::grpc::GrpcRules;
use super::stream_followers::StreamFollowers;
use crate::random::Random;

/// What a layer stores.
#[derive(Debug, Clone)]
pub(crate) struct ResponseRules {
    /// For how long a response is stored that says nothing of its freshness. `None`, the default: not at all.
    pub(crate) ttl: Option<Duration>,
    /// For how long a response is stored, whatever it says of its freshness. `None`, the default: as long as it says.
    pub(crate) override_ttl: Option<Duration>,
    /// The same as `ttl` for single statuses, before it. Defaults to none.
    pub(crate) status_ttl: Arc<[(StatusCode, Duration)]>,
    /// How long a stale response is kept that can be validated. Defaults to 60 seconds.
    pub(crate) revalidate_for: Duration,
    /// How long a stale response that does not say may be replayed while a new one is computed. Defaults to zero.
    pub(crate) stale_while_revalidate: Duration,
    /// The same where computing a new one fails. Defaults to zero.
    pub(crate) stale_if_error: Duration,
    /// How long a request that may have a stale response waits for the new one, if that is bounded.
    pub(crate) soft_timeout: Option<Duration>,
    /// The largest part by which a lifetime is shortened at random. Defaults to 0.05.
    pub(crate) ttl_jitter: f64,
    /// How eagerly a response is computed anew before it is stale. Defaults to 0: not at all.
    pub(crate) early_refresh: f64,
    /// How long it is remembered that a response is not one to share. Defaults to 120 seconds.
    pub(crate) pass_marker: Duration,
    /// How long after its head a body of undeclared length may go on. Defaults to 1.5 seconds.
    pub(crate) endless_after: Duration,
    /// How long the inner service is left alone after a failure. Defaults to zero: not at all.
    pub(crate) fail_pause: Duration,
    /// What followers do about a response of which nothing says that it is for all.
    pub(crate) on_unconfirmed: Unconfirmed,
    /// Makes the response that followers get for an error of the inner service. Defaults to none.
    pub(crate) share_errors: Option<ErrorMapper>,
    pub(crate) random: Random,
    /// What becomes of a response that sets a cookie.
    pub(crate) set_cookie: SetCookie,
    /// Whether the one client that `private` means is the program itself. Defaults to `false`.
    pub(crate) private_is_own: bool,
    /// The targeted fields that come before `Cache-Control`, the first that is there. Defaults to `CDN-Cache-Control`.
    pub(crate) targets: Arc<[HeaderName]>,
    /// Whether nothing is stored, only shared.
    pub(crate) no_store: bool,
    /// The most bytes of a body to share or store. Defaults to 8 MiB.
    pub(crate) max_body: u64,
    /// The most bytes of header and trailer fields to share or store. Defaults to 64 KiB.
    pub(crate) max_headers: u64,
    /// The most bytes that all recordings may hold together. Defaults to 256 MiB.
    pub(crate) max_recording: u64,
    /// Of a layer for gRPC, what it stores of one method.
    pub(crate) grpc: Option<GrpcRules>,
    /// Which followers may read a response before it is whole.
    pub(crate) stream_followers: StreamFollowers,
}

impl ResponseRules {
    pub(crate) const DEFAULT_MAX_BODY: u64 = 8 * 1024 * 1024;
    pub(crate) const DEFAULT_MAX_HEADERS: u64 = 64 * 1024;
    pub(crate) const DEFAULT_MAX_RECORDING: u64 = 256 * 1024 * 1024;
    pub(crate) const DEFAULT_TTL_JITTER: f64 = 0.05;
    pub(crate) const DEFAULT_PASS_MARKER: Duration = Duration::from_secs(120);
    pub(crate) const DEFAULT_ENDLESS_AFTER: Duration = Duration::from_millis(1500);
    pub(crate) const DEFAULT_REVALIDATE_FOR: Duration = Duration::from_secs(60);

    /// What becomes of the cookies of a response with this control.
    pub(crate) fn set_cookie_of(&self, control: &MemoControl) -> SetCookie {
        control.set_cookie.unwrap_or(self.set_cookie)
    }

    /// How long a response that does not say is stored.
    pub(super) fn ttl_of(&self, status: StatusCode) -> Duration {
        let by_status = self.status_ttl.iter().find(|(known, _)| *known == status);
        match by_status {
            Some((_, ttl)) => *ttl,
            None if may_have_ttl(status) => self.ttl.unwrap_or_default(),
            None => Duration::ZERO,
        }
    }
}

impl Default for ResponseRules {
    fn default() -> Self {
        Self {
            ttl: None,
            override_ttl: None,
            status_ttl: Arc::default(),
            revalidate_for: Self::DEFAULT_REVALIDATE_FOR,
            stale_while_revalidate: Duration::ZERO,
            stale_if_error: Duration::ZERO,
            soft_timeout: None,
            ttl_jitter: Self::DEFAULT_TTL_JITTER,
            early_refresh: 0.0,
            pass_marker: Self::DEFAULT_PASS_MARKER,
            endless_after: Self::DEFAULT_ENDLESS_AFTER,
            fail_pause: Duration::ZERO,
            on_unconfirmed: Unconfirmed::default(),
            share_errors: None,
            random: Random::default(),
            set_cookie: SetCookie::default(),
            private_is_own: false,
            targets: Arc::new([HeaderName::from_static("cdn-cache-control")]),
            no_store: false,
            max_body: Self::DEFAULT_MAX_BODY,
            max_headers: Self::DEFAULT_MAX_HEADERS,
            max_recording: Self::DEFAULT_MAX_RECORDING,
            grpc: None,
            stream_followers: StreamFollowers::Off,
        }
    }
}

/// What followers do about an *unconfirmed* response, of which nothing says that it is for other clients than its
/// own.
///
/// A response is for all if it says so, with freshness of its own; if its handler says so, with
/// [`MemoControl::ttl`](super::control::MemoControl::ttl); if the layer does, with
/// [`status_ttl`](crate::middleware::Freshness::status_ttl); or if its status is cacheable by default (RFC 9110, section 15.1):
/// 200, 203, 204, 300, 301, 308, 404, 405, 410, 414, 501. All others may be the fault of one request: redirects by
/// `User-Agent`, 400, 401, 403, 413, 429, 431, 500, 503. Of a gRPC call, the status in its trailers counts: OK,
/// `NOT_FOUND` and `UNIMPLEMENTED` are for all, and `UNKNOWN`, `INTERNAL`, `UNAVAILABLE` and `DATA_LOSS` are failures,
/// as are statuses from 500 on.
///
/// Set with [`Failures::on_unconfirmed`](crate::middleware::Failures::on_unconfirmed).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum Unconfirmed {
    /// Its own client gets it, and exactly one follower, in the whole cluster, asks next. If both fail, all get the
    /// second failure: an inner service in trouble is asked twice. If neither response is for all, the followers go
    /// their own way, in parallel. None of this is stored or remembered.
    ///
    /// The follower that asks next has waited since before the first attempt ended. The layer cannot know that this
    /// follower is another client than the first: a client that sends two such requests at once, and has waited
    /// longest, can fail for all followers of that moment.
    #[default]
    Confirm,
    /// The followers get the same response. It is not stored.
    Share,
    /// As `Confirm`, but a failure is never shared: after the second one all followers go their own way.
    HandOver,
}

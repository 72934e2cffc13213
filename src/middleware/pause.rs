//! [`Pauses`]: after a failure the inner service is left alone for a while.
//!
//! Off unless [`fail_pause`](super::MemoLockLayer::fail_pause) is set. A pause is for one key in one process. It begins
//! with a computation that failed: an error or a panic of the inner service, a status from 500 on but 501, a failed call
//! of gRPC, a body that breaks off. Until it is over, a request that finds nothing fresh gets the stale response that may
//! stand in for a failure, or else the failure. Those who waited when the computation failed try once more, as they do
//! without a pause: one of them asks, and its success ends the pause, so a failure that one request has provoked
//! for itself does not last where others want the same.
//!
//! The failure that others get is an answer of the layer's own with the status of the failed response, or what
//! [`share_errors`](super::MemoLockLayer::share_errors) makes of an error: the response itself may be for its own client
//! only.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::header::RETRY_AFTER;
use http::{HeaderMap, Response, StatusCode};
use tokio::time::Instant;

use super::answer::Miss;
use super::body::MemoBody;
use super::credentials::Asker;
use super::judge::Judge;
use super::refusal::{failure, seconds};
use super::replay;
use super::settings::Settings;
use super::stored_response::StoredResponse;
use crate::key::Address;
use crate::memo::Config;

/// Bounds the memory: beyond, no pause begins.
const MOST: usize = 4096;

/// The pauses of this process.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    standing: Mutex<HashMap<Address, Pause>>,
    /// How many there are, so that a request need not take the lock to learn that there is none.
    len: AtomicUsize,
}

/// A pause that stands.
#[derive(Debug, Clone)]
pub(crate) struct Pause {
    until: Instant,
    failed: Failed,
}

/// What requests get meanwhile.
#[derive(Debug, Clone)]
pub(crate) enum Failed {
    /// An answer of the layer's own with this status.
    Status(StatusCode),
    /// What was made of an error.
    Response(Arc<StoredResponse>),
}

impl Failed {
    /// Without a response of the inner service.
    pub(super) const UNAVAILABLE: Self = Self::Status(StatusCode::SERVICE_UNAVAILABLE);
}

impl Pauses {
    fn standing(&self) -> MutexGuard<'_, HashMap<Address, Pause>> {
        self.standing.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn begin(&self, address: &Address, now: Instant, time: Duration, failed: Failed) {
        let until = now + time.min(Config::LONG);
        let mut standing = self.standing();
        if standing.len() >= MOST {
            standing.retain(|_, pause| now < pause.until);
        }
        let before = match standing.len() < MOST || standing.contains_key(address) {
            true => standing.insert(address.clone(), Pause { until, failed }),
            false => None,
        };
        self.len.store(standing.len(), Ordering::Relaxed);
        drop(standing);
        drop(before);
    }

    fn end(&self, address: &Address) {
        if self.len.load(Ordering::Relaxed) == 0 {
            return;
        }
        let mut standing = self.standing();
        let ended = standing.remove(address);
        self.len.store(standing.len(), Ordering::Relaxed);
        drop(standing);
        drop(ended);
    }

    /// The pause that stands for a key.
    pub(super) fn of(&self, address: &Address, now: Instant) -> Option<Pause> {
        if self.len.load(Ordering::Relaxed) == 0 {
            return None;
        }
        self.standing().get(address).filter(|pause| now < pause.until).cloned()
    }
}

impl Judge {
    /// The computation failed.
    pub(super) fn pause(&self, failed: impl FnOnce() -> Failed) {
        // What happened to one that is not known to be like others says nothing of those.
        if !self.rules.fail_pause.is_zero() && !matches!(self.asker, Asker::Unknown(_)) {
            let time = self.rules.fail_pause;
            self.pauses.begin(&self.address, Instant::now(), time, failed());
        }
    }

    /// The inner service has answered with this status.
    pub(super) fn pause_by(&self, status: StatusCode) {
        match status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
            true => self.pause(|| Failed::Status(status)),
            false => self.pauses.end(&self.address),
        }
    }
}

impl<K: Send + Sync + 'static> Settings<K> {
    /// What a request gets that found nothing fresh, where a pause stands.
    pub(super) async fn paused<ResBody>(
        &self,
        miss: &Miss,
        request: &HeaderMap,
    ) -> Option<Response<MemoBody<ResBody>>> {
        let pause = self.pauses.of(&miss.place.address, Instant::now())?;
        // Boxed, or all requests would keep room for it.
        let stale = Box::pin(self.stand_in(miss, request)).await;
        Some(stale.unwrap_or_else(|| pause.answer(request)))
    }
}

impl Pause {
    fn answer<ResBody>(self, request: &HeaderMap) -> Response<MemoBody<ResBody>> {
        let left = self.until.saturating_duration_since(Instant::now());
        match self.failed {
            Failed::Status(status) => failure(request, status, left),
            Failed::Response(made) => {
                let mut response = replay::followed(made);
                let fields = response.headers_mut();
                fields.entry(RETRY_AFTER).or_insert_with(|| seconds(left).into());
                response
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    const TIME: Duration = Duration::from_secs(1);

    fn address(id: usize) -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::new(id.to_string()).unwrap())
    }

    #[test]
    fn a_pause_stands_for_its_time_or_until_it_is_ended() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        pauses.begin(&address(1), now, TIME, Failed::UNAVAILABLE);
        assert!(pauses.of(&address(1), now).is_some() && pauses.of(&address(2), now).is_none());
        assert!(pauses.of(&address(1), now + TIME).is_none());
        pauses.end(&address(1));
        assert!(pauses.of(&address(1), now).is_none());
        pauses.begin(&address(1), now, Duration::MAX, Failed::UNAVAILABLE);
        assert!(pauses.of(&address(1), now + TIME).is_some());
    }

    #[test]
    fn pauses_are_bounded_and_those_that_are_over_make_room() {
        let (pauses, now) = (Pauses::default(), Instant::now());
        for id in 0..=MOST {
            pauses.begin(&address(id), now, TIME, Failed::UNAVAILABLE);
        }
        assert!(pauses.of(&address(MOST), now).is_none());
        pauses.begin(&address(MOST), now + TIME, TIME, Failed::UNAVAILABLE);
        assert!(pauses.of(&address(MOST), now + TIME).is_some());
        assert_eq!(pauses.standing().len(), 1);
    }
}

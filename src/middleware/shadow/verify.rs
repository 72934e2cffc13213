//! [`Verify`]: computes some hits anew in the background, and compares.

use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::timeout;
use tracing::{Instrument, Span};

use super::digest::ResponseDigest;
use super::route::route_of;
use crate::middleware::inner::InnerCall;
use crate::middleware::stored_response::StoredResponse;
use crate::task::spawn;

/// How many are computed at once. Beyond this, a hit is not verified.
const MOST_AT_ONCE: usize = 16;

/// How many routes are told apart. The others count as one.
const MOST_ROUTES: usize = 64;
const OTHERS: &str = "other routes";

/// Spreads the numbers from 0 on evenly.
const GOLDEN: u64 = 0x9e37_79b9_7f4a_7c15;

/// Which hits are verified, and what became of those.
pub(crate) struct Verify {
    /// Of 2^64 hits.
    due: u64,
    hits: AtomicU64,
    under_way: AtomicUsize,
    routes: Mutex<Vec<VerifiedRoute>>,
}

/// The figures of one route.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct VerifiedRoute {
    pub(crate) route: String,
    /// Hits that were compared.
    pub(crate) verified: u64,
    /// Hits that differed from what the inner service says now.
    pub(crate) different: u64,
    /// Hits for which the inner service gave no answer, or a failure.
    pub(crate) failed: u64,
}

/// What a comparison has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compared {
    Same,
    Different,
    Failed,
}

impl Verify {
    /// This fraction of all hits; `None` where that is none.
    pub(crate) fn fraction(fraction: f64) -> Option<Arc<Self>> {
        // A value that is no number is above nothing.
        (fraction > 0.0).then(|| {
            Arc::new(Self {
                due: (fraction.min(1.0) * u64::MAX as f64) as u64,
                hits: AtomicU64::new(0),
                under_way: AtomicUsize::new(0),
                routes: Mutex::default(),
            })
        })
    }

    /// Whether this hit is one to verify.
    pub(crate) fn is_due(&self, stored: &StoredResponse) -> bool {
        let number = self.hits.fetch_add(1, Ordering::Relaxed);
        let is_whole = stored.apart_body().is_none() && stored.underway_body().is_none();
        number.wrapping_mul(GOLDEN) <= self.due && is_whole && self.under_way.load(Ordering::Relaxed) < MOST_AT_ONCE
    }

    /// Computes the response anew, for no client, and compares. `differs` is called where it is another one.
    pub(crate) fn check(
        self: &Arc<Self>,
        call: InnerCall,
        stored: Arc<StoredResponse>,
        patience: Duration,
        span: Span,
        differs: impl FnOnce() + Send + 'static,
    ) {
        let verify = Arc::clone(self);
        verify.under_way.fetch_add(1, Ordering::Relaxed);
        let under_way = UnderWay(verify);
        let checking = async move {
            let head = &call.head;
            let route = route_of(&head.method, head.uri.path(), &head.extensions);
            let compared = timeout(patience, compare(call, &stored)).await;
            let compared = compared.unwrap_or(Compared::Failed);
            under_way.0.count(route, compared);
            if compared == Compared::Different {
                differs();
            }
        };
        spawn(Box::pin(checking.instrument(span)));
    }

    fn routes(&self) -> MutexGuard<'_, Vec<VerifiedRoute>> {
        self.routes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn count(&self, route: String, compared: Compared) {
        let mut routes = self.routes();
        let known = |routes: &[VerifiedRoute], name: &str| routes.iter().position(|known| known.route == name);
        let name = match known(&routes, &route) {
            None if routes.len() >= MOST_ROUTES => OTHERS.to_owned(),
            _ => route,
        };
        let at = known(&routes, &name).unwrap_or(routes.len());
        if at == routes.len() {
            routes.push(VerifiedRoute {
                route: name,
                ..VerifiedRoute::default()
            });
        }
        let figures = &mut routes[at];
        match compared {
            Compared::Same => figures.verified += 1,
            Compared::Different => {
                figures.verified += 1;
                figures.different += 1;
            }
            Compared::Failed => figures.failed += 1,
        }
    }

    pub(crate) fn report(&self) -> Vec<VerifiedRoute> {
        self.routes().clone()
    }
}

struct UnderWay(Arc<Verify>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.under_way.fetch_sub(1, Ordering::Relaxed);
    }
}

async fn compare(call: InnerCall, stored: &StoredResponse) -> Compared {
    let Ok(response) = call.send().await else {
        return Compared::Failed;
    };
    if response.status().is_server_error() && !stored.status().is_server_error() {
        return Compared::Failed;
    }
    let mut expected = ResponseDigest::of_head(stored.status(), stored.headers());
    expected.add_content(stored.body());
    stored
        .trailers()
        .into_iter()
        .for_each(|trailers| expected.add_trailers(trailers));
    let mut own = ResponseDigest::of_head(response.status(), response.headers());
    let mut body = response.into_body();
    while let Some(frame) = poll_fn(|cx| body.poll_frame(cx)).await {
        let Ok(frame) = frame else {
            return Compared::Failed;
        };
        own.add(&frame);
        // No more is read than it takes to know.
        if own.len() > expected.len() {
            return Compared::Different;
        }
    }
    match own.finish() == expected.finish() {
        true => Compared::Same,
        false => Compared::Different,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fraction_is_that_of_all_hits() {
        let stored = StoredResponse::marker();
        for (fraction, expected) in [(1.0, 1000), (5.0, 1000), (0.1, 100), (0.01, 10)] {
            let verify = Verify::fraction(fraction).expect("a fraction");
            let due = (0..1000).filter(|_| verify.is_due(&stored)).count();
            assert!(due.abs_diff(expected) <= 2, "{fraction}: {due}");
        }
        for none in [0.0, -1.0, f64::NAN] {
            assert!(Verify::fraction(none).is_none());
        }
    }

    #[test]
    fn routes_are_few() {
        let verify = Verify::fraction(1.0).expect("a fraction");
        for number in 0..1000 {
            verify.count(format!("GET /{number}"), Compared::Different);
        }
        let report = verify.report();
        assert_eq!(report.len(), MOST_ROUTES + 1);
        assert_eq!(
            (&*report[MOST_ROUTES].route, report[MOST_ROUTES].different),
            (OTHERS, 936)
        );
    }
}

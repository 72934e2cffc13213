//! Shadow mode: what a layer would do, counted while it does nothing.
//!
//! Each request goes to the inner service as if the layer were not there, and an [`Observer`] goes with it. Meanwhile
//! the books say what the layer would have done: found a response, waited for another request, led, or kept out. A
//! request that would have got the response of another gets its own all the same, so both responses can be compared:
//! where they differ, something is missing in the key.
//!
//! ```text
//! asked.rs       what counts of a request
//! route.rs       which route it belongs to, and the figures of that
//! evidence.rs    which field, and which parameter, goes with a difference
//! pages.rs       responses to one target with different queries
//! flight.rs      a response under way, and the requests that would have waited for it
//! books.rs       what would have been stored, and what was under way
//! digest.rs      whether two responses are the same
//! observer.rs    the response as it goes by
//! report.rs      the figures, and what they say
//! verify.rs      some hits are computed anew beside, and compared: what goes on after shadow mode
//! ```
//!
//! Of bodies and fields there are digests only, and so many of each.

#[cfg(feature = "admin")]
mod asked;
#[cfg(feature = "admin")]
mod books;
#[cfg(feature = "admin")]
mod digest;
#[cfg(feature = "admin")]
mod evidence;
#[cfg(feature = "admin")]
mod flight;
#[cfg(feature = "admin")]
mod observer;
#[cfg(feature = "admin")]
mod pages;
#[cfg(feature = "admin")]
mod report;
#[cfg(feature = "admin")]
mod route;
#[cfg(feature = "admin")]
mod verify;

#[cfg(feature = "admin")]
pub(crate) use self::asked::{RequestStanding, RequestTraits};
#[cfg(feature = "admin")]
pub(crate) use self::observer::{Observer, Shadow};
#[cfg(feature = "admin")]
pub(crate) use self::report::{RouteReport, ShadowReport};
#[cfg(feature = "admin")]
pub(crate) use self::verify::{VerifiedRoute, Verify};

#[cfg(not(feature = "admin"))]
pub(crate) use self::NoObserver as Observer;

/// There is no shadow mode without the feature `admin`.
#[cfg(not(feature = "admin"))]
#[derive(Debug)]
pub(crate) enum NoObserver {}

#[cfg(not(feature = "admin"))]
impl NoObserver {
    pub(crate) fn head<B: http_body::Body>(&mut self, _: &http::Response<B>) {
        match *self {}
    }

    pub(crate) fn see<E>(&mut self, _: Option<&Result<http_body::Frame<bytes::Bytes>, E>>, _: bool) {
        match *self {}
    }
}

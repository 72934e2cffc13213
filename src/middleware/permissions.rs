//! [`Permissions`]: whether any response here was ever one for requests with credentials.

use std::sync::atomic::{AtomicBool, Ordering};

use super::policy::request::Narrow;
use super::stored_response::Meta;

/// What this node has seen so far. Where no response allows it, requests with credentials need not look for one: in
/// Redis that would cost each of them a round trip.
#[derive(Debug, Default)]
pub(crate) struct Permissions {
    authorized: AtomicBool,
    cookies: AtomicBool,
}

impl Permissions {
    /// Of a response that was stored, here or elsewhere.
    pub(crate) fn learn(&self, stored: &Meta) {
        for (seen, allowed) in [
            (&self.authorized, stored.for_authorized),
            (&self.cookies, stored.for_cookies),
        ] {
            // Written once: all hits read it.
            if allowed && !seen.load(Ordering::Relaxed) {
                seen.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether there may be a response for a request like this one.
    pub(crate) fn may_admit(&self, narrow: &Narrow) -> bool {
        (!narrow.authorized || self.authorized.load(Ordering::Relaxed))
            && (!narrow.cookies || self.cookies.load(Ordering::Relaxed))
    }
}

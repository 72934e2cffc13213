//! [`CredentialHistory`]: what this process knows of responses to requests with credentials.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use crate::key::Address;
use crate::middleware::policy::permission::Permission;
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::stored_response::{Meta, StoredResponse};
use crate::system::SaltedHash;

/// How many addresses are remembered at most: 64 KiB of them.
const SLOTS: usize = 8192;

/// How long anything is remembered at most, in seconds: some eight years.
const LONGEST: u64 = (1 << 28) - 1;

/// What this process has seen so far. All of it is a hint: only the response itself says which clients it is for.
///
/// Where no response was ever for requests with credentials, a request that could only read need not look for one,
/// which would cost it a round trip to Redis. Single addresses are remembered in a table of fixed size, in which a
/// later address takes the place of an earlier one. So a client that asks for many pages costs no memory.
#[derive(Debug)]
pub(crate) struct CredentialHistory {
    authorized: AtomicBool,
    cookies: AtomicBool,
    slots: OnceLock<Box<[AtomicU64]>>,
    hash: SaltedHash,
    /// The time from which the seconds in the slots count.
    start: Instant,
}

impl Default for CredentialHistory {
    fn default() -> Self {
        Self {
            authorized: AtomicBool::default(),
            cookies: AtomicBool::default(),
            slots: OnceLock::new(),
            hash: SaltedHash::default(),
            start: Instant::now(),
        }
    }
}

/// What was last seen of an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Seen {
    /// A response that was for its own request only, which had credentials.
    Refused {
        /// The credentials were cookies: this means nothing for requests without cookies.
        cookies: bool,
    },
    /// A stored response for such requests.
    Permitted(Permission),
}

impl CredentialHistory {
    /// What a stored response tells, stored here or elsewhere.
    pub(crate) fn learn(&self, stored: &Meta) {
        for (seen, allowed) in [
            (&self.authorized, stored.for_authorized),
            (&self.cookies, stored.for_cookies),
        ] {
            // Written only once, because all hits read it.
            if allowed && !seen.load(Ordering::Relaxed) {
                seen.store(true, Ordering::Relaxed);
            }
        }
    }

    /// Whether there may be a response for a request like this one.
    pub(crate) fn may_admit(&self, constraints: &RequestConstraints) -> bool {
        (!constraints.authorized || self.authorized.load(Ordering::Relaxed))
            && (!constraints.cookies || self.cookies.load(Ordering::Relaxed))
    }

    /// Remembers what was seen of an address for some time.
    pub(crate) fn see(&self, address: &Address, seen: Seen, now: Instant, time: Duration) {
        if time.is_zero() {
            return;
        }
        let end = self.seconds(now).saturating_add(time.as_secs().max(1)).min(LONGEST);
        let (index, tag) = self.place(address);
        let slots = self
            .slots
            .get_or_init(|| (0..SLOTS).map(|_| AtomicU64::new(0)).collect());
        let new = tag | (seen.bits() << 28) | end;
        // Not written where it says the same already, because all hits read it.
        if slots[index].load(Ordering::Relaxed) != new {
            slots[index].store(new, Ordering::Relaxed);
        }
    }

    /// Forgets what was seen of an address.
    pub(crate) fn forget(&self, address: &Address) {
        let (index, tag) = self.place(address);
        if let Some(slots) = self.slots.get() {
            let _ = slots[index].fetch_update(Ordering::Relaxed, Ordering::Relaxed, |slot| {
                (slot & TAG == tag).then_some(0)
            });
        }
    }

    /// What was seen of an address lately.
    pub(crate) fn seen(&self, address: &Address, now: Instant) -> Option<Seen> {
        let slots = self.slots.get()?;
        let (index, tag) = self.place(address);
        let slot = slots[index].load(Ordering::Relaxed);
        let stands = slot & TAG == tag && self.seconds(now) < slot & LONGEST;
        stands.then(|| Seen::from_bits(slot >> 28))
    }

    fn seconds(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.start).as_secs()
    }

    /// The slot of an address, and the bits that tell the address from others with the same slot.
    fn place(&self, address: &Address) -> (usize, u64) {
        let hash = self.hash.of(address);
        ((hash as usize) % SLOTS, hash & TAG)
    }

    /// Remembers that there is, or was, a response for requests with credentials.
    pub(crate) fn remember(&self, address: &Address, stored: &StoredResponse, now: Instant, time: Duration) {
        let permission = Permission::stored(stored.meta());
        if permission == Permission::default() || time.is_zero() {
            return;
        }
        let fresh = stored.fresh_at(now).unwrap_or_default();
        self.see(address, Seen::Permitted(permission), now, fresh.saturating_add(time));
    }
}

/// The bits in a slot that stand for the address. They are others than the bits that lead to the slot.
const TAG: u64 = !0 << 32;

impl Seen {
    /// Whether requests like this one have had a response in common.
    pub(crate) fn permits(self, constraints: &RequestConstraints) -> bool {
        matches!(self, Self::Permitted(permission) if permission.covers(constraints))
    }

    /// Whether the last response to a request like this one was for its client only.
    pub(crate) fn refuses(self, constraints: &RequestConstraints) -> bool {
        matches!(self, Self::Refused { cookies } if constraints.cookies || !cookies)
    }

    fn bits(self) -> u64 {
        match self {
            Self::Refused { cookies } => u64::from(cookies) << 1,
            Self::Permitted(permission) => {
                1 | u64::from(permission.authorized) << 1 | u64::from(permission.cookies) << 2
            }
        }
    }

    fn from_bits(bits: u64) -> Self {
        if bits & 1 == 0 {
            let cookies = bits & 2 != 0;
            return Self::Refused { cookies };
        }
        Self::Permitted(Permission {
            authorized: bits & 2 != 0,
            cookies: bits & 4 != 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    const TIME: Duration = Duration::from_secs(10);

    fn address(id: usize) -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::new(id.to_string()).unwrap())
    }

    fn permitted(authorized: bool, cookies: bool) -> Seen {
        Seen::Permitted(Permission { authorized, cookies })
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_seen_is_remembered_for_its_time() {
        let permissions = CredentialHistory::default();
        for seen in [
            Seen::Refused { cookies: true },
            Seen::Refused { cookies: false },
            permitted(true, true),
            permitted(true, false),
            permitted(false, false),
        ] {
            let now = Instant::now();
            permissions.see(&address(1), seen, now, TIME);
            assert_eq!(permissions.seen(&address(1), now), Some(seen));
            assert_eq!(permissions.seen(&address(2), now), None);
            assert_eq!(permissions.seen(&address(1), now + TIME), None);
            permissions.forget(&address(2));
            assert_eq!(permissions.seen(&address(1), now), Some(seen));
            permissions.forget(&address(1));
            assert_eq!(permissions.seen(&address(1), now), None);
            permissions.see(&address(1), seen, now, Duration::ZERO);
            assert_eq!(permissions.seen(&address(1), now), None);
            permissions.see(&address(1), seen, now, Duration::MAX);
            assert_eq!(permissions.seen(&address(1), now + TIME * 1000), Some(seen));
            tokio::time::advance(TIME * 1000).await;
        }
    }

    #[test]
    fn a_later_address_takes_the_place_of_an_earlier_one() {
        let (permissions, now) = (CredentialHistory::default(), Instant::now());
        for id in 0..4 * SLOTS {
            let seen = permitted(true, false);
            permissions.see(&address(id), seen, now, TIME);
            assert_eq!(permissions.seen(&address(id), now), Some(seen));
        }
        let left = (0..4 * SLOTS).filter(|id| permissions.seen(&address(*id), now).is_some());
        assert!(left.count() <= SLOTS);
    }
}

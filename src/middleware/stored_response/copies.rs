//! One copy of a large response, for all requests that replay it at one time.
//!
//! Every hit in a store elsewhere brings bytes of its own, which live until the client has read them or has left. A
//! client may ask for one large page a thousand times and read none of the answers. So if equal bytes are in use
//! already, the hit uses those, and drops the bytes that came. The bytes in use are counted, because a client may just
//! as well ask for a thousand large pages.

use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use bytes::Bytes;

use crate::key::Address;

/// Below this, comparing and keeping account costs more than a copy.
const LARGE: usize = 64 * 1024;

/// The bytes in use, by their address. A clone shares them.
#[derive(Clone, Default)]
pub(super) struct Copies(Arc<HeldTable>);

#[derive(Default)]
struct HeldTable {
    copies: Mutex<HashMap<Address, Weak<SharedCopy>>>,
    /// The bytes of all of them.
    bytes: AtomicUsize,
}

/// Bytes in use.
struct SharedCopy {
    bytes: Bytes,
    address: Address,
    table: Arc<HeldTable>,
}

/// The owner of the bytes that are handed out.
struct User(Arc<SharedCopy>);

impl Copies {
    /// How many bytes are in use.
    pub(super) fn bytes(&self) -> usize {
        self.0.bytes.load(Ordering::Relaxed)
    }

    /// The same bytes, in the memory of equal ones that are in use at this address.
    pub(super) fn one(&self, address: &Address, bytes: Bytes) -> Bytes {
        if bytes.len() < LARGE {
            return bytes;
        }
        let known = self.0.lock().get(address).and_then(Weak::upgrade);
        if let Some(known) = known
            && known.bytes == bytes
        {
            return Bytes::from_owner(User(known));
        }
        self.0.bytes.fetch_add(bytes.len(), Ordering::Relaxed);
        let copy = Arc::new(SharedCopy {
            bytes,
            address: address.clone(),
            table: Arc::clone(&self.0),
        });
        self.0.lock().insert(address.clone(), Arc::downgrade(&copy));
        Bytes::from_owner(User(copy))
    }
}

impl AsRef<[u8]> for User {
    fn as_ref(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl Drop for SharedCopy {
    fn drop(&mut self) {
        self.table.bytes.fetch_sub(self.bytes.len(), Ordering::Relaxed);
        let mut table = self.table.lock();
        // Another one may be in use there by now.
        if table.get(&self.address).is_some_and(|copy| copy.strong_count() == 0) {
            table.remove(&self.address);
        }
    }
}

impl fmt::Debug for Copies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Copies({})", self.0.lock().len())
    }
}

impl HeldTable {
    fn lock(&self) -> MutexGuard<'_, HashMap<Address, Weak<SharedCopy>>> {
        self.copies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    fn address(part: &str) -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::builder().part(part).build())
    }

    fn large(content: u8) -> Bytes {
        Bytes::from(vec![content; LARGE])
    }

    #[test]
    fn equal_bytes_in_use_are_one_copy() {
        let (copies, at) = (Copies::default(), address("a"));
        let first = copies.one(&at, large(1));
        let part = copies.one(&at, large(1)).slice(7..9);
        assert_eq!(part.as_ptr(), first[7..].as_ptr());
        drop(first);
        assert_eq!(
            copies.one(&at, large(1))[7..].as_ptr(),
            part.as_ptr(),
            "a part keeps the whole"
        );
    }

    #[test]
    fn other_bytes_and_other_addresses_are_other_copies() {
        let copies = Copies::default();
        let first = copies.one(&address("a"), large(1));
        let newer = copies.one(&address("a"), large(2));
        let elsewhere = copies.one(&address("b"), large(1));
        assert_eq!((&first[..], &newer[..]), (&large(1)[..], &large(2)[..]));
        assert_ne!(first.as_ptr(), elsewhere.as_ptr());
        drop(first);
        assert_eq!(copies.one(&address("a"), large(2)).as_ptr(), newer.as_ptr());
    }

    #[test]
    fn nothing_is_left_of_what_is_not_in_use() {
        let copies = Copies::default();
        let all: Vec<_> = (0..5).map(|n| copies.one(&address(&n.to_string()), large(n))).collect();
        let replaced = copies.one(&address("0"), large(9));
        assert_eq!((copies.0.lock().len(), copies.bytes()), (5, 6 * LARGE));
        drop((all, replaced));
        assert_eq!((copies.0.lock().len(), copies.bytes()), (0, 0));
    }

    #[test]
    fn small_ones_stay_as_they_are() {
        let copies = Copies::default();
        let small = Bytes::from(vec![0; LARGE - 1]);
        assert_eq!(copies.one(&address("a"), small.clone()).as_ptr(), small.as_ptr());
        assert_eq!(copies.0.lock().len(), 0);
    }
}

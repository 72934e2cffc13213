//! Responses that were decoded lately: a hit that brings the same bytes again need not decode them again.
//!
//! Every hit in a store elsewhere reads the entry there. A response that is kept here stands in only for equal bytes at
//! the same address. So it is never out of date, and costs a comparison, where decoding costs some twenty times as
//! much.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use bytes::Bytes;

use super::error::StoredResponseError;
use super::frame;
use super::response::StoredResponse;
use crate::key::Address;

/// How many shelves there are. The checksum of an entry says on which one it belongs.
const SHELVES: usize = 128;

/// How many entries a shelf has room for. The oldest one makes room for the next.
const ROOM: usize = 4;

/// The longest entry that is kept. Of a longer one, decoding is the smaller part of what it costs to read.
const LONGEST: usize = 4096;

/// The entries, on shelves that are made when the first one comes from a store elsewhere. A clone shares them.
#[derive(Clone, Default)]
pub(super) struct RecentEntries(Arc<OnceLock<Box<[Mutex<Shelf>]>>>);

#[derive(Default)]
struct Shelf {
    places: [RecentPlace; ROOM],
    /// The place of the oldest entry.
    oldest: usize,
}

#[derive(Default)]
struct RecentPlace {
    /// The checksum of the last entry that came here and was decoded.
    checksum: Option<u32>,
    /// The decoded entry, once it has come twice. A response that comes once is its request's alone, which can take it
    /// apart.
    kept: Option<RecentEntry>,
}

struct RecentEntry {
    address: Address,
    bytes: Bytes,
    response: Arc<StoredResponse>,
}

impl RecentEntries {
    /// As [`StoredResponse::decode`].
    pub(super) fn decode(&self, address: &Address, bytes: Bytes) -> Result<Arc<StoredResponse>, StoredResponseError> {
        let decode = |bytes| StoredResponse::decode(address, bytes).map(Arc::new);
        let checksum = frame::checksum(&bytes).filter(|_| bytes.len() <= LONGEST);
        let Some((checksum, shelf)) = checksum.and_then(|checksum| Some((checksum, self.shelf(checksum)?))) else {
            return decode(bytes);
        };
        // Where another request is at this shelf, decoding takes no longer than to wait for it.
        let Ok(mut shelf) = shelf.try_lock() else {
            return decode(bytes);
        };
        let Some(place) = shelf.place(checksum) else {
            let response = decode(bytes)?;
            shelf.begin(checksum);
            return Ok(response);
        };
        if let Some(kept) = &place.kept
            && kept.bytes == bytes
            && kept.address == *address
        {
            return Ok(Arc::clone(&kept.response));
        }
        let response = decode(bytes.clone())?;
        place.kept = Some(RecentEntry {
            address: address.clone(),
            bytes,
            response: Arc::clone(&response),
        });
        Ok(response)
    }

    /// The response, where it has been decoded from equal bytes twice before.
    pub(super) fn known(&self, address: &Address, bytes: &Bytes) -> Option<Arc<StoredResponse>> {
        let checksum = frame::checksum(bytes).filter(|_| bytes.len() <= LONGEST)?;
        let mut shelf = self.shelf(checksum)?.try_lock().ok()?;
        let kept = shelf.place(checksum)?.kept.as_ref()?;
        (kept.bytes == *bytes && kept.address == *address).then(|| Arc::clone(&kept.response))
    }

    fn shelf(&self, checksum: u32) -> Option<&Mutex<Shelf>> {
        let shelves = self.0.get_or_init(|| (0..SHELVES).map(|_| Mutex::default()).collect());
        shelves.get(checksum as usize % SHELVES)
    }
}

impl Shelf {
    /// The place of what has this checksum.
    fn place(&mut self, checksum: u32) -> Option<&mut RecentPlace> {
        self.places.iter_mut().find(|place| place.checksum == Some(checksum))
    }

    /// Makes the oldest place that of what has this checksum.
    fn begin(&mut self, checksum: u32) {
        self.places[self.oldest] = RecentPlace {
            checksum: Some(checksum),
            kept: None,
        };
        self.oldest = (self.oldest + 1) % ROOM;
    }
}

impl fmt::Debug for RecentEntries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecentEntries")
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, StatusCode};

    use super::*;
    use crate::key::{Key, Tag};
    use crate::middleware::stored_response::Meta;

    fn address(part: &str) -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::builder().part(part).build())
    }

    fn entry(address: &Address, body: usize) -> Bytes {
        let body = Bytes::from(vec![b'x'; body]);
        let response = StoredResponse::new(StatusCode::OK, HeaderMap::new(), body, None, Meta::default());
        response.encode(address).unwrap()
    }

    /// The same bytes in other memory, as another hit brings them.
    fn copy(bytes: &Bytes) -> Bytes {
        Bytes::copy_from_slice(bytes)
    }

    #[test]
    fn what_comes_again_and_again_is_decoded_twice() {
        let (recent, at) = (RecentEntries::default(), address("a"));
        let bytes = entry(&at, 10);
        let [first, second, third, fourth] = [(); 4].map(|()| recent.decode(&at, copy(&bytes)).unwrap());
        assert!(!Arc::ptr_eq(&first, &second));
        assert!(Arc::ptr_eq(&second, &third) && Arc::ptr_eq(&third, &fourth));
        assert_eq!(first, fourth);
        // Another entry, on whatever shelf, is decoded from its own bytes.
        let other = recent.decode(&at, entry(&at, 11)).unwrap();
        assert_eq!(other.body().len(), 11);
    }

    #[test]
    fn what_comes_in_turns_is_kept_as_far_as_there_is_room() {
        let (recent, at) = (RecentEntries::default(), address("a"));
        let entries: Vec<_> = (0..SHELVES).map(|body| entry(&at, body)).collect();
        for _ in 0..2 {
            entries
                .iter()
                .for_each(|bytes| drop(recent.decode(&at, copy(bytes)).unwrap()));
        }
        let kept = |bytes| Arc::strong_count(&recent.decode(&at, copy(bytes)).unwrap()) > 1;
        // The entries are spread at random, so a few find no room on their shelves.
        let count = entries.iter().filter(|bytes| kept(bytes)).count();
        assert!(count > SHELVES * 3 / 4, "{count}");
    }

    #[test]
    fn an_entry_of_another_address_is_refused_although_it_is_kept() {
        let (recent, at) = (RecentEntries::default(), address("a"));
        let bytes = entry(&at, 10);
        for _ in 0..3 {
            recent.decode(&at, copy(&bytes)).unwrap();
        }
        let refused = recent.decode(&address("b"), copy(&bytes));
        assert_eq!(refused, Err(StoredResponseError::Address));
    }

    #[test]
    fn what_is_damaged_is_refused_although_it_has_the_checksum_of_a_kept_one() {
        let (recent, at) = (RecentEntries::default(), address("a"));
        let bytes = entry(&at, 10);
        for _ in 0..3 {
            recent.decode(&at, copy(&bytes)).unwrap();
        }
        let mut damaged = bytes.to_vec();
        damaged[bytes.len() - 2] ^= 1;
        assert_eq!(recent.decode(&at, damaged.into()), Err(StoredResponseError::Checksum));
        recent.decode(&at, bytes).unwrap();
    }

    #[test]
    fn what_is_known_is_what_was_decoded_twice_of_equal_bytes_for_the_same_address() {
        let (recent, at) = (RecentEntries::default(), address("a"));
        let bytes = entry(&at, 10);
        for _ in 0..2 {
            assert_eq!(recent.known(&at, &bytes), None);
            recent.decode(&at, copy(&bytes)).unwrap();
        }
        let known = recent.known(&at, &bytes).unwrap();
        assert!(Arc::ptr_eq(&known, &recent.decode(&at, copy(&bytes)).unwrap()));
        assert!(bytes.is_unique());
        let mut damaged = bytes.to_vec();
        damaged[bytes.len() - 2] ^= 1;
        assert_eq!(recent.known(&at, &damaged.into()), None);
        assert_eq!(recent.known(&address("b"), &bytes), None);
    }

    #[test]
    fn what_is_long_is_not_kept() {
        let (recent, at) = (RecentEntries::default(), address("a"));
        let bytes = entry(&at, LONGEST);
        let all = [(); 3].map(|()| recent.decode(&at, copy(&bytes)).unwrap());
        assert!(all.iter().all(|one| Arc::strong_count(one) == 1));
    }
}

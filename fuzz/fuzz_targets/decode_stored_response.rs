//! Decoding a stored response ends without a panic, and what it accepts means the same once it is encoded again.
//!
//! ```text
//! cargo +nightly fuzz run decode_stored_response fuzz/corpus-run fuzz/corpus/decode_stored_response
//! ```

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use tower_memolock::middleware::stored_response::StoredResponse;
use tower_memolock::{Address, Key, Tag};

static ADDRESS: LazyLock<Address> = LazyLock::new(|| {
    let key = Key::new("{GET /a}").expect("the id is a key");
    Address::new(&Tag::new("fuzz").expect("the tag is valid"), &key)
});

fuzz_target!(|data: &[u8]| {
    check(data.to_vec());
    // No fuzzer finds a checksum, and behind it is all that is worth a look.
    if let Some(entry) = sealed(data) {
        check(entry);
    }
});

fn check(entry: Vec<u8>) {
    if let Ok(response) = StoredResponse::decode(&ADDRESS, entry) {
        let again = response
            .encode(&ADDRESS)
            .expect("what was decoded can be encoded");
        let decoded = StoredResponse::decode(&ADDRESS, again);
        assert_eq!(decoded.as_ref(), Ok(&response));
    }
}

/// The same entry with the length and the checksum it should have.
fn sealed(data: &[u8]) -> Option<Vec<u8>> {
    let mut entry = data.to_vec();
    let len = u32::try_from(entry.len()).ok()?;
    entry.get_mut(8..12)?.copy_from_slice(&len.to_be_bytes());
    let checksum = crc32fast::hash(&entry[8..]);
    entry[4..8].copy_from_slice(&checksum.to_be_bytes());
    Some(entry)
}

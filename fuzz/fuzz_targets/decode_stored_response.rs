//! Decoding a stored response ends without a panic, and what it accepts means the same once it is encoded again.

#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use support::{ADDRESS, sealed};
use tower_memolock::middleware::stored_response::StoredResponse;

fuzz_target!(|data: &[u8]| {
    check(data.to_vec());
    // No fuzzer finds a checksum, and behind it is all that is worth a look.
    if let Some(entry) = sealed(data) {
        check(entry);
    }
});

fn check(entry: Vec<u8>) {
    if let Ok(response) = StoredResponse::decode(&ADDRESS, entry) {
        let again = response.encode(&ADDRESS).expect("what was decoded can be encoded");
        let decoded = StoredResponse::decode(&ADDRESS, again);
        assert_eq!(decoded.as_ref(), Ok(&response));
    }
}

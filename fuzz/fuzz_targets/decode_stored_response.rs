//! Decoding a stored response, an entry or a message alone, ends without a panic; what it accepts means the same once it
//! is encoded again, and of messages alone it accepts none that is for one client only.

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
    let is_alone = entry.first() == Some(&1);
    if let Ok(response) = StoredResponse::decode(&ADDRESS, entry) {
        if is_alone {
            let trailers = response.trailers();
            for fields in [Some(response.headers()), trailers].into_iter().flatten() {
                assert!(!fields.contains_key("set-cookie"));
            }
            for field in ["memolock-address", "vary", "transfer-encoding"] {
                assert!(!response.headers().contains_key(field), "{field}");
            }
            assert!(response.meta().variant.is_none() && !response.meta().is_marker);
        }
        let again = response.encode(&ADDRESS).expect("what was decoded can be encoded");
        let decoded = StoredResponse::decode(&ADDRESS, again);
        assert_eq!(decoded.as_ref(), Ok(&response));
    }
}

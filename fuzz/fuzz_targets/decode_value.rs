//! Whatever stands in Redis under a key, decoding it with any codec ends without a panic, and what is accepted can be
//! encoded again.

#![no_main]

mod support;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use support::ADDRESS;
use tower_memolock::codec::{Codec, Json, Raw};
use tower_memolock::middleware::stored_response::BinaryHttp;

fuzz_target!(|data: &[u8]| {
    let bytes = Bytes::copy_from_slice(data);
    let raw = Raw.decode(&ADDRESS, bytes.clone()).expect("any bytes are a raw value");
    assert_eq!(Raw.encode(&ADDRESS, &raw).expect("any bytes are a raw value"), bytes);

    let json = Json::<serde_json::Value>::new();
    if let Ok(value) = json.decode(&ADDRESS, bytes.clone()) {
        let again = json.encode(&ADDRESS, &value).expect("what was decoded can be encoded");
        // Not the same value: large numbers lose digits.
        assert!(json.decode(&ADDRESS, again).is_ok());
    }

    if let Ok(response) = BinaryHttp.decode(&ADDRESS, bytes) {
        assert!(BinaryHttp.weight(&response) >= response.body().len());
        assert!(BinaryHttp.encode(&ADDRESS, &response).is_ok());
    }
});

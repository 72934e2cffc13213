//! Whatever the metadata and the bytes of a gRPC call are, its method gets it as it came, and it has a key only if it is
//! one message, one for each; and of a reply only one message is shared, unless it failed without any.
//!
//! The input is header fields, trailer fields and a body, with a line `--` between them.

#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use support::{headers, parts};
use tower_memolock::middleware::fuzzing::{self, SharedWith};

fuzz_target!(|data: &[u8]| {
    let [head, trailers, body] = parts(data);
    let (head, trailers) = (headers(head), headers(trailers));

    let (key, passed) = fuzzing::grpc_call(&head, body);
    assert_eq!(passed, body);
    if key.is_some() {
        assert!(is_message(body));
        let mut other = body.to_vec();
        // Another length is no message any more, another flag or content another one.
        if let Some(last) = other.last_mut() {
            *last ^= 1;
        }
        assert_ne!(fuzzing::grpc_call(&head, &other).0, key);
    }

    let shared = fuzzing::shared_reply(&head, Some(&trailers), body);
    if matches!(shared, SharedWith::For(_)) {
        let statuses = [&head, &trailers].map(|fields| fields.get("grpc-status"));
        let failed = statuses.into_iter().flatten().any(|status| status != "0");
        assert!(is_message(body) || (failed && body.is_empty()));
    }
});

fn is_message(body: &[u8]) -> bool {
    let Some((prefix, content)) = body.split_first_chunk::<5>() else {
        return false;
    };
    let [_, a, b, c, d] = *prefix;
    u32::from_be_bytes([a, b, c, d]) as usize == content.len()
}

//! Deciding about a response ends without a panic, what forbids sharing forbids it whatever stands beside it, and no
//! response is fresh for longer than HTTP can say.
//!
//! The input is, with a line `--` between them: the fields of the response, its trailers, those of a request.

#![no_main]

mod support;

use std::time::Duration;

use http::StatusCode;
use libfuzzer_sys::fuzz_target;
use support::{headers, parts};
use tower_memolock::middleware::fuzzing::{self, SharedWith};

/// RFC 9111, 1.2.2.
const LONGEST: Duration = Duration::from_secs(1 << 31);

fuzz_target!(|data: &[u8]| {
    let [fields, trailers, request] = parts(data);
    let (status, body_len) = (StatusCode::OK, fields.len() as u64);
    let (fields, trailers, request) = (headers(fields), headers(trailers), headers(request));
    let given = Some(&trailers).filter(|trailers| !trailers.is_empty());
    if let SharedWith::For(time) = fuzzing::shared(status, &fields, given, body_len) {
        assert!(
            !time.is_zero() && (time <= LONGEST || fields.contains_key("expires")),
            "{time:?}"
        );
        assert!(!fields.contains_key("set-cookie") && !trailers.contains_key("set-cookie"));
    }
    for forbidden in [
        "set-cookie: x",
        "cache-control: private",
        "cache-control: no-cache",
        "vary: *",
    ] {
        let mut fields = fields.clone();
        fields.extend(headers(forbidden.as_bytes()));
        assert_eq!(
            fuzzing::shared(status, &fields, given, body_len),
            SharedWith::No,
            "{forbidden}"
        );
    }
    assert!(fuzzing::age(&fields) <= LONGEST);
    fuzzing::read(&request, &fields);
    if fuzzing::variant(&fields, &request).is_none() {
        assert_eq!(fuzzing::shared(status, &fields, given, body_len), SharedWith::No);
    }

    let mut stripped = fields.clone();
    fuzzing::strip_connection_fields(&mut stripped);
    assert!(!stripped.contains_key("connection") && stripped.len() <= fields.len());
});

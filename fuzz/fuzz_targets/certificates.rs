//! Checking certificates and keys ends without a panic, and no error shows the key.
//!
//! The input is roots, certificate and key, with a line `--` between them.

#![no_main]

mod support;

use libfuzzer_sys::fuzz_target;
use support::parts;
use tower_memolock::store::fuzzing;

fuzz_target!(|data: &[u8]| {
    let [roots, certificate, key] = parts(data);
    let _ = fuzzing::certificates(roots, certificate, key);
});

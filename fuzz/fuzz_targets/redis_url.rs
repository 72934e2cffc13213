//! Reading the URL of a Redis ends without a panic, and neither the address nor an error shows the password.

#![no_main]

use std::error::Error;

use libfuzzer_sys::fuzz_target;
use tower_memolock::RedisStore;
use tower_memolock::store::fuzzing;

const PASSWORD: &str = "S3cret-Passw0rd";

fuzz_target!(|url: &str| {
    check(url);
    // The same with a password, if there is a place for one.
    if let Some((scheme, rest)) = url.split_once("://")
        && scheme.bytes().all(|byte| byte.is_ascii_alphabetic())
    {
        check(&format!("{scheme}://user:{PASSWORD}@{rest}"));
    }
});

fn check(url: &str) {
    let mut shown = format!("{:?}", RedisStore::builder(url));
    match fuzzing::redis_address(url) {
        Ok(address) => shown.push_str(&address),
        Err(error) => {
            shown.push_str(&format!("{error} {error:?}"));
            let mut cause = error.source();
            while let Some(error) = cause {
                shown.push_str(&format!("{error} {error:?}"));
                cause = error.source();
            }
        }
    }
    assert!(!shown.contains(PASSWORD), "{shown}");
}

//! What the fuzzers reach and users do not: there is no such module but under `--cfg fuzzing`.

use bytes::Bytes;

use super::conn::dial;
#[cfg(feature = "tls")]
use super::conn::tls::{Certificates, Identity};
use super::protocol::message;
use crate::error::StoreError;
use crate::store::{Notice, Release, Token};

/// What a payload on a control channel says.
#[must_use]
pub fn parse_control(payload: &Bytes) -> Option<Notice> {
    message::parse(payload)
}

/// The payload that announces `reason`.
#[must_use]
pub fn control(reason: &Release) -> Vec<u8> {
    message::release(reason, usize::MAX)
}

/// The payload that announces that work was started `starts` times.
#[must_use]
pub fn deferred(starts: u32) -> Vec<u8> {
    message::deferred(starts)
}

/// The payload that says where a shared result is.
#[must_use]
pub fn kept(token: Token) -> Vec<u8> {
    message::kept(token)
}

/// Where the server of a URL is.
///
/// # Errors
///
/// As for [`RedisStore::connect`](crate::RedisStore::connect).
pub fn redis_address(url: &str) -> Result<String, StoreError> {
    let info = dial::parse_url(url)?;
    #[cfg(feature = "tls")]
    let info = Certificates::default().add_to(info)?;
    Ok(info.addr().to_string())
}

/// Checks certificates as the builder does.
///
/// # Errors
///
/// Where they cannot be used.
#[cfg(feature = "tls")]
pub fn certificates(roots: &[u8], certificate: &[u8], key: &[u8]) -> Result<(), StoreError> {
    let given = Certificates {
        roots: Some(roots.to_vec()),
        client: Some(Identity {
            certificate: certificate.to_vec(),
            key: key.to_vec(),
        }),
    };
    given.add_to(dial::parse_url("rediss://localhost")?).map(drop)
}

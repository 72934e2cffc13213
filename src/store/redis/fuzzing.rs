//! What the fuzzers reach and users do not: there is no such module but under `--cfg fuzzing`.

use super::conn::address;
#[cfg(feature = "tls")]
use super::conn::tls::{Certificates, Identity};
use crate::error::StoreError;

/// Where the server of a URL is.
///
/// # Errors
///
/// As for [`RedisStore::connect`](crate::RedisStore::connect).
pub fn redis_address(url: &str) -> Result<String, StoreError> {
    let info = address::parse_url(url)?;
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
    given.add_to(address::parse_url("rediss://localhost")?).map(drop)
}

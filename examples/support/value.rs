//! How the values of flags are written.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderName;
use tower_memolock::Tag;

pub(super) fn text(given: &str) -> Option<String> {
    (!given.is_empty()).then(|| given.to_owned())
}

pub(super) fn tag(given: &str) -> Option<Tag> {
    Tag::new(given).ok()
}

pub(super) fn whole(given: &str) -> Option<usize> {
    let digits = given.bytes().all(|b| b.is_ascii_digit());
    digits.then(|| given.parse().ok()).flatten()
}

pub(super) fn bytes(given: &str) -> Option<u64> {
    whole(given).and_then(|n| n.try_into().ok())
}

pub(super) fn positive(given: &str) -> Option<usize> {
    whole(given).filter(|n| *n > 0)
}

pub(super) fn field_names(given: &str) -> Option<Vec<HeaderName>> {
    given.split(',').map(|name| name.trim().parse().ok()).collect()
}

/// A whole number with its unit, at most a year, and not nothing.
pub(super) fn duration(given: &str) -> Option<Duration> {
    const YEAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);
    let unit_at = given.find(|c: char| !c.is_ascii_digit())?;
    let (number, unit) = given.split_at(unit_at);
    let number: u64 = number.parse().ok()?;
    let duration = match unit {
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        "m" => Duration::from_secs(number.checked_mul(60)?),
        "h" => Duration::from_secs(number.checked_mul(60 * 60)?),
        _ => return None,
    };
    (!duration.is_zero() && duration <= YEAR).then_some(duration)
}

/// Names are looked up, so that `localhost:8080` works.
pub(super) fn address(given: &str) -> Option<SocketAddr> {
    given.to_socket_addrs().ok()?.next()
}

pub(super) fn http_url(given: &str) -> Option<Uri> {
    let url: Uri = given.parse().ok()?;
    let cleartext = url.scheme_str() == Some("http");
    let plain_host = !url.authority()?.as_str().contains('@');
    (cleartext && plain_host && names_server(&url) && url.query().is_none()).then_some(url)
}

pub(super) fn redis_url(given: &str) -> Option<String> {
    let usable = match given.split_once("://")? {
        ("redis" | "rediss", _) => names_server(&given.parse().ok()?),
        ("unix" | "redis+unix", path) => !path.is_empty(),
        _ => false,
    };
    usable.then(|| given.to_owned())
}

/// Whether there is a host, and nothing behind it but a port.
fn names_server(url: &Uri) -> bool {
    let Some(authority) = url.authority() else {
        return false;
    };
    let server = authority.as_str().rsplit('@').next().unwrap_or_default();
    let port = server.strip_prefix(authority.host());
    !authority.host().is_empty() && (port == Some("") || authority.port_u16().is_some())
}

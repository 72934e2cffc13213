//! The address of a server, and how it is reached.

use std::time::Duration;

use redis::io::tcp::socket2::TcpKeepalive;
use redis::{ConnectionAddr, ConnectionInfo, RedisError};

use super::connection::Endpoint;
use crate::error::{StoreError, StoreErrorKind};

/// When the kernel starts to probe an idle connection. Our own heartbeat is faster; this is for what it misses.
const KEEPALIVE: Duration = Duration::from_secs(15);

/// When the kernel gives up a connection whose data the peer does not acknowledge.
const USER_TIMEOUT: Duration = Duration::from_secs(10);

/// Reads a URL.
pub(crate) fn parse_url(url: &str) -> Result<ConnectionInfo, StoreError> {
    let config = |reason| StoreError::with_source(StoreErrorKind::Config, reason);
    let secure = url.starts_with("rediss:") || url.starts_with("valkeys:");
    if secure && !cfg!(feature = "tls") {
        return Err(config("a URL of this kind needs the feature `tls` of tower-memolock"));
    }
    url.parse()
        .map_err(|e: RedisError| StoreError::with_source(StoreErrorKind::Config, e))
}

/// The same, with sockets that notice a peer that is gone.
pub(super) fn with_tcp_settings(info: ConnectionInfo) -> ConnectionInfo {
    let mut settings = info.tcp_settings().clone().set_nodelay(true);
    if settings.keepalive().is_none() {
        settings = settings.set_keepalive(TcpKeepalive::new().with_time(KEEPALIVE));
    }
    #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
    if settings.user_timeout().is_none() {
        settings = settings.set_user_timeout(USER_TIMEOUT);
    }
    info.set_tcp_settings(settings)
}

/// Another server, reached in the same way.
pub(super) fn at(like: &ConnectionAddr, (host, port): &Endpoint) -> ConnectionAddr {
    let mut address = like.clone();
    match &mut address {
        ConnectionAddr::TcpTls {
            host: own_host,
            port: own_port,
            ..
        } => (*own_host, *own_port) = (host.clone(), *port),
        other => *other = ConnectionAddr::Tcp(host.clone(), *port),
    }
    address
}

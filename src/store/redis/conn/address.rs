//! Where a server is, and what a URL says about it.

use std::fmt;
use std::path::PathBuf;
#[cfg(feature = "tls")]
use std::sync::Arc;

use crate::error::{StoreError, StoreErrorKind};

/// Host and port.
pub(crate) type Endpoint = (String, u16);

/// The port of a URL without one.
const PORT: u16 = 6379;

/// How a server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ServerAddress {
    Tcp {
        host: String,
        port: u16,
        /// Whether with TLS.
        secure: bool,
    },
    /// Through a socket of this machine.
    Unix(PathBuf),
}

/// How a server is reached, and with which credentials.
#[derive(Clone)]
pub(crate) struct ServerUrl {
    pub(crate) address: ServerAddress,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) database: i64,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<Arc<rustls::ClientConfig>>,
}

/// What is wrong with a URL. The error shows no part of the URL, because a password may stand anywhere.
#[derive(Debug, thiserror::Error)]
enum BadUrl {
    #[error("the URL of a Redis begins with redis://, rediss:// or unix://")]
    Scheme,
    #[cfg(not(feature = "tls"))]
    #[error("a URL of this kind needs the feature `tls` of tower-memolock")]
    NeedsTls,
    #[cfg(not(unix))]
    #[error("there are no Unix sockets on this platform")]
    NoSockets,
    #[error("the URL has no host: redis://host:port")]
    Host,
    #[error("the host 0.0.0.0 or :: is every address of a machine, not one: name the one to connect to")]
    Wildcard,
    #[error("the port in the URL is not a number up to 65535; in a password, write / ? # and @ as %2F %3F %23 and %40")]
    Port,
    #[error("the database in the URL, behind the last /, is not a number")]
    Database,
    #[error("the user name or the password in the URL is not UTF-8")]
    NotText,
    #[cfg(feature = "tls")]
    #[error(
        "nothing can stand behind # in the URL; in a password, write %23; in place of `#insecure`, give the server's \
         CA to `root_certificates`"
    )]
    Fragment,
    #[error("the URL has no path of a socket: unix:///path/to/socket")]
    Path,
}

impl From<BadUrl> for StoreError {
    fn from(reason: BadUrl) -> Self {
        Self::with_source(StoreErrorKind::Config, reason)
    }
}

impl ServerAddress {
    /// Whether with TLS.
    pub(crate) fn is_secure(&self) -> bool {
        matches!(self, Self::Tcp { secure: true, .. })
    }

    /// Another server, reached in the same way.
    pub(super) fn at(&self, (host, port): &Endpoint) -> Self {
        Self::Tcp {
            host: host.clone(),
            port: *port,
            secure: self.is_secure(),
        }
    }
}

impl fmt::Display for ServerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { host, port, .. } => write!(f, "{host}:{port}"),
            Self::Unix(path) => path.display().fmt(f),
        }
    }
}

impl fmt::Debug for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the password.
        fmt::Display::fmt(&self.address, f)
    }
}

impl ServerUrl {
    /// Without a user, and about the first database.
    pub(super) fn at(address: ServerAddress) -> Self {
        Self {
            address,
            username: None,
            password: None,
            database: 0,
            #[cfg(feature = "tls")]
            tls: None,
        }
    }

    /// Reads a URL.
    pub(crate) fn read(url: &str) -> Result<Self, StoreError> {
        let (scheme, rest) = url.trim().split_once(':').ok_or(BadUrl::Scheme)?;
        let scheme = scheme.to_ascii_lowercase();
        Ok(match scheme.as_str() {
            "redis" | "valkey" => Self::read_tcp(rest, false)?,
            #[cfg(feature = "tls")]
            "rediss" | "valkeys" => Self::read_tcp(rest, true)?,
            #[cfg(not(feature = "tls"))]
            "rediss" | "valkeys" => return Err(BadUrl::NeedsTls.into()),
            #[cfg(unix)]
            "unix" | "redis+unix" | "valkey+unix" => Self::read_unix(rest)?,
            #[cfg(not(unix))]
            "unix" | "redis+unix" | "valkey+unix" => return Err(BadUrl::NoSockets.into()),
            _ => return Err(BadUrl::Scheme.into()),
        })
    }

    /// `//user:password@host:port/database`, of which the host alone has to be there. What a query says is not for this store.
    fn read_tcp(rest: &str, secure: bool) -> Result<Self, BadUrl> {
        let rest = rest.strip_prefix("//").ok_or(BadUrl::Host)?;
        let (rest, _fragment) = split_before(rest, &['#']);
        #[cfg(feature = "tls")]
        if secure && !_fragment.is_empty() {
            return Err(BadUrl::Fragment);
        }
        let (rest, _query) = split_before(rest, &['?']);
        let (authority, path) = split_before(rest, &['/']);
        let (login, place) = authority.rsplit_once('@').unwrap_or(("", authority));
        let (host, port) = match place.strip_prefix('[') {
            Some(bracketed) => {
                let (host, port) = bracketed.split_once(']').ok_or(BadUrl::Host)?;
                let host: std::net::Ipv6Addr = host.parse().map_err(|_| BadUrl::Host)?;
                (host.to_string(), port)
            }
            None => {
                let (host, port) = split_before(place, &[':']);
                (host.to_owned(), port)
            }
        };
        let is_forbidden = |c: char| c.is_control() || c.is_whitespace() || "#/<>?@[\\]^|".contains(c);
        if host.is_empty() || host.contains(is_forbidden) {
            return Err(BadUrl::Host);
        }
        if host == "0.0.0.0" || host == "::" {
            return Err(BadUrl::Wildcard);
        }
        let port = match port {
            "" | ":" => PORT,
            port => {
                let digits = port.strip_prefix(':').ok_or(BadUrl::Port)?;
                let is_number = digits.bytes().all(|byte| byte.is_ascii_digit());
                digits.parse().ok().filter(|_| is_number).ok_or(BadUrl::Port)?
            }
        };
        let (username, password) = login.split_once(':').unwrap_or((login, ""));
        Ok(Self {
            username: decoded(username, false)?,
            password: decoded(password, false)?,
            database: match path.trim_matches('/') {
                "" => 0,
                number => number.parse().map_err(|_| BadUrl::Database)?,
            },
            ..Self::at(ServerAddress::Tcp { host, port, secure })
        })
    }

    /// `///path?user=..&pass=..&db=..`, of which the path alone has to be there.
    #[cfg(unix)]
    fn read_unix(rest: &str) -> Result<Self, BadUrl> {
        use std::os::unix::ffi::OsStringExt;

        let (rest, _fragment) = split_before(rest, &['#']);
        let (path, query) = split_before(rest, &['?']);
        let path = path.strip_prefix("//").unwrap_or(path);
        let path = path.strip_prefix("localhost").unwrap_or(path);
        if !path.starts_with('/') || path == "/" {
            return Err(BadUrl::Path);
        }
        let path = std::ffi::OsString::from_vec(percent_decoded(path, false));
        let mut url = Self::at(ServerAddress::Unix(path.into()));
        for pair in query.trim_start_matches('?').split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "user" => url.username = decoded(value, true)?,
                "pass" => url.password = decoded(value, true)?,
                "db" => url.database = value.parse().map_err(|_| BadUrl::Database)?,
                _ => {}
            }
        }
        Ok(url)
    }
}

/// Splits in front of the first of these characters, if there is one.
fn split_before<'a>(text: &'a str, characters: &[char]) -> (&'a str, &'a str) {
    text.split_at(text.find(characters).unwrap_or(text.len()))
}

/// What a part of a URL means, unless it is empty.
fn decoded(part: &str, is_query: bool) -> Result<Option<String>, BadUrl> {
    if part.is_empty() {
        return Ok(None);
    }
    let text = String::from_utf8(percent_decoded(part, is_query)).map_err(|_| BadUrl::NotText)?;
    Ok(Some(text))
}

/// A `%` that no two hexadecimal digits follow stands for itself, as everywhere in URLs.
fn percent_decoded(part: &str, is_query: bool) -> Vec<u8> {
    let (mut bytes, mut rest) = (Vec::with_capacity(part.len()), part.as_bytes());
    while let [first, behind @ ..] = rest {
        rest = behind;
        let digit = |at: usize| behind.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        bytes.push(match first {
            b'%' => match (digit(0), digit(1)) {
                (Some(high), Some(low)) => {
                    rest = &behind[2..];
                    (high * 16 + low) as u8
                }
                _ => b'%',
            },
            b'+' if is_query => b' ',
            other => *other,
        });
    }
    bytes
}

#[cfg(test)]
mod tests;

//! [`GrpcMethod`]: one method whose calls are collapsed.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::ResponseLimits;
use crate::middleware::grpc::Sightings;

/// The longest path, in bytes, that a method may have.
const MAX_PATH_LEN: usize = 1024;

/// A unary gRPC method whose calls are collapsed, with the settings in which it differs from its
/// [layer](crate::MemoLockLayer::grpc).
///
/// Naming a method says that repeating a call of it changes nothing (`idempotency_level = NO_SIDE_EFFECTS`), and that
/// its reply depends on nothing but the message and the metadata in the key. Do not name a method that streams: its
/// calls would wait for each other's first replies before they go their own ways.
///
/// # A name that no call has
///
/// A warning says once which name has matched no call of this process. It comes after ten calls of a method that the
/// name must have meant (it differs in case, in underscores, or by a missing package), or after a thousand calls of
/// methods that are not named, of the same service or of the same name in a service of another package. A method that is
/// called seldom among thousands of such calls is warned of as well: the warning says what has passed.
///
/// ```
/// use std::time::Duration;
///
/// use tower_memolock::middleware::GrpcMethod;
///
/// // Of generated code: `greeter_server::SERVICE_NAME`, or `GreeterServer::<G>::NAME`.
/// const SERVICE_NAME: &str = "helloworld.Greeter";
///
/// let method = GrpcMethod::of(SERVICE_NAME, "SayHello")
///     .ttl(Duration::from_secs(30))
///     // NOT_FOUND; `tonic::Code::NotFound` is as good.
///     .status_ttl(5, Duration::from_secs(1));
/// assert_eq!(method.path(), "/helloworld.Greeter/SayHello");
/// assert!(GrpcMethod::try_from("helloworld.Greeter").is_err());
/// ```
#[derive(Debug, Clone)]
#[must_use]
pub struct GrpcMethod {
    path: String,
    pub(crate) ttl: Option<Duration>,
    pub(crate) status_ttl: Vec<(i32, Duration)>,
    pub(crate) lease: Option<Duration>,
    pub(crate) wait_timeout: Option<Duration>,
    pub(crate) response_limits: ResponseLimits,
    max_message: Option<u64>,
    pub(crate) sightings: Arc<Sightings>,
}

impl GrpcMethod {
    /// The method with this path, `/package.Service/Method`.
    ///
    /// # Panics
    ///
    /// If `path` is not the path of a method. For one that comes from outside the program use `GrpcMethod::try_from`.
    #[track_caller]
    pub fn new(path: impl Into<String>) -> Self {
        match Self::checked(path.into()) {
            Ok(method) => method,
            Err(error) => panic!("not a method: {error}"),
        }
    }

    /// The method of this service, whose name is what `tonic` has as `NamedService::NAME` and, in generated code, as
    /// `SERVICE_NAME`.
    ///
    /// # Panics
    ///
    /// As [`GrpcMethod::new`].
    #[track_caller]
    pub fn of(service: &str, method: &str) -> Self {
        Self::new(["/", service, "/", method].concat())
    }

    fn checked(path: String) -> Result<Self, GrpcMethodError> {
        if path.len() > MAX_PATH_LEN {
            return Err(GrpcMethodError::TooLong(path.len()));
        }
        let forbidden = |c: char| !c.is_ascii_graphic() || r#"?#*%"\<>^`{|}"#.contains(c);
        if let Some(c) = path.chars().find(|c| forbidden(*c)) {
            return Err(GrpcMethodError::Character(c));
        }
        let segments = path.strip_prefix('/').ok_or(GrpcMethodError::Form)?;
        if !segments.contains('/') || segments.split('/').any(str::is_empty) {
            return Err(GrpcMethodError::Form);
        }
        Ok(Self {
            path,
            ttl: None,
            status_ttl: Vec::new(),
            lease: None,
            wait_timeout: None,
            response_limits: ResponseLimits::new(),
            max_message: None,
            sightings: Arc::default(),
        })
    }

    /// How long to keep a reply whose status is OK and whose initial metadata have no `cache-control` that says. With
    /// zero, only the followers of that moment get it. Defaults to that of the layer.
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.ttl = Some(ttl);
        self
    }

    /// How long to keep a reply with this status, a number or a `tonic::Code`. Defaults to not at all except for OK: a
    /// failure is not stored. [`Unconfirmed`](crate::middleware::Unconfirmed) says which failures go to the followers.
    ///
    /// A reply that says itself how long it is fresh is kept no longer than that.
    pub fn status_ttl(mut self, status: impl Into<i32>, ttl: Duration) -> Self {
        let status = status.into();
        self.status_ttl.retain(|(known, _)| *known != status);
        self.status_ttl.push((status, ttl));
        self
    }

    /// As [`MemoLockLayer::lease`](crate::MemoLockLayer::lease), for this method. Defaults to that of the layer.
    pub fn lease(mut self, lease: Duration) -> Self {
        self.lease = Some(lease);
        self
    }

    /// How long a call waits for a reply that another call leads, before it goes to the inner service itself. Defaults
    /// to that of the layer. A call whose own deadline (`grpc-timeout`) is sooner ends with that.
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.wait_timeout = Some(timeout);
        self
    }

    /// How large a reply may be to be shared. What `limits` does not set is that of the layer.
    pub fn response_limits(mut self, limits: ResponseLimits) -> Self {
        self.response_limits = limits;
        self
    }

    /// How long, in bytes, the message of a call may be to be collapsed: as much is read before the call is answered. A
    /// longer one goes to the inner service. Defaults to 64 KiB.
    pub fn max_message(mut self, bytes: u64) -> Self {
        self.max_message = Some(bytes);
        self
    }

    /// The path: `/package.Service/Method`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The most bytes of a message, where this method has a limit of its own.
    pub(crate) fn own_max_message(&self) -> Option<u64> {
        self.max_message
    }
}

impl TryFrom<&str> for GrpcMethod {
    type Error = GrpcMethodError;

    fn try_from(path: &str) -> Result<Self, GrpcMethodError> {
        Self::checked(path.to_owned())
    }
}

impl TryFrom<String> for GrpcMethod {
    type Error = GrpcMethodError;

    fn try_from(path: String) -> Result<Self, GrpcMethodError> {
        Self::checked(path)
    }
}

impl fmt::Display for GrpcMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)
    }
}

/// What is wrong with the path of a method.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum GrpcMethodError {
    /// It is not a `/`, the name of a service, a `/` and the name of a method.
    #[error("the path is not of the form /package.Service/Method")]
    Form,
    /// It has a character that the path of a call cannot have. There are no patterns: each method is named.
    #[error("the path has the character {0:?}, which no method has")]
    Character(char),
    /// It has more than 1024 bytes.
    #[error("the path has {0} bytes, the most is {MAX_PATH_LEN}")]
    TooLong(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_is_a_service_and_a_method() {
        for path in ["/a.B/C", "/B/c", "/grpc.health.v1.Health/Check", "/prefix/a.B/C"] {
            assert_eq!(GrpcMethod::try_from(path).unwrap().path(), path);
            assert_eq!(GrpcMethod::new(path).to_string(), path);
        }
        let error = |path: &str| GrpcMethod::try_from(path).unwrap_err();
        for path in ["", "/", "a.B/C", "/a.B", "/a.B/", "//C", "/a.B//C", "a.B"] {
            assert_eq!(error(path), GrpcMethodError::Form, "{path}");
        }
        for (path, c) in [
            ("/a.B/*", '*'),
            ("/a.B/C?x", '?'),
            ("/a.B/C D", ' '),
            ("/a.B/C\n", '\n'),
            ("/a.B/Ç", 'Ç'),
            ("http://a/%41", '%'),
        ] {
            assert_eq!(error(path), GrpcMethodError::Character(c), "{path}");
        }
        let long = format!("/a/{}", "b".repeat(1022));
        assert_eq!(error(&long), GrpcMethodError::TooLong(1025));
    }

    #[test]
    #[should_panic(expected = "not a method: the path is not of the form")]
    fn literal_that_is_no_path_panics() {
        drop(GrpcMethod::new("helloworld.Greeter/SayHello"));
    }
}

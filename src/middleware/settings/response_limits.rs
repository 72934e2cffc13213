//! [`ResponseLimits`]: how large a response may be to be shared.

use std::time::Duration;

use super::set;
use crate::middleware::policy::response_rules::ResponseRules;

/// How large a response may be, and how long its body may go on, to be shared: for
/// [`MemoLockLayer::response_limits`](crate::MemoLockLayer::response_limits), and for one method of gRPC
/// [`GrpcMethod::response_limits`](super::GrpcMethod::response_limits).
#[derive(Debug, Clone, Copy, Default)]
#[must_use]
pub struct ResponseLimits {
    max_body: Option<u64>,
    max_headers: Option<u64>,
    max_recording: Option<u64>,
    endless_after: Option<Duration>,
}

impl ResponseLimits {
    /// How long a body may be, unless told otherwise, to be shared: 8 MiB.
    pub const DEFAULT_MAX_BODY: u64 = ResponseRules::DEFAULT_MAX_BODY;

    /// How large header and trailer fields may be, unless told otherwise, to be shared: 64 KiB.
    pub const DEFAULT_MAX_HEADERS: u64 = ResponseRules::DEFAULT_MAX_HEADERS;

    /// How much memory recordings may hold, unless told otherwise: 256 MiB.
    pub const DEFAULT_MAX_RECORDING: u64 = ResponseRules::DEFAULT_MAX_RECORDING;

    /// Sets nothing yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// How long, in bytes, a response body may be to be shared. Its own client gets a longer one as it comes, and
    /// followers go to the inner service. Defaults to [8 MiB](Self::DEFAULT_MAX_BODY).
    pub fn max_body(mut self, bytes: u64) -> Self {
        self.max_body = Some(bytes);
        self
    }

    /// How large, in bytes of names and values, header and trailer fields may be together to be shared. Its own client
    /// gets a response with more of them as it is, and followers go to the inner service. Defaults to
    /// [64 KiB](Self::DEFAULT_MAX_HEADERS).
    pub fn max_headers(mut self, bytes: u64) -> Self {
        self.max_headers = Some(bytes);
        self
    }

    /// How many bytes of bodies all recordings may hold together: of responses under way, until they have reached the
    /// store and the client they are streamed to. Each counts once; a body that came in pieces is there twice while
    /// they are joined. A response for which there is no room is not shared, and a request that would lead while there
    /// is none at all is at a limit. Defaults to [256 MiB](Self::DEFAULT_MAX_RECORDING).
    ///
    /// A further quarter of that is for bodies of 64 KiB and more that a store elsewhere has sent, until their clients
    /// have read them; clients that ask for the same body at one time share it. Beyond that, the layer reads a body
    /// from the store as fast as its client does, 256 KiB at a time, and checks each part. A response that is replaced,
    /// invalidated or expires before its client has read all of it then ends in an error, never as if it were whole. A
    /// request for a response that cannot be read in parts (under [`raw_body`](crate::MemoLockLayer::raw_body), written
    /// by another program, or where the Redis user lacks `+getrange`) is at a limit.
    pub fn max_recording(mut self, bytes: u64) -> Self {
        self.max_recording = Some(bytes);
        self
    }

    /// How long after its head a body of unknown length may go on before the layer takes it for *endless*, as feeds,
    /// tails of logs and audio streams are. Defaults to 1.5 seconds.
    ///
    /// An endless body belongs to the client that leads. Its followers, on every node, go to the inner service. Later
    /// requests go there at once, for as long as a [`pass_marker`](super::Privacy::pass_marker) says or until a body
    /// for the same key has ended in time. The layer drops an endless body once no client reads it. Requests that read
    /// along ([`stream_followers`](crate::MemoLockLayer::stream_followers)) read on, and get no error where the body
    /// becomes longer than [`max_body`](Self::max_body).
    ///
    /// A body is given four times as long where something says that it ends: freshness of the response's own, or a ttl
    /// of its handler; a body for the same key that this process has seen to end within that time; or a speed at which
    /// it would be longer than [`max_body`](Self::max_body) by then. Followers wait for a body with a `Content-Length`,
    /// or of a known length, however slow it is. So a slow page that says nothing of itself costs a call for each
    /// request once, and one call for all requests from then on. Where that is too many, let the handler declare a
    /// length or freshness, or set this longer.
    pub fn endless_after(mut self, time: Duration) -> Self {
        self.endless_after = Some(time);
        self
    }

    /// Puts what is set into the rules of a layer.
    pub(crate) fn apply(self, responses: &mut ResponseRules) {
        let Self {
            max_body,
            max_headers,
            max_recording,
            endless_after,
        } = self;
        set(&mut responses.max_body, max_body);
        set(&mut responses.max_headers, max_headers);
        set(&mut responses.max_recording, max_recording);
        set(&mut responses.endless_after, endless_after);
    }
}

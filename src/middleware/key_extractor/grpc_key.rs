//! Keys of gRPC calls.

mod call_message;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderName};
use http_body::Body;
use tokio::time::timeout;

use self::call_message::CallMessage;
use super::{BufferedBody, HeadKey, KeyExtractor, UriKey};
use crate::key::{Key, KeyBuilder};
use crate::middleware::grpc::{Framing, is_call};
use crate::middleware::policy::syntax::members;

const ENCODING: HeaderName = HeaderName::from_static("grpc-encoding");
const ACCEPT_ENCODING: HeaderName = HeaderName::from_static("grpc-accept-encoding");

/// The name of the part with the message. A `:` cannot stand in the name of a header field.
const MESSAGE: &str = "message:sha256";

/// How long the body of a request may take to arrive. After that the request goes to the inner service by itself.
const PATIENCE: Duration = Duration::from_secs(10);

/// The keys of [`MemoLockLayer::grpc`](crate::MemoLockLayer::grpc):
/// `{POST http://example.com/helloworld.Greeter/SayHello content-type=application/grpc message:sha256=e3b0c442…}`.
///
/// They cover the authority and the path of a call; the message, as it was sent; the encoding of the message, and the
/// encodings that the reply may have; the metadata that the layer is told to cover; and whatever overrides the target,
/// as [`UriKey`] does. `grpc-timeout`, `te`, `user-agent` and all other metadata make no difference.
///
/// A call with more or less than one message bypasses the layer, as does one with a message that is too long, that says
/// it is compressed but not how, or that takes more than ten seconds to arrive. It reaches the inner service as it came,
/// to the last byte.
#[derive(Debug, Clone)]
pub struct GrpcKey {
    target: UriKey,
    /// The limits of methods that have one of their own.
    limits: Arc<[(String, u64)]>,
}

impl GrpcKey {
    const DEFAULT_MAX_MESSAGE: u64 = 64 * 1024;

    pub(crate) fn new() -> Self {
        Self {
            target: UriKey::implying([CONTENT_TYPE, CONTENT_ENCODING]),
            limits: Arc::default(),
        }
    }

    pub(crate) fn without_authority(mut self) -> Self {
        self.target = self.target.without_authority();
        self
    }

    pub(crate) fn max_message_of(mut self, path: &str, bytes: Option<u64>) -> Self {
        let others = self.limits.iter().filter(|(known, _)| known != path);
        let own = bytes.map(|bytes| (path.to_owned(), bytes));
        self.limits = others.cloned().chain(own).collect();
        self
    }

    fn limit(&self, path: &str) -> u64 {
        let own = self.limits.iter().find(|(known, _)| known == path);
        own.map_or(Self::DEFAULT_MAX_MESSAGE, |(_, bytes)| *bytes)
    }

    /// The part of the key that the head of the call tells, unless it cannot be collapsed.
    fn head<B>(&self, request: &Request<B>) -> Option<KeyBuilder> {
        let headers = request.headers();
        if !is_call(headers) {
            return None;
        }
        let mut key = self.target.builder(request)?;
        for encoding in headers.get_all(ENCODING) {
            if !is_identity(encoding.as_bytes()) {
                key = key.named(ENCODING.as_str(), encoding.as_bytes());
            }
        }
        let accepted = accepted(headers);
        if !accepted.is_empty() {
            key = key.named(ACCEPT_ENCODING.as_str(), &accepted);
        }
        Some(key)
    }
}

impl<B> KeyExtractor<B> for GrpcKey
where
    B: Body<Error: Send> + Send + Unpin,
{
    type Body = BufferedBody<B>;

    fn covers_body(&self) -> bool {
        true
    }

    fn covers_header(&self, name: &HeaderName) -> bool {
        self.target.covers(name)
    }

    fn head_key(&self, request: &Request<B>) -> HeadKey {
        let (headers, body) = (request.headers(), request.body());
        let declared = headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok())
            .unwrap_or(0);
        let most = self.limit(request.uri().path()).saturating_add(Framing::OVERHEAD);
        if !is_call(headers) || body.is_end_stream() || declared.max(body.size_hint().lower()) > most {
            return HeadKey::Bypass;
        }
        HeadKey::NeedsBody
    }

    fn body_key(&self, request: Request<B>) -> impl Future<Output = (Option<Key>, Request<BufferedBody<B>>)> + Send {
        let key = self.head(&request);
        let limit = self.limit(request.uri().path());
        async move {
            let Some(key) = key else {
                return (None, request.map(BufferedBody::unread));
            };
            let (head, body) = request.into_parts();
            let mut message = CallMessage::new(body, limit);
            let key = match timeout(PATIENCE, message.read()).await {
                Ok(true) if message.framing.flag() == 0 || is_compressed(&head.headers) => {
                    // Without an encoding, the flag is part of the digest.
                    Some(key.build_with_shape().with_digest(MESSAGE, &message.digest()))
                }
                Ok(_) | Err(_) => None,
            };
            (key, Request::from_parts(head, message.into_body()))
        }
    }

    fn pass(&self, request: Request<B>) -> Request<BufferedBody<B>> {
        request.map(BufferedBody::unread)
    }
}

fn is_identity(encoding: &[u8]) -> bool {
    encoding.trim_ascii() == b"identity"
}

/// Whether a message that says that it is compressed can be read: it has exactly one encoding.
fn is_compressed(headers: &HeaderMap) -> bool {
    let mut encodings = headers.get_all(ENCODING).iter();
    let first = encodings.next();
    first.is_some_and(|first| !first.is_empty() && !is_identity(first.as_bytes())) && encodings.next().is_none()
}

/// The encodings that the reply may have, in one form however the client lists them: their order means nothing, and
/// `identity` is always accepted.
fn accepted(headers: &HeaderMap) -> Vec<u8> {
    let mut members: Vec<_> = members(headers, &ACCEPT_ENCODING)
        .filter(|member| !member.is_empty() && !is_identity(member))
        .collect();
    members.sort_unstable();
    members.dedup();
    members.join(&b","[..])
}

#[cfg(test)]
mod tests;

//! Keys that cover the body.

use std::future::Future;
use std::pin::Pin;

use bytes::BytesMut;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName};
use http::{Extensions, HeaderMap, Request, Uri};
use http_body::Body;
use sha2::{Digest, Sha256};

use super::{BufferedBody, HeadKey, KeyExtractor, UriKey};
use crate::key::Key;
use crate::middleware::frames::into_bytes;

/// The name of the part. A `:` cannot stand in the name of a header field.
const PART: &str = "body:sha256";

/// The same, where the rest of the key covers something else than with [`BodyKey::new`].
const PART_OVER: &str = "over:body:sha256";

/// Where [`BodyKey::limit`] is unless set.
const DEFAULT_LIMIT: u64 = 64 * 1024;

/// The keys of `K` and the SHA-256 of the request's body:
/// `{POST http://example.com/search content-type=application/json body:sha256=e3b0c442…}`.
///
/// The body is read before the request is answered, up to a [`limit`](BodyKey::limit). Requests with a longer body,
/// with trailers, or with a body that fails bypass the layer; the inner service gets the body all the same, to the
/// last byte and with whatever it ends in.
///
/// What a body means depends on its `Content-Type` and `Content-Encoding`. The keys of [`BodyKey::new`] cover them;
/// an extractor given to [`BodyKey::over`] should; its keys end in `over:body:sha256=e3b0c442…`.
///
/// The layer decides which methods with a body may be collapsed at all, not the key.
#[derive(Debug, Clone)]
pub struct BodyKey<K = UriKey> {
    inner: K,
    part: &'static str,
    limit: u64,
}

impl BodyKey {
    /// Keys of the method, the target URI, the fields that tell what the body means, and the body.
    ///
    /// Those fields are `Content-Type`, `Content-Encoding` and, for gRPC, `grpc-encoding` and `grpc-accept-encoding`. A
    /// layer [for gRPC](crate::MemoLockLayer::grpc) has keys that know more of it.
    #[must_use]
    pub fn new() -> Self {
        let inner = UriKey::implying([
            CONTENT_TYPE,
            CONTENT_ENCODING,
            HeaderName::from_static("grpc-encoding"),
            HeaderName::from_static("grpc-accept-encoding"),
        ]);
        Self {
            part: PART,
            ..Self::over(inner)
        }
    }
}

impl Default for BodyKey {
    fn default() -> Self {
        Self::new()
    }
}

impl<K> BodyKey<K> {
    /// The keys of `inner`, and the body.
    ///
    /// `inner` has to be an extractor that looks at the head only. With any other extractor every request bypasses the
    /// layer.
    #[must_use]
    pub fn over(inner: K) -> Self {
        Self {
            inner,
            part: PART_OVER,
            limit: DEFAULT_LIMIT,
        }
    }

    /// The most bytes of a body that the extractor reads for the key. Defaults to 64 KiB.
    #[must_use]
    pub fn limit(mut self, bytes: u64) -> Self {
        self.limit = bytes;
        self
    }
}

impl<B, K> KeyExtractor<B> for BodyKey<K>
where
    B: Body<Error: Send> + Send + Unpin,
    K: KeyExtractor<B, Body = B>,
{
    type Body = BufferedBody<B>;

    fn covers_body(&self) -> bool {
        true
    }

    fn covers_header(&self, name: &HeaderName) -> bool {
        self.inner.covers_header(name)
    }

    fn head_key(&self, request: &Request<B>) -> HeadKey {
        let key = match self.inner.head_key(request) {
            HeadKey::Key(key) => key,
            HeadKey::Bypass | HeadKey::NeedsBody => return HeadKey::Bypass,
        };
        let body = request.body();
        if body.is_end_stream() {
            return HeadKey::Key(key.with_digest(self.part, &Sha256::digest([]).into()));
        }
        let declared = content_length(request.headers()).unwrap_or(0);
        if declared.max(body.size_hint().lower()) > self.limit {
            return HeadKey::Bypass;
        }
        HeadKey::NeedsBody
    }

    fn body_key(&self, request: Request<B>) -> impl Future<Output = (Option<Key>, Request<BufferedBody<B>>)> + Send {
        let key = match self.inner.head_key(&request) {
            HeadKey::Key(key) => Some(key),
            HeadKey::Bypass | HeadKey::NeedsBody => None,
        };
        let (limit, part) = (self.limit, self.part);
        async move {
            let Some(key) = key else {
                return (None, request.map(BufferedBody::unread));
            };
            let (head, body) = request.into_parts();
            let (digest, body) = digest(body, limit).await;
            let key = digest.map(|digest| key.with_digest(part, &digest));
            (key, Request::from_parts(head, body))
        }
    }

    fn get_key(&self, uri: &Uri, headers: &HeaderMap) -> Option<Key> {
        self.get_key_with(uri, headers, &Extensions::new())
    }

    fn get_key_with(&self, uri: &Uri, headers: &HeaderMap, extensions: &Extensions) -> Option<Key> {
        let key = self.inner.get_key_with(uri, headers, extensions)?;
        Some(key.with_digest(self.part, &Sha256::digest([]).into()))
    }

    fn pass(&self, request: Request<B>) -> Request<BufferedBody<B>> {
        request.map(BufferedBody::unread)
    }
}

/// Reads `body` to its end and returns its digest, unless it has more than `limit` bytes, trailers or an error.
async fn digest<B: Body + Unpin>(mut body: B, limit: u64) -> (Option<[u8; 32]>, BufferedBody<B>) {
    let mut digest = Sha256::new();
    let mut read = BytesMut::new();
    loop {
        let frame = std::future::poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let frame = match frame {
            None => {
                let digest = digest.finalize().into();
                return (Some(digest), BufferedBody::complete(read.freeze()));
            }
            Some(Ok(frame)) => into_bytes(frame),
            Some(Err(error)) => {
                return (None, BufferedBody::partial(read.freeze(), Err(error), body));
            }
        };
        let room = limit.saturating_sub(read.len() as u64);
        match frame.data_ref() {
            Some(data) if data.len() as u64 <= room => {
                digest.update(data);
                read.extend_from_slice(data);
            }
            // More than the limit, or trailers, which the service may look at.
            _ => return (None, BufferedBody::partial(read.freeze(), Ok(frame), body)),
        }
    }
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests;

//! A server of gRPC, as the layer sees it, and its clients.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use futures_util::stream;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use tower::util::BoxCloneService;
use tower::{Layer, service_fn};
use tower_memolock::middleware::{BufferedBody, Freshness, GrpcKey, GrpcMethod, MemoLockService};
use tower_memolock::{MemoLockLayer, MemoryStore};

use crate::layer::fixture::{Answer, Asked, Broken, Gate, Part, TestBody, answer, data, send, streamed};

pub(in crate::layer) const METHOD: &str = "/p.Service/Method";
pub(in crate::layer) const OTHER: &str = "/p.Service/Other";

pub(in crate::layer) type Inner = BoxCloneService<Request<BufferedBody<Full<Bytes>>>, Response<TestBody>, Broken>;
pub(super) type Node = MemoLockService<Inner, GrpcKey>;
type GrpcLayer = MemoLockLayer<GrpcKey>;

/// A request as it has reached the method.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub(super) path: String,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
}

/// A server that lets each call through its gate and remembers it.
#[derive(Clone)]
pub(in crate::layer) struct Server {
    pub(in crate::layer) gate: Gate,
    seen: Arc<Mutex<Vec<Seen>>>,
    reply: Arc<dyn Fn(usize) -> Response<TestBody> + Send + Sync>,
}

impl Server {
    /// `reply` gets the number of the call, from 1.
    pub(in crate::layer) fn new(reply: impl Fn(usize) -> Response<TestBody> + Send + Sync + 'static) -> Self {
        Self {
            gate: Gate::new(),
            seen: Arc::default(),
            reply: Arc::new(reply),
        }
    }

    /// The same, with its gate open.
    pub(super) fn open(reply: impl Fn(usize) -> Response<TestBody> + Send + Sync + 'static) -> Self {
        let server = Self::new(reply);
        server.gate.open();
        server
    }

    /// A server whose replies are the number of the call.
    pub(super) fn counting() -> Self {
        Self::new(|call| ok(&call.to_string()))
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().expect("no panic").clone()
    }

    pub(super) fn calls(&self) -> usize {
        self.seen().len()
    }

    /// Two nodes of one cluster in front of it, with a layer for [`METHOD`].
    pub(super) fn nodes(&self, set: impl Fn(GrpcLayer) -> GrpcLayer) -> [Node; 2] {
        let store = MemoryStore::new();
        [store.clone(), store].map(|store| {
            let layer = MemoLockLayer::grpc(store, "grpc").freshness(Freshness::new().ttl_jitter(0.0));
            set(layer.method(GrpcMethod::new(METHOD))).layer(self.service())
        })
    }

    pub(in crate::layer) fn service(&self) -> Inner {
        let server = self.clone();
        BoxCloneService::new(service_fn(move |request| server.clone().answer(request)))
    }

    async fn answer(self, request: Request<BufferedBody<Full<Bytes>>>) -> Result<Response<TestBody>, Broken> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        let call = {
            let mut seen = self.seen.lock().expect("no panic");
            seen.push(Seen {
                path: head.uri.path().to_owned(),
                headers: head.headers,
                body,
            });
            seen.len()
        };
        self.gate.pass().await;
        Ok((self.reply)(call))
    }
}

pub(super) fn message(content: &str) -> Vec<u8> {
    let length = u32::try_from(content.len()).expect("a short message").to_be_bytes();
    [&[0][..], &length, content.as_bytes()].concat()
}

pub(super) fn fields(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let line =
        |(name, value): &(&'static str, &'static str)| (HeaderName::from_static(name), HeaderValue::from_static(value));
    lines.iter().map(line).collect()
}

/// A reply of these messages with this status, which has initial and trailing metadata.
pub(super) fn reply(messages: &[&str], status: &'static str) -> Response<TestBody> {
    let trailers = fields(&[("grpc-status", status), ("grpc-message", "a%20b"), ("x-trailing", "t")]);
    let messages: Vec<Part> = messages.iter().map(|content| data(message(content))).collect();
    let parts = messages.into_iter().chain([Ok(Frame::trailers(trailers))]);
    let mut response = streamed(stream::iter(parts.collect::<Vec<_>>()));
    *response.headers_mut() = fields(&[("content-type", "application/grpc"), ("x-initial", "i")]);
    response
}

pub(in crate::layer) fn ok(content: &str) -> Response<TestBody> {
    reply(&[content], "0")
}

/// A reply that is over with its head.
pub(super) fn trailers_only(status: &'static str) -> Response<TestBody> {
    let mut response = crate::layer::fixture::text("");
    *response.headers_mut() = fields(&[("content-type", "application/grpc"), ("grpc-status", status)]);
    response
}

pub(in crate::layer) fn request(
    path: &str,
    content: &str,
    lines: &[(&'static str, &'static str)],
) -> Request<Full<Bytes>> {
    raw_request(path, message(content), lines)
}

pub(super) fn raw_request(
    path: &str,
    body: impl Into<Bytes>,
    lines: &[(&'static str, &'static str)],
) -> Request<Full<Bytes>> {
    let mut request = Request::post(path).body(Full::new(body.into())).expect("a request");
    *request.headers_mut() = fields(&[("content-type", "application/grpc"), ("te", "trailers")]);
    request.headers_mut().extend(fields(lines));
    request
}

/// Calls [`METHOD`] with this metadata.
pub(super) fn call(node: &Node, lines: &[(&'static str, &'static str)]) -> Asked {
    send(node, request(METHOD, "m", lines))
}

/// The content of the one message that came.
pub(super) fn content(answer: &Answer) -> String {
    let (prefix, content) = answer.body.split_at_checked(5).expect("a message");
    assert_eq!(prefix, &message(std::str::from_utf8(content).expect("UTF-8"))[..5]);
    String::from_utf8(content.to_vec()).expect("UTF-8")
}

/// The contents of the messages that came.
pub(super) async fn contents(asked: impl IntoIterator<Item = Asked>) -> Vec<String> {
    let mut contents = Vec::new();
    for asked in asked {
        contents.push(content(&answer(asked).await));
    }
    contents
}

/// The status of a call, wherever it stands.
pub(in crate::layer) fn status(answer: &Answer) -> &str {
    let in_trailers = answer
        .trailers
        .as_ref()
        .and_then(|trailers| trailers.get("grpc-status"));
    let status = in_trailers.or_else(|| answer.headers.get("grpc-status"));
    status.expect("a status").to_str().expect("ASCII")
}

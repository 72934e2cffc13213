//! [`Raw`]: calls as they are on the wire.

use std::net::SocketAddr;

use bytes::{BufMut, Bytes, BytesMut};
use futures_util::stream;
use http::{HeaderMap, HeaderName, Request, Response};
use http_body::{Body, Frame};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, JoinSet};
use tower::BoxError;

use super::fixture::AUTHORITY;
use super::proto::{Order, Product};
use crate::support::within;

type RequestBody = UnsyncBoxBody<Bytes, BoxError>;

/// An HTTP/2 connection. Closed on drop.
pub(super) struct Raw {
    requests: SendRequest<RequestBody>,
    _connection: JoinSet<()>,
}

/// A whole response, frame for frame.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Frames {
    pub(super) status: u16,
    pub(super) head: HeaderMap,
    /// Whether the head ends the stream, as that of a Trailers-Only response does.
    pub(super) trailers_only: bool,
    pub(super) body: Bytes,
    pub(super) trailers: Option<HeaderMap>,
}

impl Frames {
    /// The status of gRPC, wherever it is.
    pub(super) fn grpc_status(&self) -> &str {
        let trailers = self.trailers.as_ref().unwrap_or(&self.head);
        let status = trailers.get("grpc-status").expect("a status");
        status.to_str().expect("ASCII")
    }

    /// The message of a call that succeeded.
    pub(super) fn product(&self) -> Product {
        assert_eq!((self.status, self.grpc_status()), (200, "0"), "{self:?}");
        let (prefix, message) = self.body.split_at_checked(5).expect("a message");
        let length = u32::from_be_bytes(prefix[1..].try_into().expect("four bytes"));
        assert_eq!((prefix[0], length as usize), (0, message.len()));
        Product::decode(message).expect("a message that decodes")
    }

    /// Without the one field that the server adds to whatever it sends.
    pub(super) fn timeless(mut self) -> Self {
        self.head.remove("date");
        self
    }
}

impl Raw {
    pub(super) async fn connect(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
        let (requests, connection) = within("a handshake", handshake).await.expect("HTTP/2");
        let mut task = JoinSet::new();
        task.spawn(async move { drop(connection.await) });
        Self {
            requests,
            _connection: task,
        }
    }

    /// Calls a method with a body of these parts, each in a frame of its own, and reads the whole response.
    pub(super) fn call(
        &self,
        method: &str,
        fields: &[(&'static str, &str)],
        parts: impl IntoIterator<Item = Bytes>,
    ) -> JoinHandle<Frames> {
        let parts: Vec<_> = parts.into_iter().map(|part| Ok(Frame::data(part))).collect();
        let response = self.start(method, fields, StreamBody::new(stream::iter(parts)));
        tokio::spawn(async move {
            let response = response.await.expect("no panic").expect("a response");
            let trailers_only = response.body().is_end_stream();
            let (head, body) = response.into_parts();
            let body = within("a body", body.collect()).await.expect("a body");
            Frames {
                status: head.status.as_u16(),
                head: head.headers,
                trailers_only,
                trailers: body.trailers().cloned(),
                body: body.to_bytes(),
            }
        })
    }

    /// Calls a method with one message.
    pub(super) fn order(&self, method: &str, fields: &[(&'static str, &str)], order: &Order) -> JoinHandle<Frames> {
        self.call(method, fields, [message(order)])
    }

    /// The head of a response, whose body comes as it comes.
    pub(super) fn start<B>(
        &self,
        method: &str,
        fields: &[(&'static str, &str)],
        body: B,
    ) -> JoinHandle<hyper::Result<Response<hyper::body::Incoming>>>
    where
        B: Body<Data = Bytes, Error = BoxError> + Send + 'static,
    {
        let mut request = Request::post(format!("http://{AUTHORITY}{method}"))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(body.boxed_unsync())
            .expect("a request");
        for (name, value) in fields {
            let (name, value) = (HeaderName::from_static(name), value.parse().expect("a value"));
            request.headers_mut().append(name, value);
        }
        let mut requests = self.requests.clone();
        tokio::spawn(async move { within("a response", requests.send_request(request)).await })
    }
}

/// A message with its prefix: neither compressed nor in pieces.
pub(super) fn message(order: &Order) -> Bytes {
    prefixed(0, &order.encode_to_vec())
}

pub(super) fn prefixed(flags: u8, message: &[u8]) -> Bytes {
    let mut prefixed = BytesMut::new();
    prefixed.put_u8(flags);
    prefixed.put_u32(message.len().try_into().expect("a short message"));
    prefixed.put(message);
    prefixed.freeze()
}

/// What a call ended in.
pub(super) async fn frames(call: JoinHandle<Frames>) -> Frames {
    within("the end of a call", call).await.expect("no panic")
}

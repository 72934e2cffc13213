//! [`HttpClient`]: what a client of a node sees.

use std::fmt;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, Request, Response, Uri};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tower::BoxError;

use super::{causes, within};

/// A whole response.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    pub(crate) trailers: HeaderMap,
}

impl Answer {
    /// The body as text.
    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).expect("a body of UTF-8")
    }

    /// All values of one field, in their order.
    pub(crate) fn header(&self, name: &str) -> Vec<&str> {
        let values = self.headers.get_all(name).into_iter();
        values.map(|v| v.to_str().expect("a value of ASCII")).collect()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} with {} bytes", self.status, self.body.len())
    }
}

/// An HTTP client; clones share connections.
#[derive(Clone)]
pub(crate) struct HttpClient {
    client: Client<HttpConnector, UnsyncBoxBody<Bytes, BoxError>>,
}

impl HttpClient {
    pub(crate) fn http1() -> Self {
        Self::new(false)
    }

    /// HTTP/2 with prior knowledge.
    pub(crate) fn http2() -> Self {
        Self::new(true)
    }

    fn new(http2: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let mut builder = Client::builder(TokioExecutor::new());
        Self {
            client: builder.http2_only(http2).build(connector),
        }
    }

    /// The head of the response and its body as it comes.
    pub(crate) async fn start<B>(&self, request: Request<B>) -> Result<Response<Incoming>, BoxError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let request = request.map(|body| body.map_err(Into::into).boxed_unsync());
        let response = within("a response", self.client.request(request)).await;
        response.map_err(Into::into)
    }

    /// The whole response; an error where it is cut short.
    pub(crate) async fn send<B>(&self, request: Request<B>) -> Result<Answer, BoxError>
    where
        B: Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let (head, body) = self.start(request).await?.into_parts();
        let collected = within("a response's body", body.collect()).await?;
        let trailers = collected.trailers().cloned().unwrap_or_default();
        Ok(Answer {
            status: head.status.as_u16(),
            headers: head.headers,
            body: collected.to_bytes(),
            trailers,
        })
    }

    pub(crate) async fn get(&self, url: &str) -> Result<Answer, BoxError> {
        let url: Uri = url.parse().expect("a URL");
        let request = Request::get(url).body(Empty::new()).expect("a request");
        self.send(request).await
    }

    /// Asks for all of them at the same time. Answers come in the order of the URLs.
    pub(crate) async fn get_all<'a>(
        &self,
        urls: impl IntoIterator<Item = &'a String>,
    ) -> Vec<Result<Answer, BoxError>> {
        join_all(urls.into_iter().map(|url| self.get(url))).await
    }
}

/// Sends bytes to `authority` and returns all that comes back until the other side closes.
pub(crate) async fn exchange(authority: &str, request: &str) -> Vec<u8> {
    let mut stream = TcpStream::connect(authority).await.expect("a connection");
    stream.write_all(request.as_bytes()).await.expect("a request sent");
    let mut response = Vec::new();
    read_to_end(&mut stream, &mut response).await;
    response
}

/// Reads all that comes until the other side closes.
pub(crate) async fn read_to_end(stream: &mut TcpStream, response: &mut Vec<u8>) {
    let read = within("the end of a connection", stream.read_to_end(response)).await;
    // An aborted response may end in a reset; what came before it is what counts.
    if let Err(error) = read {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{}", causes(&error));
    }
}

/// Sends a GET over a connection of its own, and reads nothing. Dropping the connection hangs up.
pub(crate) async fn send_get(url: &str) -> TcpStream {
    let url: Uri = url.parse().expect("a URL");
    let authority = url.authority().expect("a host").as_str();
    let mut stream = TcpStream::connect(authority).await.expect("a connection");
    let request = format!("GET {} HTTP/1.1\r\nHost: {authority}\r\n\r\n", url.path());
    stream.write_all(request.as_bytes()).await.expect("a request sent");
    stream
}

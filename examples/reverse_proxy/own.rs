//! [`Asker`]: how this proxy answers by itself, so that the client understands it.

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;

/// What an answer to a request depends on besides what it says.
#[derive(Clone)]
pub(crate) struct Asker {
    is_head: bool,
    /// The content type of a call of gRPC.
    grpc: Option<HeaderValue>,
}

impl Asker {
    pub(crate) fn of<B>(request: &Request<B>) -> Self {
        let content_type = request.headers().get(CONTENT_TYPE);
        let is_grpc = |value: &&HeaderValue| {
            let start = value.as_bytes().get(..b"application/grpc".len());
            start.is_some_and(|start| start.eq_ignore_ascii_case(b"application/grpc"))
        };
        Self {
            is_head: request.method() == Method::HEAD,
            grpc: content_type.filter(is_grpc).cloned(),
        }
    }

    /// A response with one line of text. A call of gRPC gets it in a head that is the whole response, because its client
    /// reads no other; a `HEAD`, nothing but the head.
    pub(crate) fn tell(&self, status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
        if let Some(content_type) = &self.grpc {
            return trailers_only(content_type.clone(), status, text);
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        headers.insert(CONTENT_LENGTH, (text.len() + 1).into());
        match self.is_head {
            true => response,
            false => response.map(|_| Full::from(format!("{text}\n"))),
        }
    }
}

fn trailers_only(content_type: HeaderValue, status: StatusCode, text: &'static str) -> Response<Full<Bytes>> {
    let code = match status {
        StatusCode::BAD_REQUEST => "13",
        StatusCode::NOT_IMPLEMENTED => "12",
        _ => "14",
    };
    let mut response = Response::new(Full::default());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, content_type);
    headers.insert(HeaderName::from_static("grpc-status"), HeaderValue::from_static(code));
    headers.insert(HeaderName::from_static("grpc-message"), HeaderValue::from_static(text));
    response
}

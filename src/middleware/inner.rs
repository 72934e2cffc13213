//! [`InnerCall`]: a request on its way to the inner service, whatever the types of both.
//!
//! Leading, following and judging are the same for every service. Behind this they are compiled once, with this crate,
//! and not in each program for its own types.

use std::any::Any;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body::{Body, Frame, SizeHint};
use pin_project_lite::pin_project;
use tower_service::Service;

use super::frames::into_bytes;
use crate::error::BoxError;
use crate::task::BoxFuture;

/// An error of the inner service. The layer's own future knows its type.
pub(crate) type InnerError = Box<dyn Any + Send>;

/// The inner service's answer.
pub(crate) type InnerAnswer = Result<Response<InnerBody>, InnerError>;

/// A service that a task can call.
pub(crate) trait InnerService<B, ResBody>:
    Service<Request<B>, Response = Response<ResBody>, Future: Send + 'static, Error: Send + 'static> + Send + 'static
{
}

impl<S, B, ResBody> InnerService<B, ResBody> for S where
    S: Service<Request<B>, Response = Response<ResBody>, Future: Send + 'static, Error: Send + 'static>
        + Send
        + 'static
{
}

/// A body that a task can read.
pub(crate) trait ResponseBody: Body<Data: Send, Error: Into<BoxError>> + Send + 'static {}

impl<B> ResponseBody for B where B: Body<Data: Send, Error: Into<BoxError>> + Send + 'static {}

/// A request with the service that is to answer it.
pub(crate) struct InnerCall {
    pub(crate) head: Parts,
    send: Box<dyn FnOnce(Parts) -> BoxFuture<'static, InnerAnswer> + Send>,
}

impl InnerCall {
    pub(crate) fn new<S, B, ResBody>(mut service: S, request: Request<B>) -> Self
    where
        S: InnerService<B, ResBody>,
        B: Send + 'static,
        ResBody: ResponseBody,
    {
        let (head, body) = request.into_parts();
        let send = |head| -> BoxFuture<'static, InnerAnswer> {
            Box::pin(async move {
                let answer = match poll_fn(|cx| service.poll_ready(cx)).await {
                    Ok(()) => service.call(Request::from_parts(head, body)).await,
                    Err(error) => Err(error),
                };
                match answer {
                    Ok(response) => Ok(response.map(InnerBody::new)),
                    Err(error) => Err(Box::new(error) as InnerError),
                }
            })
        };
        Self {
            head,
            send: Box::new(send),
        }
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.head.headers
    }

    /// Calls the service once it is ready. The service is gone when this is.
    pub(crate) fn send(self) -> BoxFuture<'static, InnerAnswer> {
        (self.send)(self.head)
    }
}

/// A body of the inner service.
// The lock makes it `Sync`, and no other thread ever waits for it.
pub(crate) struct InnerBody(Mutex<Pin<Box<dyn Body<Data = Bytes, Error = BoxError> + Send>>>);

impl InnerBody {
    fn new<B>(body: B) -> Self
    where
        B: Body<Error: Into<BoxError>> + Send + 'static,
    {
        Self(Mutex::new(Box::pin(InBytes { body })))
    }

    pub(crate) fn poll_frame(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let body = self.0.get_mut().unwrap_or_else(PoisonError::into_inner);
        body.as_mut().poll_frame(cx)
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

pin_project! {
    struct InBytes<B> {
        #[pin]
        body: B,
    }
}

impl<B: Body<Error: Into<BoxError>>> Body for InBytes<B> {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        poll_frame(self.project().body, cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The next frame, in bytes.
pub(crate) fn poll_frame<B>(body: Pin<&mut B>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    B: Body<Error: Into<BoxError>>,
{
    body.poll_frame(cx)
        .map(|frame| frame.map(|frame| frame.map(into_bytes).map_err(Into::into)))
}

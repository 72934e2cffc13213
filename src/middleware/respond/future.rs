//! [`ResponseFuture`]: ready, on its way to the inner service, or on its way through the core.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower_service::Service;

use super::body::{MemoBody, ReplyBody};
use super::replay::HitReply;
use super::tally::{Answer, Teller};
use crate::middleware::MemoControl;
use crate::middleware::inner::{InnerCall, InnerError};
use crate::middleware::policy::cache_status::decision::Decision;
use crate::middleware::shadow::Observer;
use crate::task::BoxFuture;

/// Where a request has got to.
///
/// The memory of a step is freed before the next one. So each of a hundred thousand waiting requests keeps only what it
/// needs to wait, and not what it needed to ask Redis, or would need to lead.
pub(crate) enum Step<T> {
    Done(T),
    Then(BoxFuture<'static, Self>),
}

impl<T> Step<T> {
    pub(crate) fn then(next: impl Future<Output = Self> + Send + 'static) -> Self {
        Self::Then(Box::pin(next))
    }

    /// All steps that are left.
    pub(crate) async fn finish(mut self) -> T {
        loop {
            match self {
                Self::Done(answer) => return answer,
                Self::Then(next) => self = next.await,
            }
        }
    }
}

pin_project! {
    /// The response of a [`MemoLockService`](crate::middleware::service::MemoLockService).
    pub struct ResponseFuture<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        #[pin]
        kind: FutureKind<S, ReqBody>,
    }
}

pin_project! {
    #[project = KindProj]
    enum FutureKind<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        Hit { hit: Option<HitReply> },
        // Boxed like the next, because otherwise hits and waiters would keep room for it.
        Ready { response: Option<Box<Response<ReplyBody>>> },
        Direct { direct: Pin<Box<Direct<S, ReqBody>>> },
        Core { future: BoxFuture<'static, Step<Answer>>, teller: Teller },
    }
}

impl<S, ReqBody> ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    /// A hit in this process.
    pub(crate) fn hit(hit: HitReply) -> Self {
        let kind = FutureKind::Hit { hit: Some(hit) };
        Self { kind }
    }

    /// A response that is there.
    pub(crate) fn ready(response: Response<ReplyBody>) -> Self {
        let kind = FutureKind::Ready {
            response: Some(Box::new(response)),
        };
        Self { kind }
    }

    /// Sends the request to the inner service, whose response says this.
    pub(crate) fn direct(service: S, request: Request<ReqBody>, says: Option<Decision>) -> Self {
        let kind = FutureKind::Direct {
            direct: Box::pin(Direct::new(service, request, says)),
        };
        Self { kind }
    }

    /// Sends the request to the inner service, as if the layer were not there.
    pub(crate) fn untouched(service: S, request: Request<ReqBody>) -> Self {
        let kind = FutureKind::Direct {
            direct: Box::pin(Direct::new(service, request, None).untouched()),
        };
        Self { kind }
    }

    /// The same as [`untouched`](Self::untouched), and `observer` sees the response go by.
    #[cfg(feature = "admin")]
    pub(crate) fn observed(service: S, request: Request<ReqBody>, observer: Observer) -> Self {
        let mut direct = Direct::new(service, request, None).untouched();
        direct.observer = Some(Box::new(observer));
        let kind = FutureKind::Direct {
            direct: Box::pin(direct),
        };
        Self { kind }
    }

    /// How many bytes this takes, and how many the object that it points to.
    #[cfg(test)]
    pub(crate) fn sizes(&self) -> (usize, usize) {
        let steps = match &self.kind {
            FutureKind::Core { future, .. } => size_of_val(&**future),
            FutureKind::Hit { .. } | FutureKind::Ready { .. } | FutureKind::Direct { .. } => 0,
        };
        (size_of_val(self), steps)
    }

    /// `teller` says what comes of it.
    pub(crate) fn core(future: BoxFuture<'static, Step<Answer>>, teller: Teller) -> Self {
        let kind = FutureKind::Core { future, teller };
        Self { kind }
    }
}

impl<S, ReqBody, ResBody> Future for ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>, Error: 'static>,
    ResBody: Body,
{
    type Output = Result<Response<MemoBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let answer = match self.project().kind.project() {
            // A future that is polled again after it was ready must do no harm.
            KindProj::Hit { hit } => {
                let Some(hit) = hit.take() else { return Poll::Pending };
                return Poll::Ready(Ok(hit.send(MemoBody::reply)));
            }
            KindProj::Ready { response } => response
                .take()
                .map_or(Poll::Pending, |response| Poll::Ready(Ok(*response))),
            KindProj::Direct { direct } => return direct.as_mut().poll(cx),
            KindProj::Core { future, teller } => poll_steps(future, teller, cx),
        };
        Poll::Ready(match ready!(answer) {
            Ok(response) => Ok(response.map(MemoBody::reply)),
            Err(error) => match error.downcast() {
                Ok(error) => Err(*error),
                // Only the inner service makes errors.
                Err(other) => std::panic::resume_unwind(other),
            },
        })
    }
}

fn poll_steps(
    future: &mut BoxFuture<'static, Step<Answer>>,
    teller: &mut Teller,
    cx: &mut Context<'_>,
) -> Poll<Result<Response<ReplyBody>, InnerError>> {
    loop {
        match ready!(teller.in_lookup(|| future.as_mut().poll(cx))) {
            Step::Done(answer) => return Poll::Ready(teller.tell(answer)),
            Step::Then(next) => *future = next,
        }
    }
}

impl<S, ReqBody> fmt::Debug for ResponseFuture<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.kind {
            FutureKind::Hit { .. } | FutureKind::Ready { .. } => "ResponseFuture(ready)",
            FutureKind::Direct { .. } => "ResponseFuture(direct)",
            FutureKind::Core { .. } => "ResponseFuture(core)",
        })
    }
}

pin_project! {
    /// Waits until the service is ready, then calls it, and says what it is told in the response.
    pub(crate) struct Direct<S, ReqBody>
    where
        S: Service<Request<ReqBody>>,
    {
        service: S,
        request: Option<Request<ReqBody>>,
        says: Option<Decision>,
        untouched: bool,
        observer: Option<Box<Observer>>,
        #[pin]
        response: Option<S::Future>,
    }
}

impl<S, ReqBody> Direct<S, ReqBody>
where
    S: Service<Request<ReqBody>>,
{
    pub(crate) fn new(service: S, request: Request<ReqBody>, says: Option<Decision>) -> Self {
        Self {
            service,
            request: Some(request),
            says,
            untouched: false,
            observer: None,
            response: None,
        }
    }

    /// What the response has to say is for another layer.
    pub(crate) fn untouched(mut self) -> Self {
        self.untouched = true;
        self
    }
}

impl<S, ReqBody, ResBody> Future for Direct<S, ReqBody>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    ResBody: Body,
{
    type Output = Result<Response<MemoBody<ResBody>>, S::Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        loop {
            if let Some(response) = this.response.as_mut().as_pin_mut() {
                let mut response = ready!(response.poll(cx))?;
                if !*this.untouched {
                    response.extensions_mut().remove::<MemoControl>();
                }
                if let Some(decision) = this.says.take() {
                    decision.tell(response.headers_mut());
                }
                let mut observer = this.observer.take();
                if let Some(observer) = &mut observer {
                    observer.head(&response);
                }
                return Poll::Ready(Ok(response.map(|body| MemoBody::inner(body, observer))));
            }
            ready!(this.service.poll_ready(cx))?;
            let Some(request) = this.request.take() else {
                return Poll::Pending;
            };
            let response = this.service.call(request);
            this.response.set(Some(response));
        }
    }
}

/// The response of the inner service to a request that none of this is about, but for what it says.
pub(crate) async fn direct(call: InnerCall, decision: Decision) -> Answer {
    let result = call.send().await.map(|mut response| {
        response.extensions_mut().remove::<MemoControl>();
        response.map(ReplyBody::inner)
    });
    Answer { result, decision }
}

//! Requests whose key is not known before their body is read.

use std::sync::Arc;

use http::Request;

use crate::key::Address;
use crate::middleware::bounds::{InnerService, ResponseBody};
use crate::middleware::cache::Cache;
use crate::middleware::grpc::{self, until};
use crate::middleware::key_extractor::KeyExtractor;
use crate::middleware::lead::on_path;
use crate::middleware::policy::cache_status::{Forward, Forwarded};
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::respond::future::{Answer, Direct, Step};
use crate::middleware::respond::told_key::ToldKey;
use crate::middleware::respond::trailers_only::deadline_exceeded;

#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
impl<K: Send + Sync + 'static> Cache<K> {
    /// Reads the body for the key; then hit, follow or lead.
    pub(crate) fn answer_with_body<S, ReqBody, ResBody>(
        self: Arc<Self>,
        service: S,
        request: Request<ReqBody>,
        told: Option<ToldKey>,
    ) -> impl Future<Output = Step<Answer<ResBody, S::Error>>> + Send
    where
        K: KeyExtractor<ReqBody>,
        S: InnerService<K::Body, ResBody>,
        ReqBody: Send + 'static,
        K::Body: Send + 'static,
        ResBody: ResponseBody,
    {
        async move {
            let deadline = self.methods.as_ref().and_then(|_| grpc::deadline(request.headers()));
            let reading = self.key.body_key(request);
            let read = match deadline {
                Some(deadline) => until(deadline, reading).await,
                None => Some(reading.await),
            };
            let Some((key, mut request)) = read else {
                return Step::Done(Ok(deadline_exceeded()));
            };
            let key = key.map(|key| self.whole_key(key, request.headers()));
            let Some(key) = key else {
                return self.then_direct(service, request, Forwarded::because(Forward::Bypass));
            };
            told.inspect(|told| told.set(&key));
            let address = Address::of(&self.memo.shared.tag, key);
            if on_path::has_been_at(request.extensions(), &self.memo.shared.store, &address) {
                self.memo.shared.asks_for_itself(&address);
                return Step::then(async move { Step::Done(Direct::new(service, request, None).untouched().await) });
            }
            self.ask(&address);
            on_path::mark(&mut request, &self.memo.shared.store, &address);
            // The body is read: the key covers it.
            let can_lead = true;
            let looking = self.answer(service, request, address, RequestConstraints::default(), can_lead);
            // What is found at once is an answer whatever the deadline.
            let looked = match deadline {
                Some(deadline) => until(deadline, looking).await,
                None => Some(looking.await),
            };
            let Some(step) = looked else {
                return Step::Done(Ok(deadline_exceeded()));
            };
            match (step, deadline) {
                (Step::Then(waiting), Some(deadline)) => Step::then(async move {
                    let answer = until(deadline, Step::Then(waiting).finish()).await;
                    Step::Done(answer.unwrap_or_else(|| Ok(deadline_exceeded())))
                }),
                (step, _) => step,
            }
        }
    }
}

//! One caller: a request through the layer.

use std::error::Error;
use std::time::Instant;

use bytes::Bytes;
use http::header::{AUTHORIZATION, SET_COOKIE};
use http::{HeaderName, Request, Response, Uri};
use http_body::Body;
use http_body_util::BodyExt;
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_memolock::middleware::{CacheStatus, Privacy};
use tower_memolock::{AnyStore, MemoLockLayer};

use crate::TAG;
use crate::api::TOKEN;
use crate::clients;
use crate::options::{Client, Options};

const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");

/// Calls the API, and says what came of it.
pub(crate) async fn call(store: AnyStore, options: &Options, url: &Uri) -> Result<String, BoxError> {
    // This is all it takes. The token is this program's own, so requests that carry it share.
    let layer = MemoLockLayer::client(store, TAG)
        .privacy(Privacy::new().own_credentials([AUTHORIZATION]))
        .cache_status(CacheStatus::Outcome);
    let handle = layer.handle();
    let around = ServiceBuilder::new().layer(layer);
    let outcome = match options.client {
        Client::Hyper => send(around.service(clients::hyper()), url).await,
        Client::Reqwest => send(around.service(clients::reqwest()), url).await,
    };
    // A program that ends before the response is stored leaves its waiters to the end of the lease.
    handle.drained().await;
    outcome
}

async fn send<S, ReqBody, ResBody>(client: S, url: &Uri) -> Result<String, BoxError>
where
    S: Service<Request<ReqBody>, Response = Response<ResBody>>,
    S::Error: Error + Send + Sync + 'static,
    ReqBody: Default,
    ResBody: Body<Data = Bytes>,
    ResBody::Error: Into<BoxError>,
{
    let request = Request::get(url)
        .header(AUTHORIZATION, TOKEN)
        .body(ReqBody::default())?;
    let started = Instant::now();
    let response = client.oneshot(request).await?;
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(Into::into)?.to_bytes();
    if !head.status.is_success() {
        return Err(format!("{url} answered {}", head.status).into());
    }
    let said = head.headers.get(CACHE_STATUS).and_then(|said| said.to_str().ok());
    let cookie = match head.headers.contains_key(SET_COOKIE) {
        true => "  (with the cookie of the API)",
        false => "",
    };
    Ok(format!(
        "{}  after {} ms  {}{cookie}",
        String::from_utf8_lossy(&body),
        started.elapsed().as_millis(),
        said.unwrap_or_default(),
    ))
}

//! [`Admin`]: the service.

use std::convert::Infallible;
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::request::Parts;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::Full;
use tower_service::Service;

use super::guard::{host, is_cross_site};
use super::metrics;
use super::page;
use super::query::What;
use super::reply::{not_allowed, reply, sentence};
use super::source::{LayerSource, Rewrite, Scope, Source};
use super::state::{AdminState, distinct};
use crate::key::Key;
use crate::memo::InvalidateError;
use crate::middleware::{KeyExtractor, MemoLockLayer};
use crate::store::Purge;
use crate::task::{BoxFuture, spawn_of};

/// Shows operators what goes on beneath the layers of a program, and takes their invalidations. It is a tower service
/// for requests with bodies of type `B`, as the layers take them; a clone is another handle on the same.
///
/// | request | answer |
/// |---|---|
/// | `GET /` | a page: figures of each tag, what is in flight, the hottest keys, what failed last |
/// | `GET /state.json` | the same as JSON |
/// | `GET /metrics` | all figures as OpenMetrics text: counters, gauges and histograms of the layers and their Redis |
/// | `POST /invalidate?url=URL` | the response to a GET for this URL is out of date |
/// | `POST /invalidate?tag=NAME` | all responses with this tag of a value are, as with [`invalidate_tags`](crate::middleware::Handle::invalidate_tags) |
/// | `POST /invalidate?all=1` | all responses are, of layers that are [`stamped`](crate::middleware::Freshness::stamped) |
/// | `&soft=1` behind each of them | the same, [softly](crate::Invalidation::soft) |
///
/// ```
/// use axum::{Router, routing::get};
/// use tower_memolock::{Admin, MemoLockLayer, MemoryStore};
///
/// let store = MemoryStore::new();
/// let reports = MemoLockLayer::new(store.clone(), "report");
/// let pages = MemoLockLayer::new(store, "page");
/// let admin = Admin::new().layer(&reports).layer(&pages);
/// let app: Router = Router::new()
///     .route("/report/{id}", get(|| async { "report" }).layer(reports))
///     .route("/page/{id}", get(|| async { "page" }).layer(pages))
///     .nest_service("/memolock", admin);
/// # let _ = app;
/// ```
///
/// # Which clients may come here
///
/// **Every client that reaches it.** Put it on an address, or behind an authentication, for operators alone: it shows
/// keys, which are URLs for the most part. It shows no body and no credential: keys hold only a digest of fields that
/// are credentials. An invalidation that a browser sends for a page of another site is refused (`Sec-Fetch-Site`,
/// `Origin`), and no other site's script can read an answer.
///
/// # Invalidations
///
/// The answer to a `POST` is 200 once the invalidation holds on every node, as that of the layer's method does: see
/// [`MemoLock::invalidate`](crate::MemoLock::invalidate). It is 503 with the reason where a store could not be told (the
/// invalidation may be [pending](InvalidateError::Pending)), 501 where a layer cannot do it, and 400 with a sentence where
/// the request makes no sense. It goes on if the client leaves.
///
/// A URL is given as a client of the program uses it, encoded for a query:
/// `?url=http%3A%2F%2Fexample.com%2Freport%2F42`. A URL that begins with `/` is for the host to which the request
/// itself goes. The service takes the fields that keys cover from the request, so `curl -H 'x-tenant: anna'`
/// invalidates the response for that tenant.
///
/// # What it costs
///
/// Once a layer is [given](Self::layer), each request counts for its key, in some 60 places for each tag: the first
/// thousands one by one, then one in 16. The service keeps the last 32 kinds of failure.
pub struct Admin<B> {
    sources: Arc<[Arc<dyn Source<B>>]>,
}

impl<B: 'static> Admin<B> {
    /// A service that knows no layer yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            sources: Arc::default(),
        }
    }

    /// Shows this layer, its clones and their services, too.
    #[must_use]
    pub fn layer<K: KeyExtractor<B>>(self, layer: &MemoLockLayer<K>) -> Self {
        self.with(layer, None)
    }

    /// The same for a layer behind a service that changes the target or the fields of requests: a gateway, say.
    /// `rewrite` makes the same change to the head of a request for a URL that is to be invalidated.
    #[must_use]
    pub fn layer_behind<K: KeyExtractor<B>>(
        self,
        layer: &MemoLockLayer<K>,
        rewrite: impl Fn(Request<()>) -> Request<()> + Send + Sync + 'static,
    ) -> Self {
        self.with(layer, Some(Arc::new(rewrite)))
    }

    fn with<K: KeyExtractor<B>>(self, layer: &MemoLockLayer<K>, rewrite: Option<Rewrite>) -> Self {
        layer.cache.memo.shared.insight.begin();
        let source: Arc<dyn Source<B>> = Arc::new(LayerSource {
            handle: layer.handle(),
            rewrite,
        });
        Self {
            sources: self.sources.iter().cloned().chain([source]).collect(),
        }
    }

    fn answer(&self, head: &Parts, body: B) -> AdminFuture {
        let reads = matches!(head.method, Method::GET | Method::HEAD);
        let read = |answer: &dyn Fn() -> Response<Full<Bytes>>| match reads {
            true => AdminFuture::ready(answer()),
            false => AdminFuture::ready(not_allowed("GET, HEAD")),
        };
        match head.uri.path() {
            "" | "/" => read(&|| {
                let page = page::page(&AdminState::of(&self.sources), head);
                reply(StatusCode::OK, page::CONTENT_TYPE, page)
            }),
            "/state.json" => read(&|| reply(StatusCode::OK, "application/json", AdminState::of(&self.sources).json())),
            "/metrics" => read(&|| reply(StatusCode::OK, metrics::CONTENT_TYPE, metrics::text(&self.sources))),
            "/invalidate" if head.method != Method::POST => AdminFuture::ready(not_allowed("POST")),
            "/invalidate" if is_cross_site(head) => {
                let refused = "An invalidation is not taken from a page of another site.";
                AdminFuture::ready(sentence(StatusCode::FORBIDDEN, refused))
            }
            "/invalidate" => match self.scopes(head, body) {
                Ok((scopes, purge)) => AdminFuture(Box::pin(self.invalidate(scopes, purge))),
                Err(said) => AdminFuture::ready(sentence(StatusCode::BAD_REQUEST, &said)),
            },
            _ => AdminFuture::ready(sentence(StatusCode::NOT_FOUND, "There is nothing here.")),
        }
    }

    /// What each layer has to do.
    fn scopes(&self, head: &Parts, body: B) -> Result<(Vec<(usize, Scope)>, Purge), String> {
        let (what, purge) = What::parse(head.uri.query().unwrap_or_default())?;
        let url = match what {
            What::Url(url) => url,
            What::Tag(tag) => return Ok((self.all_layers(&Scope::Tag(tag)), purge)),
            What::All => return Ok((self.all_layers(&Scope::All), purge)),
        };
        let forms = forms(&url, head).ok_or("Nothing says which host the URL is for.")?;
        let mut body = Some(body);
        let mut scopes = Vec::new();
        for (index, source) in self.sources.iter().enumerate() {
            let mut keys: Vec<Key> = Vec::new();
            for form in &forms {
                let Some(taken) = body.take() else { break };
                let (key, given_back) = source.key(form.clone().map(|()| taken));
                body = Some(given_back);
                keys.extend(key.filter(|key| !keys.contains(key)));
            }
            if !keys.is_empty() {
                scopes.push((index, Scope::Keys(keys)));
            }
        }
        match scopes.is_empty() {
            true => Err("No layer here has a key for a GET of this URL.".to_owned()),
            false => Ok((scopes, purge)),
        }
    }

    fn all_layers(&self, scope: &Scope) -> Vec<(usize, Scope)> {
        let first = distinct(&self.sources).filter_map(|source| {
            let is_it = |other: &Arc<dyn Source<B>>| Arc::ptr_eq(source, other);
            self.sources.iter().position(is_it)
        });
        first.map(|index| (index, scope.clone())).collect()
    }

    fn invalidate(&self, scopes: Vec<(usize, Scope)>, purge: Purge) -> BoxFuture<'static, Response<Full<Bytes>>> {
        let sources = scopes.into_iter().filter_map(|(index, scope)| {
            let source = self.sources.get(index)?;
            Some((source.tag().to_owned(), source.invalidate(scope, purge)))
        });
        let invalidations: Vec<_> = sources.collect();
        // In a task of its own, so that an invalidation is not left half done.
        let task = spawn_of(async move {
            let (mut done, mut failed) = (Vec::new(), Vec::new());
            for (tag, invalidation) in invalidations {
                match invalidation.await {
                    Ok(()) => done.push(tag),
                    Err(error) => failed.push(error),
                }
            }
            told(&done, &failed)
        });
        Box::pin(async move {
            let broken = |_| sentence(StatusCode::INTERNAL_SERVER_ERROR, "The invalidation was broken off.");
            task.await.unwrap_or_else(broken)
        })
    }
}

/// What became of an invalidation.
fn told(done: &[String], failed: &[InvalidateError]) -> Response<Full<Bytes>> {
    if failed.is_empty() {
        let tags = done.join(", ");
        return sentence(StatusCode::OK, &format!("Invalidated on every node: {tags}."));
    }
    let reasons: Vec<_> = failed.iter().map(chain).collect();
    let is_request =
        |error: &InvalidateError| matches!(error, InvalidateError::Tags { .. } | InvalidateError::Key { .. });
    let is_unable = |error: &InvalidateError| matches!(error, InvalidateError::NotStamped { .. });
    let status = if failed.iter().all(is_request) {
        StatusCode::BAD_REQUEST
    } else if failed.iter().all(is_unable) {
        StatusCode::NOT_IMPLEMENTED
    } else {
        StatusCode::SERVICE_UNAVAILABLE
    };
    sentence(status, &reasons.join("\n"))
}

/// An error and its causes.
fn chain(error: &InvalidateError) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    let causes: Vec<_> = causes.map(ToString::to_string).collect();
    causes.join(": ")
}

/// The requests that mean a GET for a URL: HTTP/1 leaves the scheme out, and HTTP/2 does not.
fn forms(url: &Uri, head: &Parts) -> Option<Vec<Request<()>>> {
    let own = || host(head).map(ToOwned::to_owned);
    let authority = url.authority().map(ToString::to_string).or_else(own)?;
    let path = url.path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    let schemes = match url.scheme() {
        Some(scheme) => vec![scheme.clone()],
        None => vec![Scheme::HTTP, Scheme::HTTPS],
    };
    let mut headers = head.headers.clone();
    headers.insert(HOST, HeaderValue::from_str(&authority).ok()?);
    let absolute = schemes.into_iter().filter_map(|scheme| {
        let uri = Uri::builder().scheme(scheme).authority(&*authority);
        uri.path_and_query(path.clone()).build().ok()
    });
    let uris = [Uri::from(path.clone())].into_iter().chain(absolute);
    let requests = uris.map(|uri| {
        let mut request = Request::new(());
        *request.uri_mut() = uri;
        *request.headers_mut() = headers.clone();
        request
    });
    Some(requests.collect())
}

/// The response of an [`Admin`].
pub struct AdminFuture(BoxFuture<'static, Response<Full<Bytes>>>);

impl AdminFuture {
    fn ready(response: Response<Full<Bytes>>) -> Self {
        Self(Box::pin(std::future::ready(response)))
    }
}

impl Future for AdminFuture {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        self.0.as_mut().poll(cx).map(Ok)
    }
}

impl<B: 'static> Service<Request<B>> for Admin<B> {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = AdminFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> AdminFuture {
        let (head, body) = request.into_parts();
        let answer = self.answer(&head, body);
        if head.method != Method::HEAD {
            return answer;
        }
        AdminFuture(Box::pin(async move {
            let response = answer.0.await;
            debug_assert!(response.headers().contains_key(CONTENT_LENGTH));
            response.map(|_| Full::default())
        }))
    }
}

impl<B: 'static> Default for Admin<B> {
    fn default() -> Self {
        Self::new()
    }
}

impl<B> Clone for Admin<B> {
    fn clone(&self) -> Self {
        Self {
            sources: Arc::clone(&self.sources),
        }
    }
}

impl<B> fmt::Debug for Admin<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tags = self.sources.iter().map(|source| source.tag());
        f.debug_list().entries(tags).finish()
    }
}

impl fmt::Debug for AdminFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminFuture")
    }
}

//! Constructors: the layer around a server, around a client, and for gRPC.

use std::sync::Arc;

use http::Method;

use super::MemoLockLayer;
use crate::key::{KeyError, Tag};
use crate::memo::MemoLock;
use crate::middleware::cache::Cache;
use crate::middleware::key_extractor::{GrpcKey, UriKey};
use crate::middleware::policy::cookies::SetCookie;
use crate::middleware::policy::error_mapper::ErrorMapper;
use crate::middleware::policy::request::RequestRules;
use crate::middleware::policy::response_rules::ResponseRules;
use crate::middleware::respond::tally::Tally;
use crate::middleware::stored_response::Form;
use crate::store::{AnyStore, Store};

/// # Constructing
impl MemoLockLayer {
    /// A layer over `store` with the default settings.
    ///
    /// # Panics
    ///
    /// If `tag` cannot be a [`Tag`]. Make the [`Tag`] yourself of a text that comes from outside the program.
    pub fn new<T>(store: impl Store, tag: T) -> Self
    where
        T: TryInto<Tag>,
        T::Error: Into<KeyError>,
    {
        Self::over(store.into_any(), Tag::from_literal(tag))
    }

    fn over(store: AnyStore, tag: Tag) -> Self {
        let cache = Cache {
            tally: Arc::new(Tally::new(&tag)),
            memo: MemoLock::over(store, Form::binary(), tag).tagged(),
            requests: RequestRules::default(),
            responses: ResponseRules::default(),
            cache_status: false,
            cache_status_key: false,
            vary: Arc::default(),
            credential_history: Arc::default(),
            hit_for_pass: Arc::default(),
            incoming: Arc::default(),
            pauses: Arc::default(),
            misuse: Arc::default(),
            demand: None,
            methods: None,
            #[cfg(feature = "admin")]
            shadow: None,
            #[cfg(feature = "admin")]
            verify: None,
        };
        Self {
            key: UriKey::default(),
            cache,
        }
    }

    /// A layer around a client: any number of identical requests that this program sends, from any number of machines,
    /// cost one call of the API. Takes every `Service<Request<_>>`: hyper-util's client, reqwest by way of a closure, a
    /// stack of tower layers. [`docs::guide::outbound`](crate::docs::guide::outbound) shows each.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use bytes::Bytes;
    /// use http_body_util::Empty;
    /// use hyper_util::{client::legacy::Client, rt::TokioExecutor};
    /// use tower::ServiceBuilder;
    /// use tower_memolock::middleware::Privacy;
    /// use tower_memolock::{MemoLockLayer, MemoryStore};
    ///
    /// let layer = MemoLockLayer::client(MemoryStore::new(), "rates")
    ///     .privacy(Privacy::new().own_credentials(["authorization"]))
    ///     .ttl(Duration::from_secs(30));
    /// let client = ServiceBuilder::new()
    ///     .layer(layer)
    ///     .service(Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>());
    /// # let _ = client;
    /// ```
    ///
    /// It is the layer that [`new`](Self::new) makes, but for two defaults:
    ///
    /// * [`Privacy::set_cookie`](crate::middleware::Privacy::set_cookie) is [`SetCookie::Strip`]: the cookies that the
    ///   API sets are neither stored nor given to followers. Only the response that comes straight from the API still
    ///   has them.
    /// * Errors of the client are [shared](crate::middleware::Failures::share_errors): where the call fails, one
    ///   follower tries next. If that call fails as well, all other followers get an empty response with the status 502
    ///   in place of an error. None of this is stored.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub fn client<T>(store: impl Store, tag: T) -> Self
    where
        T: TryInto<Tag>,
        T::Error: Into<KeyError>,
    {
        let mut layer = Self::new(store, tag);
        layer.cache.responses.set_cookie = SetCookie::Strip;
        layer.cache.responses.share_errors = Some(ErrorMapper::bad_gateway());
        layer
    }

    /// A layer over `store` that collapses calls of the gRPC methods it is told, and passes everything else on
    /// untouched: other methods, streams of every kind, gRPC-Web, and all that is not gRPC. Works on tonic's
    /// `Server::builder().layer(..)`, and on an axum router that serves both; layers for its routes can share the
    /// store.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tonic::transport::Server;
    /// use tower_memolock::middleware::GrpcMethod;
    /// use tower_memolock::{MemoLockLayer, MemoryStore};
    ///
    /// let layer = MemoLockLayer::grpc(MemoryStore::new(), "greeter")
    ///     .method(GrpcMethod::new("/helloworld.Greeter/SayHello").ttl(Duration::from_secs(30)))
    ///     .method(GrpcMethod::new("/helloworld.Greeter/FindHello").status_ttl(5, Duration::from_secs(1)))
    ///     .key_headers(["x-tenant", "authorization"])
    ///     .wait_timeout(Duration::from_secs(10));
    /// let server = Server::builder().layer(layer);
    /// # let _ = server;
    /// ```
    ///
    /// # What makes two calls identical
    ///
    /// Two calls are identical if they have the same authority, method, message, encoding of the message, accepted
    /// encodings of the reply, and metadata that [`key_headers`](Self::key_headers) names. What a handler learns from
    /// elsewhere, such as the address or the certificate of the client, is not part of the key. A call with credentials
    /// that are not part of the key goes to the inner service by itself. [`GrpcKey`] says more.
    ///
    /// # What is shared and stored
    ///
    /// A reply that is one whole message with its status. With the status OK it is stored for as long as
    /// `cache-control` in its initial metadata says, or for the [`ttl`](Self::ttl) of the method or the layer. Without
    /// either, or with another status, only the followers of that moment get it.
    /// [`GrpcMethod::status_ttl`](crate::middleware::GrpcMethod::status_ttl) has failures stored as well. A replay
    /// cannot be told from the original: metadata, message, trailers and their order are the same, and there is no
    /// `age`.
    ///
    /// A method that tags its replies, with a [`MemoControl`](crate::middleware::MemoControl) among the extensions of
    /// `tonic::Response`, can have them removed: [`Handle::invalidate_tags`](crate::middleware::Handle::invalidate_tags).
    ///
    /// # Deadlines
    ///
    /// A call whose `grpc-timeout` ends while it waits ends in DEADLINE_EXCEEDED, and no other call does. The
    /// computation does not end with the deadline of the call that leads it: the inner service does not see that call's
    /// `grpc-timeout`. A deadline that the server sets beneath the layer does count for the computation.
    ///
    /// # Panics
    ///
    /// As [`new`](Self::new).
    pub fn grpc<T>(store: impl Store, tag: T) -> MemoLockLayer<GrpcKey>
    where
        T: TryInto<Tag>,
        T::Error: Into<KeyError>,
    {
        let mut layer = Self::new(store, tag).methods([Method::POST]).key(GrpcKey::new());
        layer.cache.requests.invalidates = false;
        layer.cache.methods = Some(Arc::default());
        layer
    }
}

//! What can be set on a layer around a client.

use std::error::Error;

use http::header::HeaderName;

use super::MemoLockLayer;
use super::keys::name;
use crate::key::{KeyError, Tag};
use crate::middleware::policy::cookies::SetCookie;
use crate::middleware::policy::error_mapper::ErrorMapper;
use crate::store::Store;

/// # Clients
///
/// The layer around a client, by which a program calls others.
impl MemoLockLayer {
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
    /// use tower_memolock::{MemoLockLayer, MemoryStore};
    ///
    /// let layer = MemoLockLayer::client(MemoryStore::new(), "rates")
    ///     .own_credentials(["authorization"])
    ///     .ttl(Duration::from_secs(30));
    /// let client = ServiceBuilder::new()
    ///     .layer(layer)
    ///     .service(Client::builder(TokioExecutor::new()).build_http::<Empty<Bytes>>());
    /// # let _ = client;
    /// ```
    ///
    /// It is the layer that [`new`](Self::new) makes, but for two defaults:
    ///
    /// * [`set_cookie`](Self::set_cookie) is [`SetCookie::Strip`]: the cookies that the API sets are neither stored nor
    ///   given to followers. The one response that comes from the API itself still has them.
    /// * Errors of the client are [shared](Self::share_errors): where the call fails, one follower tries next; if that
    ///   fails as well, all other followers get an empty response with the status 502 in place of an error.
    ///   Nothing of this is stored.
    ///
    /// # Panics
    ///
    /// If `tag` cannot be a [`Tag`]. For a tag that comes from outside the program use
    /// [`MemoLockLayer::client_with_tag`].
    pub fn client<T>(store: impl Store, tag: T) -> Self
    where
        T: TryInto<Tag>,
        T::Error: Into<KeyError>,
    {
        Self::client_with_tag(store, Tag::from_literal(tag))
    }

    /// The same, under a tag that has been checked already.
    #[must_use]
    pub fn client_with_tag(store: impl Store, tag: Tag) -> Self {
        let mut layer = Self::with_tag(store, tag).set_cookie(SetCookie::Strip);
        layer.settings.responses.share_errors = Some(ErrorMapper::bad_gateway());
        layer
    }
}

impl<K> MemoLockLayer<K> {
    /// Says that these fields hold credentials of the program itself, in a layer around its client: requests that
    /// carry them share, whatever their values. Defaults to none.
    ///
    /// Two things follow. The fields count as no [credentials](Self::credentials) any more, as with
    /// [`not_credentials`](Self::not_credentials). And `Cache-Control: private` means this program, on all nodes of
    /// its cluster: such a response is shared and stored like any other. It goes to no request with other
    /// credentials than these.
    ///
    /// Right only where every request with one of these fields is made on behalf of the program. Requests that carry
    /// the credentials of its users, in the same field, would share as well: leave this out there, and make the field
    /// part of the key with [`key_headers`](Self::key_headers). A layer with this setting needs a tag of its own.
    ///
    /// # Panics
    ///
    /// If one is not the name of a field.
    #[must_use]
    #[track_caller]
    pub fn own_credentials<N>(mut self, names: impl IntoIterator<Item = N>) -> Self
    where
        N: TryInto<HeaderName>,
        N::Error: Error,
    {
        let names = names.into_iter().map(name).collect();
        self.settings.requests.count(names, false);
        self.settings.responses.private_is_own = true;
        self
    }
}

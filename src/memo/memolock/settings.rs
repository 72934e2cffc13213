//! How a [`MemoLock`] is made, and what can be set on it.

use std::sync::Arc;
use std::time::Duration;

use super::MemoLock;
#[cfg(feature = "serde")]
use crate::codec::Json;
use crate::codec::{Codec, Raw};
use crate::key::{KeyError, Tag};
use crate::memo::config::Config;
use crate::memo::flights::line::Line;
use crate::memo::limits::{AtLimit, Limits};
use crate::memo::shared::Shared;
use crate::store::{AnyStore, Store};

impl MemoLock<Raw> {
    /// Memoizes bytes under `tag` in `store`, with the default settings.
    ///
    /// # Panics
    ///
    /// If `tag` cannot be a [`Tag`]. Make one with [`Tag::new`] of what comes from outside the program.
    pub fn new<T>(store: impl Store, tag: T) -> Self
    where
        T: TryInto<Tag>,
        T::Error: Into<KeyError>,
    {
        Self::raw(store.into_any(), Tag::from_literal(tag))
    }

    // Not generic: the core for bytes is compiled here, and not in every program.
    fn raw(store: AnyStore, tag: Tag) -> Self {
        Self::over(store, Raw, tag)
    }
}

#[cfg(feature = "serde")]
impl<T> MemoLock<Json<T>>
where
    Json<T>: Codec<Value = T>,
{
    /// Memoizes values of a type that serde knows under `tag` in `store`, as JSON, with the default settings.
    ///
    /// ```
    /// use tower_memolock::codec::Json;
    /// use tower_memolock::{MemoLock, MemoryStore};
    ///
    /// #[derive(Clone)]
    /// struct AppState {
    ///     likes: MemoLock<Json<u64>>,
    /// }
    ///
    /// let state = AppState { likes: MemoLock::json(MemoryStore::new(), "likes") };
    /// # let _ = state;
    /// ```
    ///
    /// # Panics
    ///
    /// As [`MemoLock::new`].
    pub fn json<G>(store: impl Store, tag: G) -> Self
    where
        G: TryInto<Tag>,
        G::Error: Into<KeyError>,
    {
        Self::over(store.into_any(), Json::new(), Tag::from_literal(tag))
    }
}

impl<C: Codec> MemoLock<C> {
    /// Memoizes values that `codec` encodes under `tag` in `store`, with the default settings.
    ///
    /// # Panics
    ///
    /// As [`MemoLock::new`].
    pub fn with_codec<G>(store: impl Store, tag: G, codec: C) -> Self
    where
        G: TryInto<Tag>,
        G::Error: Into<KeyError>,
    {
        Self::over(store.into_any(), codec, Tag::from_literal(tag))
    }

    pub(crate) fn over(store: AnyStore, codec: C, tag: Tag) -> Self {
        Self {
            shared: Arc::new(Shared::new(store, codec, tag)),
            config: Config::DEFAULT,
            line: None,
            rules: Arc::default(),
        }
    }

    /// The same with another form of the same values, for a handle that has no clones yet.
    #[cfg(feature = "http")]
    pub(crate) fn recoded(mut self, codec: C) -> Self {
        let shared = Shared::new(self.shared.store.clone(), codec, self.shared.tag.clone());
        shared.set_stamps_all(self.shared.stamps_all());
        self.shared = Arc::new(shared);
        self
    }
}

impl<C: Codec> MemoLock<C> {
    /// How long a lock lasts unless it is renewed. A computation that runs longer renews it every third of that, and a
    /// process that dies is succeeded after at most this time. Defaults to 5 seconds; less than 100 milliseconds counts
    /// as 100 milliseconds, and more than a year as a year.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease.clamp(Config::MIN_LEASE, Config::LONG);
        self
    }

    /// Whether values go to other processes while they are made.
    #[cfg(feature = "http")]
    pub(crate) fn parts(mut self, parts: bool) -> Self {
        self.config.parts = parts;
        self
    }

    /// How long a caller waits for the work of others, all in all. Defaults to 30 seconds.
    ///
    /// The clock starts once another caller of this process computes, or once the store has said that another process
    /// does. For the caller of [`get_or_request`](Self::get_or_request) that starts the work, it starts once the work
    /// is started. Until then the caller may yet lead, and waits until the store answers or fails. So a caller that is
    /// alone computes and stores, however short the timeout is.
    ///
    /// With zero a caller never waits for the work of others: it leads, or it computes for itself at once. Only
    /// `get_or_request`, whose caller cannot compute, returns [`ErrorKind::WaitTimeout`](crate::ErrorKind::WaitTimeout).
    #[must_use]
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.config.wait_timeout = timeout;
        self
    }

    /// How long a computed value is kept. Defaults to 60 seconds. With zero it is not stored, and only the waiters of
    /// that moment get it. [`ttl_of`](Self::ttl_of) sets this for each value.
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.config.ttl = ttl;
        self
    }

    /// How long each computed value is kept, instead of the [`ttl`](Self::ttl). `None` is "do not keep": only the waiters
    /// of that moment get the value.
    ///
    /// So a value can say that there is nothing, and is kept for less time:
    ///
    /// ```
    /// # #[cfg(feature = "serde")] {
    /// use std::time::Duration;
    ///
    /// use tower_memolock::codec::Json;
    /// use tower_memolock::{MemoLock, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let users = MemoLock::<Json<Option<String>>>::json(MemoryStore::new(), "user")
    ///     .ttl_of(|user| Some(Duration::from_secs(if user.is_some() { 600 } else { 5 })));
    /// let user = users.get_or_compute(7, || async { Ok::<_, std::io::Error>(None) }).await.unwrap();
    /// assert_eq!(user, None);
    /// # }
    /// # main() }
    /// ```
    #[must_use]
    pub fn ttl_of(mut self, ttl_of: impl Fn(&C::Value) -> Option<Duration> + Send + Sync + 'static) -> Self {
        Arc::make_mut(&mut self.rules).ttl_of = Some(Arc::new(ttl_of));
        self
    }

    /// The tags by which each computed value can be [invalidated](Self::invalidate_tags), made from its id and the
    /// value: any strings but the empty one, and at most [`MAX_LABELS`](crate::MAX_LABELS) of them. Defaults to none.
    ///
    /// Only the process that computes calls this. Tags that only the computation knows belong in its value; serde need
    /// not store them.
    ///
    /// A hit of a value with tags asks the store once more, whether the tags are still current. A value whose tags
    /// cannot be kept, because the store does not answer or [keeps no generations](crate::Store::generation), is not
    /// stored; only the waiters in this process get it. If a text cannot be a tag, all waiters get
    /// [`ErrorKind::Tags`](crate::ErrorKind::Tags).
    ///
    /// ```
    /// use tower_memolock::{MemoLock, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let pages = MemoLock::new(MemoryStore::new(), "page")
    ///     .tags_of(|id, _| [format!("product-{id}"), "shop".into()]);
    /// pages.get_or_compute("7", || async { Ok::<_, std::io::Error>("rendered".into()) }).await.unwrap();
    ///
    /// pages.invalidate_tags(["shop"]).await.unwrap();
    /// assert_eq!(pages.get("7").await.unwrap(), None);
    /// # }
    /// ```
    #[must_use]
    pub fn tags_of<T>(mut self, tags_of: impl Fn(&str, &C::Value) -> T + Send + Sync + 'static) -> Self
    where
        T: IntoIterator<Item: Into<String>>,
    {
        let tags_of = move |id: &str, value: &C::Value| tags_of(id, value).into_iter().map(Into::into).collect();
        Arc::make_mut(&mut self.rules).tags_of = Some(Arc::new(tags_of));
        self.tagged()
    }

    /// Values may have tags.
    pub(crate) fn tagged(mut self) -> Self {
        self.config.tags = true;
        self
    }

    /// Hands errors of this codec's type to callers in other processes as what they are, so that these callers find the
    /// same [`cause`](crate::Error::cause) as the callers in the process that computed. Defaults to the text of the
    /// error alone, a [`RemoteError`](crate::RemoteError).
    ///
    /// Other processes still get the text of errors of other types, of errors whose encoding is no UTF-8 or has more
    /// than 4096 bytes, and of errors that they cannot decode. Set this on every node. Members of the memolock family
    /// that do not know of encodings get the text.
    ///
    /// ```
    /// # #[cfg(feature = "serde")] {
    /// use serde::{Deserialize, Serialize};
    /// use tower_memolock::codec::Json;
    /// use tower_memolock::{MemoLock, MemoryStore};
    ///
    /// #[derive(Clone, Debug, Serialize, Deserialize, thiserror::Error)]
    /// #[error("there is no user {0}")]
    /// struct NotFound(u64);
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let users = MemoLock::new(MemoryStore::new(), "user").errors(Json::<NotFound>::new());
    /// let error = users.get_or_compute(7, || async { Err(NotFound(7)) }).await.unwrap_err();
    /// // Whichever process has computed.
    /// assert!(error.cause::<NotFound>().is_some());
    /// # }
    /// # main() }
    /// ```
    #[must_use]
    pub fn errors<D: Codec>(mut self, codec: D) -> Self
    where
        D::Value: std::error::Error,
    {
        Arc::make_mut(&mut self.rules).errors = Some(Arc::new(codec));
        self
    }

    /// Whether values without tags are stamped as well, so that [`invalidate_all`](Self::invalidate_all) reaches them.
    /// It holds for this handle and its clones. Defaults to `false`.
    ///
    /// A hit then asks the store two things in one round trip, and a value without a stamp counts as absent. Other
    /// members of the memolock family cannot read stamped values, nor resolve a promise here;
    /// [`resolve`](Self::resolve) can.
    #[must_use]
    pub fn stamped(self, stamped: bool) -> Self {
        self.shared.set_stamps_all(stamped);
        self
    }

    /// How much may go on at once, and what becomes of callers beyond: see [`Limits`]. What `limits` does not set stays
    /// as it is.
    #[must_use]
    pub fn limits(mut self, limits: Limits) -> Self {
        self.config.limit(limits);
        match limits.at_limit {
            Some(AtLimit::Queue(calls)) => self.line = Some(Arc::new(Line::new(calls))),
            Some(AtLimit::Bypass | AtLimit::Refuse { .. }) => self.line = None,
            None => {}
        }
        self
    }
}

//! Constructors: over bytes, over what serde knows, over a codec.

use std::sync::Arc;

use super::MemoLock;
#[cfg(feature = "serde")]
use crate::codec::Json;
use crate::codec::{Codec, Raw};
use crate::key::{KeyError, Tag};
use crate::memo::config::Config;
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

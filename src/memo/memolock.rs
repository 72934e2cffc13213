//! [`MemoLock`]: the core as users see it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use super::compute::{compute_alone, compute_as_leader, run};
use super::computed::Computed;
use super::config::Config;
use super::limits::AtLimit;
use super::obtain::Obtained;
use super::shared::Shared;
use super::stats::Stats;
use crate::codec::{Codec, Raw};
use crate::error::Error;
use crate::key::{Address, Key, KeyError, Tag};
use crate::store::Store;

/// Memoizes any async computation across tasks, processes and machines.
///
/// However many callers ask for the same id at the same time, one of them computes and the others wait for the result;
/// those who come later get it from the store. A clone is another handle on the same thing. See the
/// [crate documentation](crate) for what is guaranteed.
///
/// ```
/// use tower_memolock::{MemoLock, MemoryStore};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let reports = MemoLock::new(MemoryStore::new(), "report");
/// let report = reports
///     .get_or_compute("42", || async {
///         // Runs once, however many callers there are.
///         Ok::<_, std::io::Error>("rendered".into())
///     })
///     .await
///     .unwrap();
/// assert_eq!(report, "rendered");
/// # }
/// ```
pub struct MemoLock<St, C: Codec = Raw> {
    pub(crate) shared: Arc<Shared<St, C>>,
    pub(crate) config: Config,
}

impl<St: Store> MemoLock<St, Raw> {
    /// Memoizes bytes under `tag` in `store`, with the default settings.
    ///
    /// # Panics
    ///
    /// If `tag` cannot be a [`Tag`]. For a tag that comes from outside the program use [`MemoLock::with_tag`].
    pub fn new<T>(store: St, tag: T) -> Self
    where
        T: TryInto<Tag>,
        T::Error: Into<KeyError>,
    {
        Self::with_tag(store, Tag::from_literal(tag))
    }

    /// Memoizes bytes under a tag that has been checked already.
    #[must_use]
    pub fn with_tag(store: St, tag: Tag) -> Self {
        Self {
            shared: Arc::new(Shared::new(store, Raw, tag)),
            config: Config::DEFAULT,
        }
    }
}

impl<St: Store, C: Codec> MemoLock<St, C> {
    /// Memoizes what `codec` encodes instead, [`Json`](crate::codec::Json) for instance.
    #[must_use]
    pub fn codec<D: Codec>(self, codec: D) -> MemoLock<St, D> {
        let shared = Shared::new(self.shared.store.clone(), codec, self.shared.tag.clone());
        shared.set_stamps_all(self.shared.stamps_all());
        MemoLock {
            shared: Arc::new(shared),
            config: self.config,
        }
    }

    /// How long a lock lasts unless renewed; a computation that runs longer renews it every third of that. A process
    /// that dies is succeeded after at most this time. Defaults to 5 seconds; less than 100 milliseconds counts as
    /// 100 milliseconds.
    #[must_use]
    pub fn lease(mut self, lease: Duration) -> Self {
        self.config.lease = lease.max(Config::MIN_LEASE);
        self
    }

    /// How long a caller waits for a computation that somebody else leads. Defaults to 30 seconds.
    #[must_use]
    pub fn wait_timeout(mut self, timeout: Duration) -> Self {
        self.config.wait_timeout = timeout;
        self
    }

    /// How long a computed value is kept. Defaults to 60 seconds. See also [`MemoLock::get_or_compute_for`].
    #[must_use]
    pub fn ttl(mut self, ttl: Duration) -> Self {
        self.config.ttl = ttl;
        self
    }

    /// How many callers may wait for one id in this process. Whoever comes on top of that is at a limit. Defaults to
    /// 65,536.
    #[must_use]
    pub fn max_waiters(mut self, callers: usize) -> Self {
        self.config.limits.waiters = callers;
        self
    }

    /// How many ids may be in flight in this process, each with any number of callers. Whoever asks for one more is at a
    /// limit. Defaults to 16,384.
    #[must_use]
    pub fn max_in_flight(mut self, ids: usize) -> Self {
        self.config.limits.in_flight = ids;
        self
    }

    /// How long, in bytes, an id may be to be memoized. For a longer one every caller computes, and nothing is stored.
    /// Defaults to 2048, which no [`Key`] exceeds.
    #[must_use]
    pub fn max_key(mut self, bytes: usize) -> Self {
        self.config.limits.key = bytes;
        self
    }

    /// What becomes of callers at a limit: they compute for themselves, or get [`Error::AtLimit`]. Defaults to the
    /// first, [`AtLimit::Bypass`].
    #[must_use]
    pub fn at_limit(mut self, at_limit: AtLimit) -> Self {
        self.config.limits.at_limit = at_limit;
        self
    }

    /// The value under `id`: from the store, from whoever is computing it at this moment anywhere in the cluster, or
    /// from `compute`, which then runs in a task of its own and goes on even if this future is dropped.
    ///
    /// A failing computation stores nothing; its error goes to everybody who waited for it.
    ///
    /// # Errors
    ///
    /// See [`Error`]. Trouble with the store is not an error: the value is computed then, once a process.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. A panic of `compute` is [`Error::Panicked`].
    pub async fn get_or_compute<K, F, Fut, E>(&self, id: K, compute: F) -> Result<C::Value, Error<E>>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<C::Value, E>> + Send + 'static,
        E: fmt::Display + Send + Sync + 'static,
    {
        let plain = move || {
            let computation = compute();
            async move { computation.await.map(Computed::new) }
        };
        self.memoize(id, self.config, plain).await
    }

    /// Like [`MemoLock::get_or_compute`], for a computation that says how long its value may be kept. A ttl of zero
    /// stores nothing: the value goes to those who wait at that moment.
    ///
    /// # Errors
    ///
    /// As [`MemoLock::get_or_compute`].
    ///
    /// # Panics
    ///
    /// As [`MemoLock::get_or_compute`].
    pub async fn get_or_compute_for<K, F, Fut, E>(&self, id: K, compute: F) -> Result<C::Value, Error<E>>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<(C::Value, Duration), E>> + Send + 'static,
        E: fmt::Display + Send + Sync + 'static,
    {
        let timed = move || {
            let computation = compute();
            async move { computation.await.map(|(value, ttl)| Computed::new(value).ttl(ttl)) }
        };
        self.memoize(id, self.config, timed).await
    }

    /// Like [`MemoLock::get_or_compute`], for a computation that says more of its value: how long it may be kept, and by
    /// which tags it can be [invalidated](MemoLock::invalidate_tag).
    ///
    /// A hit of a value with tags asks the store once more, whether they are still current. A value whose tags cannot be
    /// kept, because the store does not answer or [keeps no generations](Store::generation), is not stored; it goes to
    /// those who wait in this process.
    ///
    /// # Errors
    ///
    /// As [`MemoLock::get_or_compute`], and [`Error::Tags`].
    ///
    /// # Panics
    ///
    /// As [`MemoLock::get_or_compute`].
    pub async fn get_or_compute_with<K, F, Fut, E>(&self, id: K, compute: F) -> Result<C::Value, Error<E>>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Computed<C::Value>, E>> + Send + 'static,
        E: fmt::Display + Send + Sync + 'static,
    {
        let config = Config {
            tags: true,
            ..self.config
        };
        self.memoize(id, config, compute).await
    }

    /// The same, for values of which any may have tags.
    #[cfg(feature = "http")]
    pub(crate) fn tagged(mut self) -> Self {
        self.config.tags = true;
        self
    }

    async fn memoize<K, F, Fut, E>(&self, id: K, config: Config, compute: F) -> Result<C::Value, Error<E>>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<Computed<C::Value>, E>> + Send + 'static,
        E: fmt::Display + Send + Sync + 'static,
    {
        let address = self.address(id).map_err(Error::Key)?;
        let limits = &config.limits;
        if self.shared.is_too_long(address.id(), limits.key) {
            return run(compute_alone(compute)).await;
        }
        if let Some(value) = self.fresh(self.shared.peek(&address, Instant::now())) {
            return Ok(value);
        }
        if let Some(value) = self.fresh(self.shared.look_up(&address).await) {
            return Ok(value);
        }
        match self.shared.obtain(&address, &config, config.deadline()).await {
            Obtained::Followed(value) => Ok(value),
            Obtained::Lead(lead) => {
                let shared = Arc::clone(&self.shared);
                run(async move {
                    let lead = shared.started(lead, &address, &config).await;
                    compute_as_leader(lead, config.ttl, compute).await
                })
                .await
            }
            Obtained::Limited(limit) => match limits.at_limit {
                AtLimit::Bypass => run(compute_alone(compute)).await,
                AtLimit::Refuse { .. } => Err(Error::AtLimit(limit)),
            },
            Obtained::Failed(failure) => Err(failure.into()),
            Obtained::TimedOut => Err(Error::WaitTimeout),
            Obtained::Pass | Obtained::Stale | Obtained::GaveUp => Err(Error::Abandoned),
        }
    }

    /// The value under `id`, if it is stored. Never waits for a computation.
    ///
    /// # Errors
    ///
    /// [`KeyError`] where the id cannot be a key. Trouble with the store counts as absence.
    pub async fn get<K>(&self, id: K) -> Result<Option<C::Value>, KeyError>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
    {
        let address = self.address(id)?;
        match self.shared.peek(&address, Instant::now()) {
            Some(value) => Ok(self.fresh(Some(value))),
            None => Ok(self.fresh(self.shared.lookup(&address).await)),
        }
    }

    /// What was found, if it is a hit.
    fn fresh(&self, found: Option<C::Value>) -> Option<C::Value> {
        let value = found.filter(|value| self.shared.codec.is_fresh(value))?;
        self.shared.counters.hits.add();
        Some(value)
    }

    /// What this handle and its clones have done so far, and what is under way.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }

    /// How many computations are waited for in this process at this moment.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.table.len()
    }

    /// Gives every lease back, now: for the moment a program is asked to stop, so that nobody elsewhere waits for it.
    ///
    /// From the call on this handle and its clones keep no lease any more. What is stored is still found, and who waits
    /// for another process goes on waiting. Computations under way go on, and answer those who wait in this process; but their results are not stored, because one of
    /// those who wait elsewhere takes over at once. Whoever comes later is computed for in this process, once for all
    /// who ask together, and nothing of that is stored either, nor undone by an [`invalidate`](Self::invalidate)
    /// elsewhere.
    ///
    /// Resolves once all leases are given back, or as many as the store could be told of within its own timeouts; the
    /// others run out. Calling it again waits for the same. There is no way back.
    pub async fn shutdown(&self) {
        let leases = self.shared.leases.close();
        tracing::info!(
            tag = self.shared.tag.as_str(),
            leases,
            "shutting down: giving leases back"
        );
        self.shared.leases.given_back().await;
    }

    /// Resolves once no computation is under way in this process and all results have reached the store.
    ///
    /// For the end of a program, once it takes no more requests: one that exits right after its last response may
    /// leave a result behind, and whoever waits for it elsewhere waits for the rest of the lease, unless there was a
    /// [`shutdown`](Self::shutdown). Bound it by a timeout, as computations may take any time.
    pub async fn drained(&self) {
        #[cfg(feature = "http")]
        self.shared.refreshes.idle().await;
        #[cfg(feature = "http")]
        self.shared.solos.idle().await;
        self.shared.table.empty().await;
    }

    pub(super) fn address<K>(&self, id: K) -> Result<Address, KeyError>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
    {
        let key = id.try_into().map_err(Into::into)?;
        Ok(Address::new(&self.shared.tag, &key))
    }
}

impl<St: Clone, C: Codec> Clone for MemoLock<St, C> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            config: self.config,
        }
    }
}

impl<St, C: Codec> fmt::Debug for MemoLock<St, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoLock")
            .field("tag", &self.shared.tag)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

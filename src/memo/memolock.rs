//! [`MemoLock`]: the core as users see it.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

use super::config::Config;
use super::lead::Lead;
use super::obtain::Obtained;
use super::shared::Shared;
use super::stats::Stats;
use crate::codec::{Codec, Raw};
use crate::error::{Error, Failure, StoreError};
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
        MemoLock {
            shared: Arc::new(Shared::new(self.shared.store.clone(), codec, self.shared.tag.clone())),
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
        let ttl = self.config.ttl;
        let timed = move || {
            let computation = compute();
            async move { computation.await.map(|value| (value, ttl)) }
        };
        self.get_or_compute_for(id, timed).await
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
        let address = self.address(id).map_err(Error::Key)?;
        if let Some(value) = self.shared.peek(&address, Instant::now()) {
            return Ok(value);
        }
        if let Some(value) = self.shared.look_up(&address).await {
            return Ok(value);
        }
        match self.shared.obtain(&address, self.config, self.config.deadline()).await {
            Obtained::Followed(value) => Ok(value),
            Obtained::Lead(lead) => {
                let task = tokio::spawn(lead_computation(lead, compute).in_current_span());
                match task.await {
                    Ok(result) => result,
                    Err(error) if error.is_panic() => Err(Error::Panicked),
                    Err(_) => Err(Error::Abandoned),
                }
            }
            Obtained::Failed(failure) => Err(failure.into()),
            Obtained::TimedOut => Err(Error::WaitTimeout),
            Obtained::Pass | Obtained::GaveUp => Err(Error::Abandoned),
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
            Some(value) => Ok(Some(value)),
            None => Ok(self.shared.lookup(&address).await),
        }
    }

    /// Removes the value under `id`, and keeps every computation that has started before from storing its own.
    ///
    /// Once this has returned, whoever asks, on whichever node, gets no value from a computation that started before:
    /// neither from the store, nor from a computation that is under way, nor from an answer of the store or a message
    /// that was on its way at that moment. `tests/model` explores it.
    ///
    /// A node that the store does not answer cannot know of an invalidation. Its callers share what is computed in their
    /// process, until the store is back; a commit that is not answered counts as such, and so does one that a store
    /// refuses because it started again empty.
    ///
    /// # Errors
    ///
    /// [`InvalidateError`] where the id cannot be a key or the store could not be told.
    pub async fn invalidate<K>(&self, id: K) -> Result<(), InvalidateError>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
    {
        let address = self.address(id).map_err(InvalidateError::Key)?;
        self.shared.invalidate(&address).await.map_err(InvalidateError::Store)
    }

    /// What this handle and its clones have done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }

    /// How many computations are waited for in this process at this moment.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.table.len()
    }

    /// Resolves once no computation is under way in this process and all results have reached the store.
    ///
    /// For the end of a program, once it takes no more requests: one that exits right after its last response may
    /// leave a result behind, and whoever waits for it elsewhere waits for the rest of the lease. Bound it by a
    /// timeout, as computations may take any time.
    pub async fn drained(&self) {
        self.shared.table.empty().await;
    }

    fn address<K>(&self, id: K) -> Result<Address, KeyError>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
    {
        let key = id.try_into().map_err(Into::into)?;
        Ok(Address::new(&self.shared.tag, &key))
    }
}

/// Why [`MemoLock::invalidate`] did not do it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidateError {
    /// The id cannot be a key.
    #[error("the id cannot be a key")]
    Key(#[source] KeyError),
    /// Whether the value was removed is unknown.
    #[error("the store could not be told to invalidate")]
    Store(#[source] StoreError),
}

/// Computes, and settles the lead whatever happens.
async fn lead_computation<V, F, Fut, E>(lead: Lead<V>, compute: F) -> Result<V, Error<E>>
where
    V: Clone,
    F: FnOnce() -> Fut,
    Fut: Future<Output = Result<(V, Duration), E>>,
    E: fmt::Display + Send + Sync + 'static,
{
    let mut guard = FailOnPanic(Some(lead));
    let result = compute().await;
    let Some(lead) = guard.0.take() else {
        return Err(Error::Abandoned);
    };
    match result {
        Ok((value, ttl)) if ttl.is_zero() => {
            lead.share(value.clone()).wait().await;
            Ok(value)
        }
        Ok((value, ttl)) => {
            lead.store(value.clone(), ttl).wait().await;
            Ok(value)
        }
        Err(error) => {
            let error = Arc::new(error);
            lead.fail(Failure::of(&error));
            Err(Error::Computation(error))
        }
    }
}

/// Tells those who wait that the computation panicked.
struct FailOnPanic<V>(Option<Lead<V>>);

impl<V> Drop for FailOnPanic<V> {
    fn drop(&mut self) {
        if let Some(lead) = self.0.take()
            && std::thread::panicking()
        {
            lead.fail(Failure::panicked());
        }
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

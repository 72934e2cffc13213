//! [`MemoLock`]: the core as users see it.

mod answer;
mod computing;
mod external;
mod settings;

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;
use tracing::Instrument;

pub use self::external::ResolveError;
use super::config::Config;
use super::flights::line::Line;
use super::lookup;
use super::receipt::{Aim, Receipt};
use super::rules::ValueRules;
use super::shared::Shared;
use super::stats::Stats;
use crate::codec::{Codec, Raw};
use crate::error::{BoxError, Error, ErrorKind, Failure};
use crate::key::{Address, Key, KeyError};
use crate::trace;

/// Memoizes any async computation across tasks, processes and machines.
///
/// However many callers ask for the same id at the same time, one of them computes and the others wait for the result.
/// Later callers get it from the store. A clone is another handle on the same thing. See the [crate
/// documentation](crate) for what is guaranteed.
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
pub struct MemoLock<C: Codec = Raw> {
    pub(crate) shared: Arc<Shared<C>>,
    pub(crate) config: Config,
    /// Where callers at a limit wait for their turn, if the limits have them wait.
    pub(crate) line: Option<Arc<Line>>,
    pub(crate) rules: Arc<ValueRules<C::Value>>,
}

impl<C: Codec> MemoLock<C> {
    /// The value under `id`: from the store, from a caller that is computing it anywhere in the cluster, or from
    /// `compute`, which then runs in a task of its own and goes on even if this future is dropped.
    ///
    /// A failing computation stores nothing. All callers that waited for it get its error. A computation that ends
    /// without a result, because its process died or it takes longer than [`max_computation`](crate::Limits::max_computation), is
    /// succeeded by one of those callers. A caller that has waited for two such computations waits for no third: it
    /// computes for itself.
    ///
    /// A computation that asks for its own id, directly or through others, does not wait for itself: the inner call
    /// computes for itself, and a warning says so once. The core recognizes it by its task. It cannot recognize an
    /// inner call from a task that the computation has spawned, or from another process: that call waits for the [wait
    /// timeout](Self::wait_timeout).
    ///
    /// # Errors
    ///
    /// See [`Error`]. Trouble with the store is not an error: the value is then computed once in each process.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. A panic of `compute` is [`ErrorKind::Panicked`].
    pub async fn get_or_compute<K, F, Fut, E>(&self, id: K, compute: F) -> Result<C::Value, Error>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<C::Value, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let address = self.address(id).map_err(|error| self.no_key(error))?;
        let span = trace::lookup(Some(&address));
        let computed = computing::compute_at(self, &address, compute).instrument(span).await;
        computed.map_err(|failure| Error::new(address.as_str(), failure))
    }

    /// The value under `id`, computed now whatever is stored, and stored in its place.
    ///
    /// One caller in the cluster computes at a time. A caller that finds another one computing, anywhere, gets that
    /// one's result. The stored value answers all other callers meanwhile. Otherwise as
    /// [`get_or_compute`](Self::get_or_compute).
    ///
    /// # Errors
    ///
    /// As [`get_or_compute`](Self::get_or_compute). The stored value stays then.
    ///
    /// # Panics
    ///
    /// As [`get_or_compute`](Self::get_or_compute).
    pub async fn refresh<K, F, Fut, E>(&self, id: K, compute: F) -> Result<C::Value, Error>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<C::Value, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let mut now = self.clone();
        now.config.aim = Aim::Now;
        now.get_or_compute(id, compute).await
    }

    /// A handle that returns no value from before the invalidation with this receipt, on whichever node that was, and
    /// whatever became of the messages about it.
    ///
    /// A value says when it was begun if it has tags, or if all values are [`stamped`](Self::stamped). Any other value
    /// is gone or stale only by its own invalidation, which is then all that a receipt stands for.
    ///
    /// A receipt that the store cannot have given is ignored, and so is every receipt while the store cannot be asked.
    ///
    /// ```
    /// use tower_memolock::{MemoLock, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let reports = MemoLock::new(MemoryStore::new(), "report").stamped(true);
    /// let receipt = reports.invalidate("42").soft().await.unwrap();
    /// // The caller that changed it sees the change; all others need not wait for it.
    /// let render = || async { Ok::<_, std::io::Error>("rendered".into()) };
    /// assert_eq!(reports.since(receipt).get_or_compute("42", render).await.unwrap(), "rendered");
    /// # }
    /// ```
    #[must_use]
    pub fn since(&self, receipt: Receipt) -> Self {
        let mut since = self.clone();
        since.config.aim = Aim::Since(receipt);
        since
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
        let looking = async {
            let found = match lookup::peek(&self.shared, &address, Instant::now()) {
                Some(found) => answer::fresh(self, Some(found)),
                None => answer::fresh(self, lookup::stored(&self.shared, &address).await),
            };
            trace::outcome(found.as_ref().map_or("miss", |_| "hit"));
            found
        };
        Ok(looking.instrument(trace::lookup(Some(&address))).await)
    }

    /// The value under `id`: from the store, or from the program that resolves its promise. `request` only starts the
    /// work, in a worker behind a queue for instance, and the worker then [resolves](Self::resolve) the promise.
    ///
    /// One caller of the cluster takes the lock and runs `request`, in a task of its own. Then it waits as all others
    /// do, in this process and every other, until the value is published: with [`resolve`](Self::resolve), or by a
    /// program in any language that says to Redis, under the tag `T` and the id `ID`,
    ///
    /// ```text
    /// SET T:ID value EX 60
    /// PUBLISH T/notif:ID value
    /// ```
    ///
    /// All waiters get the value at once. A worker that only publishes reaches only the waiters at that moment; a value
    /// that is only stored is found when the lease ends.
    ///
    /// The work has as long as the [lease](Self::lease), which is not renewed. If the promise is not resolved by then,
    /// one caller of the cluster starts the work again with its own `request`, up to
    /// [`max_attempts`](crate::Limits::max_attempts) times. After that no caller starts it any more, but all go on waiting until
    /// the [wait timeout](Self::wait_timeout), which should be longer than as many leases: a worker that is only slow
    /// still answers them. As soon as the promise is resolved, the process that holds the lock gives it back.
    ///
    /// An [`invalidate`](Self::invalidate) meanwhile, or a [shutdown](Self::shutdown) of the process that
    /// started the work, has another waiting caller start it again. The work that was started before may still resolve
    /// the promise: any program that publishes is believed.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_memolock::{MemoLock, MemoryStore, StoreError};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let reports = MemoLock::new(MemoryStore::new(), "report").lease(Duration::from_secs(15));
    /// let worker = reports.clone();
    /// let report = reports
    ///     .get_or_request("42", move || {
    ///         let worker = worker.clone();
    ///         async move {
    ///             // To a queue, say. This worker is a task.
    ///             tokio::spawn(async move {
    ///                 worker.resolve("42", "rendered".into(), Duration::from_secs(60)).await
    ///             });
    ///             Ok::<_, StoreError>(())
    ///         }
    ///     })
    ///     .await
    ///     .unwrap();
    /// assert_eq!(report, "rendered");
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::WaitTimeout`] where the promise was not resolved in time, and at once where `request` asks for its own
    /// id. [`ErrorKind::Computation`] where `request` failed: the waiters at that moment get its
    /// error, nothing is stored, and the lock is given back. [`ErrorKind::AtLimit`] at a limit, under any
    /// [`at_limit`](crate::Limits::at_limit), because there is nothing that a caller could compute for itself. Otherwise as
    /// [`MemoLock::get_or_compute`].
    ///
    /// Without the store, `request` still runs once in each process. The waiters get what is stored or published
    /// once the store is back.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime. A panic of `request` is [`ErrorKind::Panicked`].
    pub async fn get_or_request<K, F, Fut, E>(&self, id: K, request: F) -> Result<C::Value, Error>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let address = self.address(id).map_err(|error| self.no_key(error))?;
        let span = trace::lookup(Some(&address));
        let obtained = external::request_at(self, &address, request).instrument(span).await;
        obtained.map_err(|failure| Error::new(address.as_str(), failure))
    }

    /// Stores `value` under `id` for `ttl`, and gives it to all waiters for it, in one step: to the callers of
    /// [`get_or_request`](Self::get_or_request), and to all others.
    ///
    /// A program that resolves is believed, with or without the lock. The lock stays as it is: its holder gives it
    /// back. With a `ttl` of zero nothing is stored: only the waiters at this moment get the value.
    ///
    /// The value has no tags. Where all values are [`stamped`](Self::stamped), it counts as begun now.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_memolock::{MemoLock, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let reports = MemoLock::new(MemoryStore::new(), "report");
    /// reports.resolve("42", "rendered".into(), Duration::from_secs(60)).await.unwrap();
    /// assert_eq!(reports.get("42").await.unwrap().unwrap(), "rendered");
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ResolveError`] where the id cannot be a key or the store could not be told.
    pub async fn resolve<K>(&self, id: K, value: C::Value, ttl: Duration) -> Result<(), ResolveError>
    where
        K: TryInto<Key>,
        K::Error: Into<KeyError>,
    {
        external::resolve(self, id.try_into().map_err(Into::into), value, ttl).await
    }

    /// What this handle and its clones have done so far, and how much is under way.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.counters.snapshot()
    }

    /// How many computations are waited for in this process at this moment.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.shared.table.len()
    }

    fn no_key(&self, error: KeyError) -> Error {
        Error::new(self.shared.tag.as_str(), Failure::caused(ErrorKind::Key, error))
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

// The documentation shows the groups of methods in the order of the modules: this one stands last.
mod operating;

impl<C: Codec> Clone for MemoLock<C> {
    fn clone(&self) -> Self {
        Self {
            shared: Arc::clone(&self.shared),
            config: self.config,
            line: self.line.clone(),
            rules: Arc::clone(&self.rules),
        }
    }
}

impl<C: Codec> fmt::Debug for MemoLock<C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoLock")
            .field("tag", &self.shared.tag)
            .field("config", &self.config)
            .finish_non_exhaustive()
    }
}

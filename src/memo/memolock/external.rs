//! Promises that other programs resolve.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tracing::Instrument;

use super::MemoLock;
use crate::attached::{Attachment, attached};
use crate::codec::Codec;
use crate::error::{BoxError, Error, ErrorKind, Failure, StoreError};
use crate::key::{Address, Key, KeyError, Readable, Tag};
use crate::memo::compute::start_work;
use crate::memo::config::Config;
use crate::memo::join::{Caller, Obtained, Role};
use crate::memo::outcome::Outcome;
use crate::memo::path::Path;
use crate::memo::permit::Lead;
use crate::store::{Stamp, Store, Value};
use crate::task::{spawn, spawn_of};
use crate::trace;

impl<C: Codec> MemoLock<C> {
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
        let obtained = self.request_at(&address, request).instrument(span).await;
        obtained.map_err(|failure| Error::new(address.as_str(), failure))
    }

    async fn request_at<F, Fut, E>(&self, address: &Address, request: F) -> Result<C::Value, Failure>
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let aim = self.aim(address).await;
        let found = self.find(address, aim).await;
        let shared = &self.shared;
        let before = Path::current();
        let is_own = before.leads_over(&self.shared.store, address);
        let path = before.to(&self.shared.store, address);
        let request = Arc::new(request);
        let anew = |soft| self.request_anew(address, soft, path.clone(), Arc::clone(&request));
        let arrived = match found {
            Ok(found) => return Ok(self.answered(found, is_own, anew)),
            Err(arrived) => arrived,
        };
        if is_own {
            shared.asks_for_itself(address);
            return Err(ErrorKind::WaitTimeout.into());
        }
        let config = &Config {
            requests: true,
            aim,
            ..self.config
        };
        let mut patience = config.patience();
        let context = trace::computing_as(|| None);
        let caller = Caller { arrived, context };
        let mut obtained = shared.obtain(address, config, &mut patience, &caller).await;
        loop {
            trace::waited(patience.waited());
            trace::outcome(obtained.outcome());
            let lead = match obtained {
                Obtained::Told(Outcome::Ready(value), by) => {
                    trace::computed_by(by);
                    return Ok(value);
                }
                Obtained::Told(Outcome::Soft(found), _) => return Ok(self.answered(found, false, anew)),
                Obtained::Lead(lead) => lead,
                Obtained::Told(Outcome::Limited(limit), _) => return Err(ErrorKind::AtLimit(limit).into()),
                Obtained::Told(Outcome::Failed(failure), _) => return Err(self.rules.heard(address, failure)),
                Obtained::TimedOut => return Err(ErrorKind::WaitTimeout.into()),
                Obtained::Told(Outcome::Pass | Outcome::Stale | Outcome::Part(_), _)
                | Obtained::GaveUp(_)
                | Obtained::Turn(_) => return Err(ErrorKind::Abandoned.into()),
            };
            let mut attachment = None;
            let start = |lead| attachment = Some(self.begin(lead, address, path.clone(), Arc::clone(&request)));
            obtained = shared
                .step_down(lead, address, config, &mut patience, Role::Candidate, start)
                .await;
        }
    }

    /// Runs `request` in a task of its own, which is in the present span for as long as the attachment is kept.
    fn begin<F, Fut, E>(&self, lead: Lead<C::Value>, address: &Address, path: Path, request: Arc<F>) -> Attachment
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let (of, rules) = (address.clone(), Arc::clone(&self.rules));
        let failed = move |error| rules.failed::<E>(&of, error);
        let (work, attachment) = attached(address, path.run(start_work(lead, failed, request)));
        drop(spawn_of(work));
        attachment
    }

    /// Has a value that was softly invalidated at that time requested in the background, by one caller of the cluster.
    fn request_anew<F, Fut, E>(&self, address: &Address, soft_since: SystemTime, path: Path, request: Arc<F>)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let (of, rules) = (address.clone(), Arc::clone(&self.rules));
        let failed = move |error| rules.failed::<E>(&of, error);
        self.anew(address, soft_since, move |lead, span| {
            spawn(Box::pin(path.run(start_work(lead, failed, request)).instrument(span)));
        });
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
        let shared = &self.shared;
        let address = self
            .address(id)
            .map_err(|error| ResolveError::key(&shared.tag, error))?;
        let refused = |error| ResolveError::store(&address, error);
        let mut value = Value::native(&address, &shared.codec, value);
        if shared.stamps_all() {
            let generation = shared.store.generation(&shared.tag).await;
            value = value.stamped(Stamp::new(generation.map_err(refused)?, Vec::new()));
        }
        let resolved = shared.store.resolve(&address, &value, ttl).await;
        resolved.map_err(refused)?;
        shared.counters.stored.size(value.weight());
        Ok(())
    }
}

/// Why [`MemoLock::resolve`] did not do it.
///
/// Says what was to be resolved: `TAG:ID`, or `TAG` alone where the id cannot be a key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ResolveError {
    /// The id cannot be a key.
    #[error("{}: the id cannot be a key", Readable(.what))]
    Key {
        /// What was to be resolved.
        what: String,
        /// Why not.
        source: KeyError,
    },
    /// Whether the value was stored and published is unknown, unless the kind says that nothing was sent. Resolving
    /// once more is safe.
    #[error("{}: the store could not be told of the value", Readable(.what))]
    Store {
        /// What was to be resolved.
        what: String,
        /// Why not.
        source: StoreError,
    },
}

impl ResolveError {
    pub(crate) fn key(tag: &Tag, source: KeyError) -> Self {
        let what = tag.as_str().to_owned();
        Self::Key { what, source }
    }

    pub(crate) fn store(address: &Address, source: StoreError) -> Self {
        let what = address.as_str().to_owned();
        Self::Store { what, source }
    }
}

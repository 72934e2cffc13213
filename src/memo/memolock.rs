//! [`MemoLock`]: the core as users see it.

mod answer;
mod constructing;
mod ending;
mod external;
mod settings;

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use tokio::time::Instant;
use tracing::Instrument;

pub use self::external::ResolveError;
use super::compute::{compute_alone, compute_as_leader, run, run_alone};
use super::config::Config;
use super::flights::line::Line;
use super::join::{Caller, Obtained};
use super::limits::AtLimit;
use super::outcome::Outcome;
use super::path::Path;
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
        let computed = self.compute_at(&address, compute).instrument(span).await;
        computed.map_err(|failure| Error::new(address.as_str(), failure))
    }

    async fn compute_at<F, Fut, E>(&self, address: &Address, compute: F) -> Result<C::Value, Failure>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<C::Value, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        let before = Path::current();
        let is_own = before.leads_over(&self.shared.store, address);
        let path = before.to(&self.shared.store, address);
        let config = Config {
            aim: self.aim(address).await,
            ..self.config
        };
        let arrived = match self.find(address, config.aim).await {
            Ok(found) => {
                return Ok(self.answered(found, is_own, |soft| self.compute_anew(address, soft, path, compute)));
            }
            Err(arrived) => arrived,
        };
        if is_own {
            self.shared.asks_for_itself(address);
            trace::outcome("bypassed");
            return run_alone(address, path, compute_alone(compute)).await;
        }
        // Values are not recorded.
        let has_room = || true;
        let mut patience = config.patience();
        let context = trace::computing_as(|| None);
        let mut caller = Caller { arrived, context };
        let obtained = self.obtain(address, &config, &mut patience, &mut caller, has_room);
        let obtained = obtained.await;
        trace::waited(patience.waited());
        trace::outcome(obtained.outcome());
        self.compute_as(obtained, address, path, &config, compute).await
    }

    /// The result for a caller that has obtained this: the value, or what the caller computes as a leader or by itself.
    async fn compute_as<F, Fut, E>(
        &self,
        obtained: Obtained<C::Value>,
        address: &Address,
        path: Path,
        config: &Config,
        compute: F,
    ) -> Result<C::Value, Failure>
    where
        F: FnOnce() -> Fut + Send + 'static,
        Fut: Future<Output = Result<C::Value, E>> + Send + 'static,
        E: Into<BoxError> + 'static,
    {
        match obtained {
            Obtained::Told(Outcome::Soft(found), _) => {
                Ok(self.answered(found, false, |soft| self.compute_anew(address, soft, path, compute)))
            }
            Obtained::Told(Outcome::Ready(value), by) => {
                trace::computed_by(by);
                Ok(value)
            }
            Obtained::Lead(mut lead) => {
                let (shared, of) = (Arc::clone(&self.shared), address.clone());
                let (rules, config) = (Arc::clone(&self.rules), *config);
                let (_client, stop) = lead.custody();
                let computation = async move {
                    let lead = shared.started(lead, &of, &config).await;
                    compute_as_leader(lead, &of, &rules, config.ttl, compute).await
                };
                run(address, path, stop, computation).await
            }
            Obtained::Told(Outcome::Limited(limit), _) => match config.limits.at_limit {
                AtLimit::Bypass => run_alone(address, path, compute_alone(compute)).await,
                AtLimit::Refuse { .. } | AtLimit::Queue(_) => Err(ErrorKind::AtLimit(limit).into()),
            },
            Obtained::Turn(turn) => {
                let in_turn = async move {
                    let _turn = turn;
                    compute_alone(compute).await
                };
                run_alone(address, path, in_turn).await
            }
            Obtained::Told(Outcome::Failed(failure), _) => Err(self.rules.heard(address, failure)),
            Obtained::TimedOut if !config.wait_timeout.is_zero() => Err(ErrorKind::WaitTimeout.into()),
            Obtained::TimedOut => run_alone(address, path, compute_alone(compute)).await,
            // The others found nothing to share, or came to no end: the caller does not wait for them any more.
            Obtained::Told(Outcome::Pass | Outcome::Stale | Outcome::Part(_), _) | Obtained::GaveUp(_) => {
                run_alone(address, path, compute_alone(compute)).await
            }
        }
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
            let found = match self.shared.peek(&address, Instant::now()) {
                Some(found) => self.fresh(Some(found)),
                None => self.fresh(self.shared.lookup(&address).await),
            };
            trace::outcome(found.as_ref().map_or("miss", |_| "hit"));
            found
        };
        Ok(looking.instrument(trace::lookup(Some(&address))).await)
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

    /// The tag, for an error.
    pub(super) fn tag(&self) -> String {
        self.shared.tag.as_str().to_owned()
    }

    pub(super) fn no_key(&self, error: KeyError) -> Error {
        Error::new(self.shared.tag.as_str(), Failure::caused(ErrorKind::Key, error))
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

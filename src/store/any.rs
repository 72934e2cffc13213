//! [`AnyStore`]: a store whose type is not known.

use std::any::{Any, TypeId};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use super::{Acquire, Generation, Notice, Release, Renewed, Stamp, Standing, Store, Token, Value, Watch};
use crate::counter::{Buckets, Figure, Histogram, Metric, Sample, Visit};
use crate::error::StoreError;
use crate::key::{Address, Label, Tag};
use crate::task::BoxFuture;

/// Any [`Store`], chosen while the program runs: Redis in production, say, and memory in development.
///
/// It costs one allocation for each operation that waits, which is little beside what a network costs.
/// A clone is another handle on the same store.
///
/// ```
/// # #[cfg(all(feature = "memory", feature = "redis"))] {
/// use tower_memolock::{AnyStore, MemoryStore, RedisStore, Store, StoreError};
///
/// async fn open(redis_url: Option<&str>) -> Result<AnyStore, StoreError> {
///     Ok(match redis_url {
///         Some(url) => RedisStore::connect(url).await?.into_any(),
///         None => MemoryStore::new().into_any(),
///     })
/// }
/// # }
/// ```
#[derive(Clone)]
pub struct AnyStore {
    store: Arc<dyn Erased>,
    can_peek: bool,
    /// The counters of a tag, where the store is used under one.
    times: Option<Arc<CommandTimes>>,
}

/// The notices of an [`AnyStore`] about one address.
pub struct AnyWatch(Box<dyn ErasedWatch>);

const SECONDS: &str = "memolock_store_command_seconds";
const HELP: &str = "How long commands of the store took.";

/// The operations that wait, each with its arguments, by reference where `(&)` says so.
///
/// Written once for the trait behind the pointer, for every store behind it, and for the pointer itself.
macro_rules! operations {
    ($(fn $name:ident($($arg:ident: ($($by:tt)?) $ty:ty),*) -> $out:ty;)*) => {
        /// [`Store`] without generic types.
        trait Erased: Send + Sync {
            fn peek(&self, address: &Address, now: Instant) -> Option<Value>;
            fn watch(&self, address: &Address) -> AnyWatch;
            fn is_near(&self) -> bool;
            fn epoch(&self) -> u64;
            fn accepts(&self, address: &Address) -> bool;
            fn as_any(&self) -> &dyn Any;
            $(fn $name<'a>(&'a self, $($arg: $($by 'a)? $ty,)* times: Option<&'a Histogram>) -> BoxFuture<'a, $out>;)*
        }

        impl<S: Store> Erased for S {
            fn peek(&self, address: &Address, now: Instant) -> Option<Value> {
                Store::peek(self, address, now)
            }

            fn watch(&self, address: &Address) -> AnyWatch {
                AnyWatch(Box::new(Store::watch(self, address)))
            }

            fn is_near(&self) -> bool {
                Store::is_near(self)
            }

            fn epoch(&self) -> u64 {
                Store::epoch(self)
            }

            fn accepts(&self, address: &Address) -> bool {
                Store::accepts(self, address)
            }

            fn as_any(&self) -> &dyn Any {
                self
            }

            $(fn $name<'a>(&'a self, $($arg: $($by 'a)? $ty,)* times: Option<&'a Histogram>) -> BoxFuture<'a, $out> {
                Box::pin(measured(times, Store::$name(self, $($arg),*)))
            })*
        }

        impl Store for AnyStore {
            type Watch = AnyWatch;

            fn peek(&self, address: &Address, now: Instant) -> Option<Value> {
                self.store.peek(address, now)
            }

            fn watch(&self, address: &Address) -> AnyWatch {
                self.store.watch(address)
            }

            fn can_peek(&self) -> bool {
                self.can_peek
            }

            fn is_near(&self) -> bool {
                self.store.is_near()
            }

            fn epoch(&self) -> u64 {
                self.store.epoch()
            }

            fn accepts(&self, address: &Address) -> bool {
                self.store.accepts(address)
            }

            fn into_any(self) -> Self {
                self
            }

            $(async fn $name(&self, $($arg: $($by)? $ty),*) -> $out {
                let times = self.times.as_ref().map(|times| &times.$name);
                self.store.$name($($arg,)* times).await
            })*
        }

        /// How long each kind of command takes.
        struct CommandTimes {
            tag: Tag,
            $($name: Histogram,)*
        }

        impl CommandTimes {
            fn new(tag: &Tag) -> Self {
                Self {
                    tag: tag.clone(),
                    $($name: Histogram::new(
                        Metric { name: SECONDS, help: HELP, labels: &[("tag", tag.as_str()), ("command", stringify!($name))] },
                        Buckets::SECONDS,
                    ),)*
                }
            }

            fn visit(&self, each: Visit<'_>) {
                $(each(Sample {
                    metric: Metric {
                        name: SECONDS,
                        help: HELP,
                        labels: &[("tag", self.tag.as_str()), ("command", stringify!($name))],
                    },
                    figure: Figure::Histogram(self.$name.distribution()),
                });)*
            }
        }
    };
}

operations! {
    fn lookup(address: (&) Address) -> Result<Option<Value>, StoreError>;
    fn part(address: (&) Address, range: () Range<usize>) -> Result<Option<Bytes>, StoreError>;
    fn acquire(address: (&) Address, token: () Token, lease: () Duration) -> Result<Acquire, StoreError>;
    fn renew(address: (&) Address, token: () Token, lease: () Duration) -> Result<Renewed, StoreError>;
    fn defer(address: (&) Address, token: () Token, lease: () Duration, starts: () u32) -> Result<bool, StoreError>;
    fn resolve(address: (&) Address, value: (&) Value, ttl: () Duration) -> Result<(), StoreError>;
    fn commit(address: (&) Address, token: () Token, value: (&) Value, ttl: () Duration) -> Result<bool, StoreError>;
    fn release(address: (&) Address, token: () Token, reason: () Release) -> Result<bool, StoreError>;
    fn mark(address: (&) Address, token: () Token, marker: (&) Value, ttl: () Duration) -> Result<bool, StoreError>;
    fn kept(address: (&) Address, token: () Token) -> Result<Option<Value>, StoreError>;
    fn unmark(address: (&) Address, marker: (&) Value) -> Result<(), StoreError>;
    fn invalidate(address: (&) Address) -> Result<(), StoreError>;
    fn soften(address: (&) Address) -> Result<(), StoreError>;
    fn generation(tag: (&) Tag) -> Result<Generation, StoreError>;
    fn begin_generation(tag: (&) Tag) -> Result<Generation, StoreError>;
    fn standing(tag: (&) Tag, stamp: (&) Stamp) -> Result<Standing, StoreError>;
    fn invalidate_labels(tag: (&) Tag, labels: (&) [Label]) -> Result<(), StoreError>;
    fn invalidate_all(tag: (&) Tag) -> Result<(), StoreError>;
    fn soften_labels(tag: (&) Tag, labels: (&) [Label]) -> Result<(), StoreError>;
    fn soften_all(tag: (&) Tag) -> Result<(), StoreError>;
    fn settle() -> usize;
}

/// What `answer` comes to. `times` hears how long that takes.
async fn measured<T>(times: Option<&Histogram>, answer: impl Future<Output = T>) -> T {
    let asked = times.map(|times| (times, Instant::now()));
    let answer = answer.await;
    if let Some((times, asked)) = asked {
        times.time(asked.elapsed());
    }
    answer
}

/// [`Watch`] without generic types.
trait ErasedWatch: Send {
    fn next(&mut self) -> BoxFuture<'_, Notice>;
}

impl AnyStore {
    /// Hides the type of `store`, for [`Store::into_any`].
    pub fn new(store: impl Store) -> Self {
        Self {
            can_peek: store.can_peek(),
            store: Arc::new(store),
            times: None,
        }
    }

    /// The same store, which counts how long commands for this tag take.
    pub(crate) fn timed(self, tag: &Tag) -> Self {
        Self {
            times: Some(Arc::new(CommandTimes::new(tag))),
            ..self
        }
    }

    /// The type of the store inside.
    pub(crate) fn kind(&self) -> TypeId {
        self.store.as_any().type_id()
    }

    /// The store inside, if it has this type.
    #[cfg(feature = "redis")]
    pub(crate) fn downcast_ref<S: Store>(&self) -> Option<&S> {
        self.store.as_any().downcast_ref()
    }

    /// Shows how long commands take.
    pub(crate) fn visit(&self, each: Visit<'_>) {
        if let Some(times) = &self.times {
            times.visit(each);
        }
    }
}

impl<W: Watch> ErasedWatch for W {
    fn next(&mut self) -> BoxFuture<'_, Notice> {
        Box::pin(Watch::next(self))
    }
}

impl Watch for AnyWatch {
    async fn next(&mut self) -> Notice {
        self.0.next().await
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyStore").finish_non_exhaustive()
    }
}

impl fmt::Debug for AnyWatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyWatch").finish_non_exhaustive()
    }
}

//! [`Path`]: what is being computed on the way to here, outermost first.
//!
//! A computation that asks for its own result, directly or through others, would wait for itself. So each computation
//! runs with the path to it. What it asks for is computed without waiting if it is on that path.
//!
//! All that runs in the task of a computation knows the path. A task that the computation spawns does not.

use std::any::TypeId;
use std::future::Future;
use std::sync::Arc;

use crate::key::Address;
use crate::store::AnyStore;

tokio::task_local! {
    static PATH: Path;
}

/// What is being computed on the way to here.
#[derive(Clone, Default)]
pub(crate) struct Path(Option<Arc<PathStep>>);

struct PathStep {
    /// The locks of different stores do not get in each other's way.
    store: TypeId,
    address: Address,
    before: Path,
}

impl Path {
    /// The path to what runs in this task.
    pub(crate) fn current() -> Self {
        PATH.try_with(Clone::clone).unwrap_or_default()
    }

    /// Whether `address` is on the path to what runs in this task.
    #[inline]
    pub(crate) fn current_leads_over(store: &AnyStore, address: &Address) -> bool {
        PATH.try_with(|path| path.leads_over(store, address)).unwrap_or(false)
    }

    /// How many steps it has.
    pub(crate) fn len(&self) -> usize {
        std::iter::successors(self.0.as_ref(), |step| step.before.0.as_ref()).count()
    }

    /// The path one step further.
    pub(crate) fn to(self, store: &AnyStore, address: &Address) -> Self {
        Self(Some(Arc::new(PathStep {
            store: store.kind(),
            address: address.clone(),
            before: self,
        })))
    }

    /// Whether `address` is on the path.
    pub(crate) fn leads_over(&self, store: &AnyStore, address: &Address) -> bool {
        let mut path = self;
        while let Some(step) = &path.0 {
            if step.store == store.kind() && step.address == *address {
                return true;
            }
            path = &step.before;
        }
        false
    }

    /// Runs `future`, to which this is the path.
    pub(crate) fn run<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        PATH.scope(self, future)
    }
}

//! [`OwnLease`]: how a computation comes by its own [`Lease`].

use std::sync::{Arc, Mutex, PoisonError};

use super::{Handed, Lease};

tokio::task_local! {
    static OWN: OwnLease;
}

/// The lease of the computation that runs in this task.
#[derive(Clone)]
pub(crate) struct OwnLease(Arc<Mutex<OwnLeaseState>>);

enum OwnLeaseState {
    /// The keeper renews it, until this tells it not to.
    Kept(Option<Box<dyn FnOnce(Handed) + Send>>),
    Taken(Lease),
}

impl OwnLease {
    /// `hand_over` tells the keeper.
    pub(crate) fn new(hand_over: impl FnOnce(Handed) + Send + 'static) -> Self {
        Self(Arc::new(Mutex::new(OwnLeaseState::Kept(Some(Box::new(hand_over))))))
    }

    /// Runs the computation whose lease this is.
    pub(crate) fn run<F: Future>(self, computation: F) -> impl Future<Output = F::Output> {
        OWN.scope(self, computation)
    }

    fn take(&self) -> Lease {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let hand_over = match &mut *state {
            OwnLeaseState::Taken(lease) => return lease.clone(),
            OwnLeaseState::Kept(hand_over) => hand_over.take(),
        };
        let (lease, handed) = Lease::new();
        if let Some(hand_over) = hand_over {
            hand_over(handed);
        }
        *state = OwnLeaseState::Taken(lease.clone());
        lease
    }
}

impl Lease {
    /// The lease of the computation that asks, which only the computation renews from here on.
    ///
    /// The lease lasts as long as the [setting](crate::MemoLock::lease) says, counted from its last renewal, and the
    /// computation [extends](Self::extend) it. Once the lease has ended, another caller takes over, here or elsewhere.
    /// Nothing of the computation is stored or shared then; its result goes to its own caller alone. So a computation
    /// that stands still keeps others waiting no longer than it asked for.
    /// [`max_computation`](crate::Limits::max_computation) does not apply to the computation any more.
    ///
    /// The lease is known in the task of a computation of [`get_or_compute`](crate::MemoLock::get_or_compute).
    /// Elsewhere, in a task that the computation spawns for instance, this returns a lease that does not end.
    ///
    /// ```
    /// use std::time::Duration;
    ///
    /// use tower_memolock::{Lease, LeaseError, MemoLock, MemoryStore};
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() {
    /// let reports = MemoLock::new(MemoryStore::new(), "report");
    /// let report = reports
    ///     .get_or_compute("42", || async {
    ///         let lease = Lease::take().await;
    ///         let mut pages = Vec::new();
    ///         for page in 1..=3 {
    ///             // Five more seconds for each page, or the followers stop waiting.
    ///             lease.extend(Duration::from_secs(5)).await?;
    ///             pages.push(format!("page {page}"));
    ///         }
    ///         Ok::<_, LeaseError>(pages.join(", ").into())
    ///     })
    ///     .await
    ///     .unwrap();
    /// assert_eq!(report, "page 1, page 2, page 3");
    /// # }
    /// ```
    pub async fn take() -> Self {
        match OWN.try_with(OwnLease::take) {
            Ok(lease) => lease.begun().await,
            Err(_) => Self::endless(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::memo::leases::lease::LeaseEnd;

    #[tokio::test]
    async fn a_computation_takes_its_lease_from_the_keeper_once() {
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        let own = OwnLease::new(move |handed| {
            handed.end.send_replace(LeaseEnd::Never);
            sender.send(handed).unwrap();
        });
        let (first, second) = own.run(async { (Lease::take().await, Lease::take().await) }).await;
        assert_eq!((first.remaining(), second.remaining()), (Duration::MAX, Duration::MAX));
        // Both are of the keeper that was told, and end with it.
        drop(told.recv().await.unwrap());
        assert!(told.recv().await.is_none());
        assert_eq!(
            (first.remaining(), second.remaining()),
            (Duration::ZERO, Duration::ZERO)
        );
    }
}

//! [`shutdown`]: when the program is asked to stop; [`overdue`]: when it has to.
//!
//! Both listen from the call on, not from the first poll: a program that calls them before it says that it runs misses
//! nothing.

use std::future::Future;
use std::time::Duration;

/// How long requests under way may take once the program was asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How long computations under way keep their leases once the program was asked to stop. Those that take longer are taken
/// over by another process, and still have the rest of the time to answer their own clients.
pub const GRACE_OF_LEASES: Duration = Duration::from_secs(5);

/// Resolves at Ctrl-C or SIGTERM.
pub fn shutdown() -> impl Future<Output = ()> + Send {
    let mut signals = Signals::new();
    async move { signals.next().await }
}

/// Resolves when the program has been asked to stop and cannot wait for its clients any longer: ten seconds later, or
/// when it is asked again.
pub fn overdue() -> impl Future<Output = ()> + Send {
    let mut signals = Signals::new();
    async move {
        signals.next().await;
        tokio::select! {
            () = signals.next() => {}
            () = tokio::time::sleep(GRACE) => {}
        }
    }
}

#[cfg(unix)]
struct Signals(Vec<tokio::signal::unix::Signal>);

#[cfg(unix)]
impl Signals {
    fn new() -> Self {
        use tokio::signal::unix::{SignalKind, signal};

        // Where there is no handler, the signal ends the program as it would any other.
        let kinds = [SignalKind::interrupt(), SignalKind::terminate()];
        Self(kinds.into_iter().filter_map(|kind| signal(kind).ok()).collect())
    }

    async fn next(&mut self) {
        std::future::poll_fn(|cx| {
            if self.0.iter_mut().any(|signal| signal.poll_recv(cx).is_ready()) {
                return std::task::Poll::Ready(());
            }
            std::task::Poll::Pending
        })
        .await;
    }
}

#[cfg(not(unix))]
struct Signals;

#[cfg(not(unix))]
impl Signals {
    fn new() -> Self {
        Self
    }

    async fn next(&mut self) {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

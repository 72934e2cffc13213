//! [`print_stats`]: what goes on, when the operator asks.

use tower_memolock::Stats;

/// Prints what `stats` says whenever the program gets a SIGUSR1, on one line.
#[cfg(unix)]
pub fn print_stats(stats: impl Fn() -> Stats + Send + 'static) {
    use tokio::signal::unix::{SignalKind, signal};

    let Ok(mut asked) = signal(SignalKind::user_defined1()) else {
        return;
    };
    tokio::spawn(async move {
        while asked.recv().await.is_some() {
            super::println!("{:?}", stats());
        }
    });
}

#[cfg(not(unix))]
pub fn print_stats(_: impl Fn() -> Stats + Send + 'static) {}

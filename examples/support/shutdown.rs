//! [`shutdown`]: when the program is asked to stop; [`overdue`]: when it has to.

use std::time::Duration;

/// How long requests under way may take once the program was asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// Resolves at Ctrl-C or SIGTERM. Called again, it waits for the next one.
pub(crate) async fn shutdown() {
    let ctrl_c = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    tokio::select! {
        () = ctrl_c => {}
        () = terminate() => {}
    }
}

/// Resolves when the program has been asked to stop and cannot wait for its clients any longer: ten seconds later, or
/// when it is asked again.
pub(crate) async fn overdue() {
    shutdown().await;
    tokio::select! {
        () = shutdown() => {}
        () = tokio::time::sleep(GRACE) => {}
    }
}

#[cfg(unix)]
async fn terminate() {
    use tokio::signal::unix::{SignalKind, signal};

    match signal(SignalKind::terminate()) {
        Ok(mut signal) => {
            signal.recv().await;
        }
        Err(_) => std::future::pending().await,
    }
}

#[cfg(not(unix))]
async fn terminate() {
    std::future::pending().await
}

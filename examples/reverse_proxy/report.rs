//! [`Report`]: what shadow mode and verified hits have told so far, as JSON on standard output.

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use serde_json::Value;
use tower::ServiceExt;
use tower_memolock::{Admin, MemoLockLayer};

/// What there is to report, for operators who have no page to look at.
#[derive(Clone)]
pub(crate) struct Report(Admin<Empty<Bytes>>);

impl Report {
    pub(crate) fn of(layer: &MemoLockLayer) -> Self {
        Self(Admin::new().layer(layer))
    }

    /// Prints it, on one line.
    pub(crate) async fn print(&self) {
        if let Some(report) = self.read().await {
            support::println!("{report}");
        }
    }

    /// Prints it whenever the program gets a SIGUSR1.
    #[cfg(unix)]
    pub(crate) fn print_when_asked(&self) {
        use tokio::signal::unix::{SignalKind, signal};

        let Ok(mut asked) = signal(SignalKind::user_defined1()) else {
            return;
        };
        let report = self.clone();
        tokio::spawn(async move {
            while asked.recv().await.is_some() {
                report.print().await;
            }
        });
    }

    #[cfg(not(unix))]
    pub(crate) fn print_when_asked(&self) {}

    /// What the admin service says of it.
    async fn read(&self) -> Option<Value> {
        let request = Request::get("/state.json").body(Empty::new()).ok()?;
        let Ok(response) = self.0.clone().oneshot(request).await;
        let body = response.into_body().collect().await.ok()?.to_bytes();
        let state: Value = serde_json::from_slice(&body).ok()?;
        let told = ["shadow", "verify"].map(|name| (name.to_owned(), state[name].clone()));
        Some(told.into_iter().collect())
    }
}

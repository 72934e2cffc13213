//! The page: HTML, what the buttons call, and the events that keep it up to date.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use bytes::Bytes;
use http_body::Frame;
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};

use super::board::Board;
use super::stage::Stage;
use super::state::Seen;

/// How far apart events are at least.
const PACE: Duration = Duration::from_millis(100);

/// How far apart they are at most: the age of what is stored goes on by itself.
const AT_LEAST: Duration = Duration::from_secs(1);

/// All that a browser asks for.
pub(crate) fn routes(stage: Stage) -> Router {
    Router::new()
        .route("/", get(page))
        .route("/events", get(events))
        .route("/api/state", get(state))
        .route("/api/{button}", post(press))
        .with_state(Arc::new(stage))
}

async fn page() -> impl IntoResponse {
    let policy =
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; connect-src 'self'; img-src data:";
    ([(CONTENT_SECURITY_POLICY, policy)], Html(include_str!("page.html")))
}

async fn state(State(stage): State<Arc<Stage>>) -> impl IntoResponse {
    now(&stage)
}

fn now(stage: &Stage) -> impl IntoResponse + use<> {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (headers, stage.board.to_json().to_string())
}

/// Presses a button, and says what is so then.
async fn press(State(stage): State<Arc<Stage>>, Path(button): Path<String>, headers: HeaderMap) -> Response {
    // Another site that this browser has open has no business here.
    let site = headers
        .get("sec-fetch-site")
        .map_or(&b"none"[..], |site| site.as_bytes());
    if !matches!(site, b"same-origin" | b"none") {
        return StatusCode::FORBIDDEN.into_response();
    }
    match stage.act(&button).await {
        true => now(&stage).into_response(),
        false => (StatusCode::NOT_FOUND, format!("there is no button {button:?}\n")).into_response(),
    }
}

async fn events(State(stage): State<Arc<Stage>>) -> impl IntoResponse {
    let (send, events) = mpsc::channel(1);
    tokio::spawn(tell(Arc::clone(&stage.board), send));
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    (headers, Body::new(Events(events)))
}

/// Tells one browser of all changes until it is gone, at the speed at which it reads.
async fn tell(board: Arc<Board>, send: mpsc::Sender<Bytes>) {
    let mut changes = board.watch();
    let mut seen = Seen::default();
    loop {
        // No change, too, is worth an event now and then.
        let _ = timeout(AT_LEAST, changes.changed()).await;
        let event = board.event(&mut seen);
        if send.send(format!("data: {event}\n\n").into()).await.is_err() {
            return;
        }
        sleep(PACE).await;
    }
}

/// A body of events.
struct Events(mpsc::Receiver<Bytes>);

impl http_body::Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|event| Some(Ok(Frame::data(event?))))
    }
}

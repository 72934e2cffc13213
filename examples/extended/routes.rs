//! Paths, and what an answer looks like: the value to the letter, or the reason why there is none.

use axum::Router;
use axum::extract::{Path, State};
use axum::http::{StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use tower_memolock::{Error, ErrorKind};

use super::resources::Resources;
use support::causes;

/// All of them.
pub(crate) fn all(resources: Resources) -> Router {
    Router::new()
        .route("/query/simple/{id}", get(query))
        .route("/report/renewable/{id}", get(report))
        .route("/report/oh-no/{id}", get(late_report))
        .route("/ext/stemmer/{word}", get(stem))
        .route("/ext/joke", get(joke))
        .fallback(nothing)
        .with_state(resources)
}

async fn query(State(resources): State<Resources>, Path(id): Path<String>) -> Response {
    answer(resources.query(id).await)
}

async fn report(State(resources): State<Resources>, Path(id): Path<String>) -> Response {
    answer(resources.report(id).await)
}

async fn late_report(State(resources): State<Resources>, Path(id): Path<String>) -> Response {
    answer(resources.late_report(id).await)
}

async fn stem(State(resources): State<Resources>, Path(word): Path<String>) -> Response {
    // It becomes an argument of another program.
    if word.contains(char::is_control) {
        return (StatusCode::BAD_REQUEST, "not a word").into_response();
    }
    answer(resources.stem(word).await)
}

async fn joke(State(resources): State<Resources>) -> Response {
    answer(resources.joke().await)
}

async fn nothing(uri: Uri) -> Response {
    let text = format!("nothing at {}: try /query/simple/42", uri.path());
    (StatusCode::NOT_FOUND, text).into_response()
}

/// The value to the letter, as the text that it most likely is, or the reason why there is none.
fn answer(result: Result<Bytes, Error>) -> Response {
    let error = match result {
        Ok(value) => return (TEXT, value).into_response(),
        Err(error) => error,
    };
    let status = match error.kind() {
        ErrorKind::Key => StatusCode::BAD_REQUEST,
        ErrorKind::WaitTimeout => StatusCode::GATEWAY_TIMEOUT,
        ErrorKind::AtLimit(_) => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::INTERNAL_SERVER_ERROR,
    };
    (status, causes(&error)).into_response()
}

const TEXT: [(&str, &str); 1] = [("content-type", "text/plain; charset=utf-8")];

//! What `Cache-Status` says of a response that is not stored, or a request that is not collapsed.

use super::*;

/// What the layer says of a request to a handler that answers with this status and field.
async fn told(request: Request, status: u16, name: &'static str, value: &'static str) -> String {
    let answer = move || async move { (StatusCode::from_u16(status).expect("a status"), [(name, value)], "text") };
    let app = Router::new()
        .fallback(answer)
        .layer(MemoLockLayer::new(MemoryStore::new(), "told").cache_status(CacheStatus::Outcome));
    let answer = within("a response", app.oneshot(request)).await.expect("infallible");
    let told = answer.headers()["cache-status"].to_str().expect("text");
    told.strip_prefix("memolock; ").expect("the member").to_owned()
}

#[tokio::test(start_paused = true)]
async fn cache_status_says_why_a_response_is_not_stored() {
    for (status, name, value, expected) in [
        (200, "cache-control", "max-age=60", "stored; detail=absent"),
        (200, "x-nothing", "said", "detail=no-freshness"),
        (200, "cache-control", "max-age=0", "detail=no-freshness"),
        (200, "cache-control", "private", "detail=private"),
        (200, "cache-control", "no-store", "detail=no-store"),
        (200, "cache-control", "no-cache", "detail=no-cache"),
        (200, "cache-control", "max-age=60, x=\"y", "detail=malformed"),
        (200, "set-cookie", "a=b", "detail=set-cookie"),
        (200, "vary", "*", "detail=vary"),
        (200, "content-type", "text/event-stream", "detail=endless"),
        (206, "x-nothing", "said", "detail=status"),
        (302, "location", "/", "detail=unconfirmed"),
        (404, "x-nothing", "said", "detail=no-freshness"),
        (429, "x-nothing", "said", "detail=unconfirmed"),
        (503, "x-nothing", "said", "detail=failure"),
    ] {
        let request = Request::get("/").body(axum::body::Body::empty()).expect("a request");
        let told = told(request, status, name, value).await;
        assert_eq!(told, format!("fwd=uri-miss; {expected}"), "{status} {name}: {value}");
    }
}

#[tokio::test(start_paused = true)]
async fn cache_status_says_why_a_request_is_not_collapsed() {
    for (method, name, value, body, expected) in [
        ("POST", "x-nothing", "said", "", "fwd=method; detail=method"),
        (
            "GET",
            "x-nothing",
            "said",
            "a body",
            "fwd=bypass; detail=body-not-in-key",
        ),
        (
            "GET",
            "cache-control",
            "no-store",
            "",
            "fwd=bypass; detail=request-no-store",
        ),
        (
            "GET",
            "cache-control",
            "no-cache",
            "",
            "fwd=uri-miss; stored; detail=absent",
        ),
        ("GET", "if-match", "\"a\"", "", "fwd=bypass; detail=conditional"),
        ("GET", "expect", "100-continue", "", "fwd=bypass; detail=protocol"),
        (
            "GET",
            "x-http-method-override",
            "PUT",
            "",
            "fwd=bypass; detail=method-override",
        ),
        ("GET", "host", "not a host", "", "fwd=bypass; detail=no-key"),
        ("GET", "cookie", "a=b", "", "fwd=uri-miss; detail=credentials"),
        (
            "GET",
            "authorization",
            "Bearer secret",
            "",
            "fwd=uri-miss; detail=credentials",
        ),
        ("HEAD", "x-nothing", "said", "", "fwd=uri-miss; detail=head"),
        ("HEAD", "cookie", "a=b", "", "fwd=bypass; detail=credentials"),
    ] {
        let request = Request::builder().method(method).uri("/").header(name, value);
        let request = request.body(axum::body::Body::from(body)).expect("a request");
        let told = told(request, 200, "cache-control", "max-age=60").await;
        assert_eq!(told, expected, "{method} {name}: {value}");
    }
}

//! `POST /invalidate`.

use std::time::Duration;

use http::Method;
use tower_memolock::middleware::Freshness;
use tower_memolock::{Admin, MemoLockLayer, MemoryStore};

use super::site::Site;
use crate::support::{HttpClient, RedisServer, within};

#[tokio::test]
async fn a_url_is_forgotten_in_all_forms_in_which_clients_ask_for_it() {
    let site = Site::start(MemoryStore::new()).await;
    // Over HTTP/2, a request tells the scheme.
    let http2 = HttpClient::http2();
    let both = async || {
        let other = http2.get(&site.url("/a?b=%20c")).await.expect("an answer");
        (site.text("/a?b=%20c").await, other.text().to_owned())
    };
    let mut before = both().await;
    let untouched = site.text("/a").await;
    let absolute = site.url("/a?b=%2520c").replace(':', "%3A").replace('?', "%3F");
    for url in ["/a?b=%2520c".replace('?', "%3F"), absolute] {
        assert_eq!(both().await, before);
        let answer = site.post(&format!("/memolock/invalidate?url={url}")).await;
        assert_eq!(
            (answer.status, answer.text()),
            (200, "Invalidated on every node: site.\n")
        );
        let after = both().await;
        assert!(
            after.0 != before.0 && after.1 != before.1,
            "{url}: {before:?}, {after:?}"
        );
        before = after;
    }
    assert_eq!(site.text("/a").await, untouched);
}

#[tokio::test]
async fn a_tag_is_forgotten_and_so_is_everything_where_all_is_stamped() {
    let layer = MemoLockLayer::new(MemoryStore::new(), "site")
        .ttl(Duration::from_secs(60))
        .freshness(Freshness::new().stamped(true));
    let site = Site::with(layer, async || {}).await;
    for (query, reaches) in [("tag=others", false), ("tag=numbers", true), ("all=1", true)] {
        let before = site.text("/a").await;
        let answer = site.post(&format!("/memolock/invalidate?{query}")).await;
        assert_eq!(answer.status, 200, "{answer}");
        assert_eq!(site.text("/a").await != before, reaches, "{query}");
    }
}

#[tokio::test]
async fn what_a_layer_cannot_do_is_told() {
    let site = Site::start(MemoryStore::new()).await;
    let before = site.text("/a").await;
    let answer = site.post("/memolock/invalidate?all=1").await;
    assert_eq!(
        (answer.status, answer.text()),
        (501, "site: not every value is stamped\n")
    );
    for query in [
        "",
        "?",
        "?url=",
        "?url=a",
        "?tag=",
        "?all=0",
        "?all=1&tag=a",
        "?url=/a&b=c",
        "?url=%2",
    ] {
        let answer = site.post(&format!("/memolock/invalidate{query}")).await;
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (400, vec!["text/plain; charset=utf-8"])
        );
        assert!(answer.text().ends_with(".\n"), "{query}: {}", answer.text());
    }
    assert_eq!(site.text("/a").await, before);
}

#[tokio::test]
async fn a_page_of_another_site_is_not_obeyed() {
    let site = Site::start(MemoryStore::new()).await;
    let own = site.url("");
    let before = site.text("/a").await;
    for fields in [
        &[("sec-fetch-site", "cross-site"), ("origin", &own)][..],
        &[("sec-fetch-site", "same-site")],
        &[("origin", "http://evil.example")],
        &[("origin", "null")],
        &[("origin", "http://127.0.0.1")],
    ] {
        let answer = site.send(Method::POST, "/memolock/invalidate?url=/a", fields).await;
        assert_eq!(answer.status, 403, "{fields:?}");
    }
    assert_eq!(site.text("/a").await, before);
    for fields in [
        &[("sec-fetch-site", "same-origin"), ("origin", &own)][..],
        &[("origin", &own)],
    ] {
        let before = site.text("/a").await;
        let answer = site.send(Method::POST, "/memolock/invalidate?url=/a", fields).await;
        assert_eq!(answer.status, 200, "{fields:?}");
        assert_ne!(site.text("/a").await, before);
    }
}

#[tokio::test]
async fn a_store_that_cannot_be_told_is_a_503_with_the_reason() {
    let mut redis = RedisServer::start();
    let store = redis.store().await;
    let layer = MemoLockLayer::new(store, "site")
        .ttl(Duration::from_secs(60))
        .freshness(Freshness::new().stamped(true));
    let site = Site::with(layer, async || {}).await;
    site.get("/a").await;
    redis.kill();
    for query in ["url=/a", "tag=numbers", "all=1"] {
        let answer = site.post(&format!("/memolock/invalidate?{query}")).await;
        assert_eq!(answer.status, 503, "{query}: {answer}");
        assert!(
            answer.text().contains("the store could not be told"),
            "{}",
            answer.text()
        );
    }
    let page = within("the page", site.get("/memolock/")).await;
    assert!(page.text().contains("Redis is out of reach"), "{}", page.text());
    assert_eq!(site.state().await["redis"][0]["connected"], false);
}

#[tokio::test]
async fn fields_that_keys_cover_are_those_of_the_request() {
    let layer = MemoLockLayer::new(MemoryStore::new(), "site")
        .ttl(Duration::from_secs(60))
        .key_headers(["x-tenant"]);
    let site = Site::with(layer, async || {}).await;
    let of = async |tenant| {
        site.send(Method::GET, "/a", &[("x-tenant", tenant)])
            .await
            .text()
            .to_owned()
    };
    let (anna, elsa) = (of("anna").await, of("elsa").await);
    let answer = site
        .send(Method::POST, "/memolock/invalidate?url=/a", &[("x-tenant", "anna")])
        .await;
    assert_eq!(answer.status, 200);
    assert_ne!(of("anna").await, anna);
    assert_eq!(of("elsa").await, elsa);
    assert_eq!(site.calls(), 3);
}

/// One page for several layers, of several types.
#[test]
fn any_layers_are_shown_together() {
    use tower_memolock::Key;
    use tower_memolock::middleware::KeyFn;

    let store = MemoryStore::new();
    let pages = MemoLockLayer::new(store.clone(), "page").key(KeyFn::new(|head| head.uri().path().to_owned()));
    let closure = |request: &http::Request<axum::body::Body>| Key::new(request.uri().path().to_owned()).ok();
    let reports = MemoLockLayer::new(store.clone(), "report").key(closure);
    let calls = MemoLockLayer::grpc(store, "call");
    let admin: Admin<axum::body::Body> = Admin::new().layer(&pages).layer(&reports).layer(&calls);
    assert_eq!(format!("{admin:?}"), r#"["page", "report", "call"]"#);
}

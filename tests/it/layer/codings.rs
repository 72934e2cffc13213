//! Responses that vary by `Accept-Encoding`: one computation for each meaning, whatever the spelling; with tower-http's
//! `CompressionLayer` below the layer and above it.

use std::convert::Infallible;
use std::io::Read;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt, service_fn};
use tower_http::compression::CompressionLayer;
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{Inner, answer, fresh, get_with, pair, send, settle, with};

/// As clients send it: each line a meaning, in several spellings.
const SPELLINGS: [&[&str]; 4] = [
    &[
        "gzip, deflate, br, zstd",
        "br, deflate, gzip, zstd",
        "gzip,deflate,br,zstd",
        "GZIP, Deflate, br;q=1.0, zstd",
    ],
    &[
        "gzip, deflate",
        "deflate, gzip",
        "gzip;q=1.0, deflate;q=1.000, identity;q=0.5",
        "x-gzip, deflate, br;q=0",
    ],
    &["gzip;q=1.0, deflate;q=0.6, identity;q=0.3", "deflate;q=0.3,gzip;q=0.8"],
    &["identity", "", "gzip;q=0"],
];

fn content() -> String {
    "the same words again and again. ".repeat(100)
}

fn page(calls: &Arc<AtomicUsize>) -> impl Future<Output = Result<Response<Full<Bytes>>, Infallible>> + use<> {
    calls.fetch_add(1, Ordering::SeqCst);
    let page = Response::builder()
        .header("content-type", "text/plain")
        .header("cache-control", "max-age=60")
        .body(Full::from(content()));
    std::future::ready(Ok(page.expect("a response")))
}

/// Whether the client gets what it understands, by its own words.
async fn check<S, B>(service: &S, line: Option<&str>)
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone,
    S::Error: std::fmt::Debug,
    B: http_body::Body,
    B::Error: Into<BoxError>,
{
    let request = Request::get("/");
    let request = line
        .into_iter()
        .fold(request, |request, line| request.header("accept-encoding", line));
    let request = request.body(Full::default()).expect("a request");
    let response = service.clone().oneshot(request).await.expect("a response");
    let (head, body) = response.into_parts();
    let body = body.collect().await.map_err(Into::into).expect("a body").to_bytes();
    let coding = head
        .headers
        .get("content-encoding")
        .map(|coding| coding.to_str().expect("ASCII"));
    let refused = line.is_some_and(|line| line == "gzip;q=0" || !line.to_ascii_lowercase().contains("gzip"));
    match coding {
        None => assert_eq!(body, content(), "{line:?}"),
        Some("gzip") => {
            assert!(!refused, "{line:?}");
            let mut text = String::new();
            let mut decoder = flate2::read::GzDecoder::new(&body[..]);
            decoder.read_to_string(&mut text).expect("gzip");
            assert_eq!(text, content(), "{line:?}");
        }
        Some(other) => assert!(line.is_some_and(|line| line.contains(other)), "{line:?}: {other}"),
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_below_compresses_is_computed_once_for_each_meaning() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let service = ServiceBuilder::new()
        .layer(MemoLockLayer::new(MemoryStore::new(), "codings"))
        .layer(CompressionLayer::new())
        .service(service_fn(move |_: Request<Full<Bytes>>| page(&counted)));
    for round in 0..3 {
        for (i, spellings) in SPELLINGS.iter().enumerate() {
            for line in *spellings {
                check(&service, Some(line)).await;
                let most = if round == 0 { i + 1 } else { SPELLINGS.len() };
                assert!(calls.load(Ordering::SeqCst) <= most, "{line:?}");
            }
        }
    }
    check(&service, None).await;
    check(&service, None).await;
    assert_eq!(calls.load(Ordering::SeqCst), SPELLINGS.len() + 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_layer_above_compresses_is_computed_once() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    let service = ServiceBuilder::new()
        .layer(CompressionLayer::new())
        .layer(MemoLockLayer::new(MemoryStore::new(), "codings"))
        .service(service_fn(move |_: Request<Full<Bytes>>| page(&counted)));
    for line in SPELLINGS.iter().flat_map(|spellings| spellings.iter()) {
        check(&service, Some(line)).await;
    }
    check(&service, None).await;
    assert_eq!(calls.load(Ordering::SeqCst), 1);
}

fn coding(headers: &HeaderMap) -> String {
    let lines = headers.get_all("accept-encoding").iter();
    let lines: Vec<_> = lines.map(|line| line.to_str().expect("ASCII")).collect();
    lines.join(", ")
}

#[tokio::test(start_paused = true)]
async fn those_who_ask_together_wait_for_one_that_means_the_same() {
    let inner = Inner::new(|request, _| async move {
        settle().await;
        Ok(with(fresh(coding(request.headers())), "vary", "Accept-Encoding"))
    });
    let nodes = pair(&inner, |layer| layer);
    let lines = SPELLINGS.iter().flat_map(|spellings| spellings.iter());
    let asked: Vec<_> = lines
        .enumerate()
        .map(|(i, line)| (line, send(&nodes[i % 2], get_with("/", "accept-encoding", line))))
        .collect();
    for (line, asked) in asked {
        let got = answer(asked).await.body;
        let meant = SPELLINGS
            .iter()
            .find(|spellings| spellings.contains(line))
            .expect("a meaning");
        assert!(meant.iter().any(|spelling| got == spelling), "{line} got {got:?}");
    }
    assert_eq!(inner.calls(), SPELLINGS.len());
}

#[tokio::test(start_paused = true)]
async fn a_field_that_cannot_be_read_selects_by_its_letters() {
    let inner =
        Inner::new(|request, _| async move { Ok(with(fresh(coding(request.headers())), "vary", "accept-encoding")) });
    let nodes = pair(&inner, |layer| layer);
    let lines = ["gzip;q=2", "gzip; q=2", "gzip;q=1.0001", "gzip br", "br gzip"];
    for (i, line) in lines.iter().chain(&lines).enumerate() {
        let got = answer(send(&nodes[i % 2], get_with("/", "accept-encoding", line))).await;
        assert_eq!(got.body, *line);
    }
    assert_eq!(inner.calls(), lines.len());
}

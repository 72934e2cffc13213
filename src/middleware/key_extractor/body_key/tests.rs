use std::collections::VecDeque;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};

use super::*;

/// A body of these frames. It says nothing about its length.
struct Frames(VecDeque<Result<Frame<Bytes>, &'static str>>);

impl Frames {
    fn new(frames: impl IntoIterator<Item = Result<Frame<Bytes>, &'static str>>) -> Self {
        Self(frames.into_iter().collect())
    }
}

impl Body for Frames {
    type Data = Bytes;
    type Error = &'static str;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.pop_front())
    }

    fn size_hint(&self) -> SizeHint {
        let mut hint = SizeHint::new();
        hint.set_lower(self.0.len() as u64);
        hint
    }
}

fn data(bytes: &'static str) -> Result<Frame<Bytes>, &'static str> {
    Ok(Frame::data(Bytes::from_static(bytes.as_bytes())))
}

fn trailers() -> HeaderMap {
    HeaderMap::from_iter([(CONTENT_TYPE, "trailer".parse().unwrap())])
}

fn post<B>(body: B) -> Request<B> {
    Request::post("/a").body(body).unwrap()
}

/// All of a body: its data, its trailers and the error it ends in.
async fn drain<B>(mut body: BufferedBody<B>) -> (String, Option<HeaderMap>, Option<B::Error>)
where
    B: Body + Unpin,
{
    let (mut text, mut trailers) = (String::new(), None);
    while let Some(frame) = body.frame().await {
        match frame.map(Frame::into_data) {
            Err(error) => {
                assert!(body.is_end_stream());
                return (text, trailers, Some(error));
            }
            Ok(Ok(data)) => text.push_str(str::from_utf8(&data).unwrap()),
            Ok(Err(frame)) => trailers = frame.into_trailers().ok(),
        }
    }
    (text, trailers, None)
}

#[tokio::test]
async fn key_has_the_digest_of_the_whole_body() {
    let digest = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let expected = format!("{{POST ///a body:sha256={digest}}}");
    for frames in [vec![data("abc")], vec![data("a"), data(""), data("bc")]] {
        let request = post(Frames::new(frames));
        assert_eq!(BodyKey::new().head_key(&request), HeadKey::NeedsBody);

        let (key, request) = BodyKey::new().body_key(request).await;

        assert_eq!(key.unwrap().as_str(), expected);
        assert_eq!(request.body().size_hint().exact(), Some(3));
        assert!(!request.body().is_end_stream());
        assert_eq!(drain(request.into_body()).await.0, "abc");
    }
}

#[tokio::test]
async fn empty_body_needs_no_reading() {
    let HeadKey::Key(key) = BodyKey::new().head_key(&post(Empty::<Bytes>::new())) else {
        panic!("there is nothing to wait for");
    };

    let (read, request) = BodyKey::new().body_key(post(Frames::new([]))).await;

    assert_eq!(Some(key), read);
    assert!(request.body().is_end_stream());
}

#[tokio::test]
async fn what_the_body_means_is_part_of_the_key() {
    let typed = |value: &str| {
        let body = Full::new(Bytes::from_static(b"a"));
        Request::post("/a").header(CONTENT_TYPE, value).body(body).unwrap()
    };
    let (json, _) = BodyKey::new().body_key(typed("application/json")).await;
    let (text, _) = BodyKey::new().body_key(typed("text/plain")).await;
    assert_ne!(json.unwrap(), text.unwrap());
}

#[tokio::test]
async fn body_of_the_limit_has_a_key_and_longer_ones_are_handed_on_whole() {
    let keys = BodyKey::new().limit(4);
    let whole = [data("ab"), data("cd")];
    let (key, _) = keys.body_key(post(Frames::new(whole))).await;
    assert!(key.is_some());

    let longer = [data("ab"), data("cde"), data("f"), Ok(Frame::trailers(trailers()))];
    let (key, request) = keys.body_key(post(Frames::new(longer))).await;
    assert_eq!(key, None);
    assert_eq!(request.body().size_hint().lower(), 2 + 3 + 2);
    let drained = drain(request.into_body()).await;
    assert_eq!(drained, ("abcdef".to_owned(), Some(trailers()), None));
}

#[test]
fn declared_length_over_the_limit_bypasses_unread() {
    let keys = BodyKey::new().limit(4);
    let hinted = post(Full::new(Bytes::from_static(b"abcde")));
    assert_eq!(keys.head_key(&hinted), HeadKey::Bypass);

    let mut declared = post(Frames::new([data("abcde")]));
    declared.headers_mut().insert(CONTENT_LENGTH, 5.into());
    assert_eq!(keys.head_key(&declared), HeadKey::Bypass);
}

#[tokio::test]
async fn error_stays_where_it_was() {
    let frames = [data("ab"), Err("reset"), data("never seen")];
    let (key, request) = BodyKey::new().body_key(post(Frames::new(frames))).await;
    assert_eq!(key, None);
    assert_eq!(request.body().size_hint().exact(), None);
    let drained = drain(request.into_body()).await;
    assert_eq!(drained, ("ab".to_owned(), None, Some("reset")));
}

#[tokio::test]
async fn trailers_bypass_and_are_kept() {
    let frames = [data("ab"), Ok(Frame::trailers(trailers()))];
    let (key, request) = BodyKey::new().body_key(post(Frames::new(frames))).await;
    assert_eq!(key, None);
    let drained = drain(request.into_body()).await;
    assert_eq!(drained, ("ab".to_owned(), Some(trailers()), None));
}

#[tokio::test]
async fn head_and_extensions_are_kept() {
    let mut request = post(Full::new(Bytes::from_static(b"a")));
    request.extensions_mut().insert("extension");
    request.headers_mut().insert("x-a", "1".parse().unwrap());
    let (_, read) = BodyKey::new().body_key(request.clone()).await;
    let passed = BodyKey::new().pass(request);
    for request in [read, passed] {
        assert_eq!(request.extensions().get(), Some(&"extension"));
        assert_eq!(request.headers()["x-a"], "1");
        assert_eq!(request.uri(), "/a");
        assert_eq!(drain(request.into_body()).await.0, "a");
    }
}

#[tokio::test]
async fn bypass_of_the_inner_extractor_leaves_the_body_alone() {
    type Request = http::Request<Frames>;
    let keys = BodyKey::over(|_: &Request| None::<Key>);
    assert_eq!(keys.head_key(&post(Frames::new([data("a")]))), HeadKey::Bypass);
    let (key, request) = keys.body_key(post(Frames::new([data("a")]))).await;
    assert_eq!(key, None);
    assert_eq!(drain(request.into_body()).await.0, "a");
}

#[tokio::test]
async fn keys_to_the_letter_get_the_digest_too() {
    async fn key(id: &'static str) -> Key {
        type Request = http::Request<Full<Bytes>>;
        let keys = BodyKey::over(move |_: &Request| Key::new(id).ok());
        let (key, _) = keys.body_key(post(Full::new(Bytes::from_static(b"a")))).await;
        key.unwrap()
    }
    assert!(
        key("kristoff")
            .await
            .as_str()
            .starts_with("kristoff over:body:sha256=ca97")
    );
    let ids = ["a", "{a", "a}", "{a}", "{a}}"];
    for one in ids {
        for other in ids {
            assert_eq!(key(one).await == key(other).await, one == other, "{one} {other}");
        }
    }
}

#[test]
fn it_can_be_restricted() {
    let keys = BodyKey::new().when(|request: &Request<Full<Bytes>>| request.uri().path() == "/b");
    assert!(KeyExtractor::<Full<Bytes>>::covers_body(&keys));
    let body = Full::<Bytes>::new(Bytes::from_static(b"a"));
    assert_eq!(keys.head_key(&post(body)), HeadKey::Bypass);
}

#[tokio::test]
async fn bodies_of_frameworks_can_be_read_in_a_task() {
    let request = post(axum::body::Body::from_stream(
        Frames::new([data("a")]).into_data_stream(),
    ));
    let read = tokio::spawn(async move { BodyKey::new().body_key(request).await });
    let (key, request) = read.await.unwrap();
    assert!(key.is_some());

    let request = request.map(tonic::body::Body::new);
    let (again, _) = BodyKey::new().body_key(request).await;
    assert_eq!(again, key);
}

#[test]
fn key_of_a_get_is_that_of_an_empty_body() {
    let keys = BodyKey::new();
    let get = Request::get("/a").body(Empty::<Bytes>::new()).unwrap();
    let HeadKey::Key(expected) = keys.head_key(&get) else {
        panic!("an empty body need not be read");
    };
    let found = KeyExtractor::<Empty<Bytes>>::get_key(&keys, get.uri(), get.headers());
    assert_eq!(found, Some(expected));
}

use std::collections::VecDeque;
use std::task::{Context, Poll};
use std::{io, pin::Pin};

use bytes::Bytes;
use http::HeaderValue;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use proptest::prelude::*;

use sha2::{Digest, Sha256};

use super::*;

/// A body of these frames. A body that does not end is still under way after them.
struct Frames {
    frames: VecDeque<Result<Frame<Bytes>, io::ErrorKind>>,
    ends: bool,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::ErrorKind;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        match self.frames.pop_front() {
            None if !self.ends => Poll::Pending,
            frame => Poll::Ready(frame),
        }
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::new()
    }
}

fn frames(data: impl IntoIterator<Item = Vec<u8>>) -> Frames {
    let frames = data.into_iter().map(|data| Ok(Frame::data(data.into())));
    Frames {
        frames: frames.collect(),
        ends: true,
    }
}

fn message(flag: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    [&[flag][..], &length, content].concat()
}

const CALL: [(&str, &str); 1] = [("content-type", "application/grpc")];

fn call(fields: &[(&'static str, &str)], body: Frames) -> Request<Frames> {
    let mut request = Request::post("http://example.com/p.S/M").body(body).unwrap();
    for (name, value) in fields {
        request
            .headers_mut()
            .append(*name, HeaderValue::from_str(value).unwrap());
    }
    request
}

/// The key, and whatever the inner service gets.
async fn read(key: &GrpcKey, request: Request<Frames>) -> (Option<Key>, BufferedBody<Frames>) {
    assert_eq!(key.head_key(&request), HeadKey::NeedsBody);
    let (key, request) = key.body_key(request).await;
    (key, request.into_body())
}

async fn key_with(key: &GrpcKey, fields: &[(&'static str, &str)], body: Vec<u8>) -> Option<Key> {
    let all = [&CALL[..], fields].concat();
    read(key, call(&all, frames([body]))).await.0
}

#[tokio::test]
async fn key_has_the_target_and_the_digest_of_the_message() {
    let digest = Sha256::digest(b"\0\0\0\0\x03abc");
    let expected = Key::builder()
        .part("POST")
        .part("http://example.com/p.S/M")
        .part("content-type=application/grpc")
        .build()
        .with_digest("message:sha256", &digest.into());
    for size in 1..=8 {
        let pieces = message(0, b"abc").chunks(size).map(<[u8]>::to_vec).collect::<Vec<_>>();

        let (key, body) = read(&GrpcKey::new(), call(&CALL, frames(pieces))).await;

        assert_eq!(key, Some(expected.clone()));
        let collected = body.collect().await.unwrap();
        assert_eq!(collected.to_bytes(), message(0, b"abc"));
    }
}

#[tokio::test]
async fn what_the_reply_depends_on_makes_another_key() {
    let key = GrpcKey::new();
    let plain = message(0, b"abc");
    let mut keys = Vec::new();
    for (fields, body) in [
        (&[][..], plain.clone()),
        (&[], message(0, b"abd")),
        (&[], message(0, b"")),
        (&[("grpc-encoding", "gzip")], plain.clone()),
        (&[("grpc-encoding", "zstd")], plain.clone()),
        (&[("grpc-encoding", "gzip")], message(1, b"abc")),
        (&[("grpc-accept-encoding", "gzip")], plain.clone()),
        (&[("grpc-accept-encoding", "gzip,zstd")], plain.clone()),
        (&[("content-encoding", "gzip")], plain.clone()),
        (&[("x-forwarded-host", "a")], plain.clone()),
    ] {
        let key = key_with(&key, fields, body).await.expect("a key");
        assert!(!keys.contains(&key), "{fields:?}");
        keys.push(key);
    }
}

#[tokio::test]
async fn what_the_reply_does_not_depend_on_makes_no_difference() {
    let key = GrpcKey::new();
    let plain = key_with(&key, &[], message(0, b"abc")).await;
    assert!(plain.is_some());
    for fields in [
        &[("grpc-timeout", "1S")][..],
        &[("te", "trailers"), ("user-agent", "x")],
        &[
            ("traceparent", "00-1"),
            ("grpc-trace-bin", "AA"),
            ("grpc-tags-bin", "AA"),
        ],
        &[("grpc-encoding", "identity")],
        &[("grpc-accept-encoding", "identity")],
        &[("grpc-accept-encoding", " , identity ")],
        &[("x-tenant", "a")],
    ] {
        assert_eq!(key_with(&key, fields, message(0, b"abc")).await, plain, "{fields:?}");
    }
    let accepts = async |text| key_with(&key, &[("grpc-accept-encoding", text)], message(0, b"abc")).await;
    let expected = accepts("gzip,zstd").await;
    for text in ["zstd, gzip", "identity,gzip , zstd", "gzip,gzip,zstd"] {
        assert_eq!(accepts(text).await, expected, "{text}");
    }
    let two = [("grpc-accept-encoding", "zstd"), ("grpc-accept-encoding", "gzip")];
    assert_eq!(key_with(&key, &two, message(0, b"abc")).await, expected);
}

#[tokio::test]
async fn keys_that_cover_something_else_are_others_for_every_call() {
    let extractors = [
        GrpcKey::new(),
        GrpcKey::new().without_authority(),
        GrpcKey::new().max_message_of("/p.S/M", Some(100)),
    ];
    let mut keys = Vec::new();
    for extractor in &extractors {
        keys.push(key_with(extractor, &[], message(0, b"abc")).await.expect("a key"));
    }
    // The limit on messages does not change which calls share a reply.
    assert_eq!(keys.pop(), Some(keys[0].clone()));
    let different: std::collections::HashSet<_> = keys.iter().collect();
    assert_eq!(different.len(), keys.len(), "{keys:?}");
}

#[tokio::test]
async fn limit_is_that_of_the_method_or_of_all() {
    const DEFAULT: usize = 64 * 1024;
    let key = GrpcKey::new();
    for (key, longest) in [
        (key.clone(), DEFAULT),
        (key.clone().max_message_of("/p.S/M", Some(9)), 9),
        (key.clone().max_message_of("/p.S/N", Some(9)), DEFAULT),
        (
            key.clone()
                .max_message_of("/p.S/M", Some(9))
                .max_message_of("/p.S/M", Some(2)),
            2,
        ),
        (
            key.max_message_of("/p.S/M", Some(9)).max_message_of("/p.S/M", None),
            DEFAULT,
        ),
    ] {
        assert!(key_with(&key, &[], message(0, &vec![b'a'; longest])).await.is_some());
        assert!(
            key_with(&key, &[], message(0, &vec![b'a'; longest + 1]))
                .await
                .is_none()
        );
    }
}

#[test]
fn what_the_head_tells_is_not_read() {
    let head = |content_type: &'static str, body: Frames| {
        let request = call(&[("content-type", content_type)], body);
        GrpcKey::new().head_key(&request)
    };
    assert_eq!(head("application/json", frames([vec![0]])), HeadKey::Bypass);
    assert_eq!(head("application/grpc-web", frames([vec![0]])), HeadKey::Bypass);
    let mut long = call(&CALL, frames([vec![0]]));
    for (length, expected) in [
        ("65541", HeadKey::NeedsBody),
        ("65542", HeadKey::Bypass),
        ("x", HeadKey::NeedsBody),
    ] {
        long.headers_mut()
            .insert(CONTENT_LENGTH, HeaderValue::from_static(length));
        assert_eq!(GrpcKey::new().head_key(&long), expected, "{length}");
    }
    let empty = Request::post("/p.S/M").header("content-type", "application/grpc");
    let empty = empty.body(http_body_util::Empty::<Bytes>::new()).unwrap();
    assert_eq!(GrpcKey::new().head_key(&empty), HeadKey::Bypass);
}

/// No key, and the body as it was.
async fn bypasses(fields: &[(&'static str, &str)], pieces: Vec<Vec<u8>>) {
    let whole = pieces.concat();
    let all = [&CALL[..], fields].concat();
    let (key, body) = read(&GrpcKey::new(), call(&all, frames(pieces))).await;
    assert_eq!(key, None, "{fields:?} {whole:?}");
    assert_eq!(body.collect().await.unwrap().to_bytes(), whole);
}

#[tokio::test]
async fn whatever_is_not_one_message_bypasses_and_passes_whole() {
    let one = message(0, b"abc");
    bypasses(&[], vec![]).await;
    bypasses(&[], vec![vec![0; 4]]).await;
    bypasses(&[], vec![one[..7].to_vec()]).await;
    bypasses(&[], vec![one.clone(), one.clone()]).await;
    bypasses(&[], vec![[one.clone(), one.clone()].concat()]).await;
    bypasses(&[], vec![one.clone(), vec![0]]).await;
    // The frame announces four GiB, and one byte comes.
    bypasses(&[], vec![vec![0, 0xff, 0xff, 0xff, 0xff, 1]]).await;
    bypasses(&[], vec![message(0, &vec![b'a'; 64 * 1024 + 1])]).await;
    // A flag that does not exist; compressed without an encoding; compressed with two.
    bypasses(&[], vec![message(2, b"abc")]).await;
    bypasses(&[], vec![message(0x80, b"abc")]).await;
    bypasses(&[], vec![message(1, b"abc")]).await;
    bypasses(&[("grpc-encoding", "identity")], vec![message(1, b"abc")]).await;
    bypasses(&[("grpc-encoding", "")], vec![message(1, b"abc")]).await;
    let two = [("grpc-encoding", "gzip"), ("grpc-encoding", "zstd")];
    bypasses(&two, vec![message(1, b"abc")]).await;
    // The request has two authorities.
    bypasses(&[("host", "example.org")], vec![one]).await;
}

#[tokio::test]
async fn trailers_and_errors_bypass_and_reach_the_service() {
    let trailers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static("x"))]);
    let mut body = frames([message(0, b"abc")]);
    body.frames.push_back(Ok(Frame::trailers(trailers.clone())));
    let (key, body) = read(&GrpcKey::new(), call(&CALL, body)).await;
    assert_eq!(key, None);
    let collected = body.collect().await.unwrap();
    assert_eq!(collected.trailers(), Some(&trailers));
    assert_eq!(collected.to_bytes(), message(0, b"abc"));

    let mut body = frames([message(0, b"abc")]);
    body.frames.push_back(Err(io::ErrorKind::ConnectionReset));
    let (key, body) = read(&GrpcKey::new(), call(&CALL, body)).await;
    assert_eq!(key, None);
    assert_eq!(body.collect().await.unwrap_err(), io::ErrorKind::ConnectionReset);
}

#[tokio::test(start_paused = true)]
async fn message_that_does_not_end_goes_on_by_itself() {
    let mut body = frames([message(0, b"abc")]);
    body.ends = false;
    let begun = tokio::time::Instant::now();
    let (key, mut body) = read(&GrpcKey::new(), call(&CALL, body)).await;
    assert_eq!(key, None);
    assert_eq!(begun.elapsed().as_secs(), PATIENCE.as_secs());
    let frame = body.frame().await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), message(0, b"abc"));
    assert!(!body.is_end_stream());
}

proptest! {
    #[test]
    fn any_bytes_reach_the_service_as_they_came(
        pieces in prop::collection::vec(prop::collection::vec(prop_oneof![Just(0), Just(1), any::<u8>()], 0..8), 0..6),
    ) {
        let whole = pieces.concat();
        let is_one = Framing::of(&whole).is_one() && whole[0] == 0;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (key, body) = read(&GrpcKey::new(), call(&CALL, frames(pieces))).await;
            assert_eq!(key.is_some(), is_one);
            assert_eq!(body.collect().await.unwrap().to_bytes(), whole);
        });
    }
}

//! The body alone: what it stands for, and what it cannot.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{HeaderMap, HeaderValue};
use http::status::StatusCode;
use tokio::time::Instant;

use super::support::{GOLDEN, GOLDEN_BARE, address, fields};
use crate::codec::Codec;
use crate::middleware::stored_response::{Form, Meta, StoredResponse};

fn pdf() -> Form {
    Form::raw(HeaderValue::from_static("application/pdf"))
}

fn response(headers: &[(&'static str, &[u8])], meta: Meta) -> StoredResponse {
    StoredResponse::new(StatusCode::OK, fields(headers), Bytes::from_static(b"%PDF"), None, meta)
}

fn encoded(form: &Form, response: StoredResponse) -> Option<Bytes> {
    form.encode(&address(), &Arc::new(response)).ok()
}

#[test]
fn any_bytes_are_a_body() {
    for bytes in [&b""[..], b"%PDF", b"MLK\x01", &[0xff; 100], GOLDEN_BARE, &GOLDEN[1..]] {
        let response = pdf().decode(&address(), Bytes::copy_from_slice(bytes)).unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(response.body(), bytes);
        assert_eq!(*response.headers(), fields(&[("content-type", b"application/pdf")]));
        assert!(response.trailers().is_none());
        assert!(response.is_fresh_at(Instant::now() + Duration::from_secs(1 << 40)));
        assert!(!response.meta().for_authorized && !response.meta().for_cookies);
    }
}

#[test]
fn the_body_is_stored_to_the_letter() {
    let lossy = Meta {
        fresh_for: Duration::from_secs(60),
        for_authorized: true,
        ..Meta::default()
    };
    for headers in [
        &[][..],
        &[("content-type", &b"application/pdf"[..])],
        &[
            ("content-type", b"Application/PDF"),
            ("etag", b"\"1\""),
            ("cache-control", b"max-age=60"),
        ],
    ] {
        let body = encoded(&pdf(), response(headers, lossy.clone()));
        assert_eq!(body.unwrap(), "%PDF", "{headers:?}");
    }
    let text = Form::raw(HeaderValue::from_static("text/plain; charset=utf-8"));
    let body = encoded(
        &text,
        response(&[("content-type", b"text/plain;charset=utf-8")], Meta::default()),
    );
    assert_eq!(body.unwrap(), "%PDF");
}

#[test]
fn a_response_to_which_there_is_more_is_not_stored() {
    for headers in [
        &[("content-type", &b"text/html"[..])][..],
        &[("content-type", b"application/pdf; x=1")],
        &[
            ("content-type", b"application/pdf"),
            ("content-type", b"application/pdf"),
        ],
        &[("content-encoding", b"gzip")],
        &[("vary", b"accept")],
    ] {
        assert_eq!(encoded(&pdf(), response(headers, Meta::default())), None, "{headers:?}");
    }
    let grouped = Meta {
        groups: vec!["shop".to_owned()],
        ..Meta::default()
    };
    assert_eq!(encoded(&pdf(), response(&[], grouped)), None);
    assert_eq!(encoded(&pdf(), StoredResponse::marker()), None);

    let trailers = Some(fields(&[("x-end", b"1")]));
    let with_trailers = StoredResponse::new(
        StatusCode::OK,
        HeaderMap::new(),
        Bytes::new(),
        trailers,
        Meta::default(),
    );
    assert_eq!(encoded(&pdf(), with_trailers), None);
    let created = StatusCode::CREATED;
    let created = StoredResponse::new(created, HeaderMap::new(), Bytes::new(), None, Meta::default());
    assert_eq!(encoded(&pdf(), created), None);
}

#[test]
fn an_entry_is_never_taken_for_a_body() {
    assert!(pdf().decode(&address(), Bytes::from_static(GOLDEN)).is_err());
    let body = Bytes::from_static(GOLDEN);
    let looks_alike = StoredResponse::new(StatusCode::OK, HeaderMap::new(), body, None, Meta::default());
    assert_eq!(encoded(&pdf(), looks_alike), None);
}

#[test]
fn a_body_is_never_taken_for_an_entry() {
    for bytes in [&b"%PDF"[..], b"", b"\x01", b"\x01\x40\xc8\0\0\0"] {
        assert!(Form::binary().decode(&address(), Bytes::from_static(bytes)).is_err());
    }
}

//! A message without a frame: what it has to say, and what is refused.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::HeaderMap;
use http::status::StatusCode;
use tokio::time::Instant;

use super::support::{GOLDEN_BARE, address, fields};
use crate::key::{Address, Key, Tag};
use crate::middleware::stored_response::message::Encoder;
use crate::middleware::stored_response::{Meta, StoredResponse, StoredResponseError};

const NAME: &str = "memolock-address";

type Lines<'a> = &'a [(&'static str, &'a [u8])];

/// A message with these fields and no others.
fn message(status: u16, headers: Lines<'_>, body: &'static [u8], trailers: Lines<'_>) -> Bytes {
    let status = StatusCode::from_u16(status).unwrap();
    let trailers = Some(fields(trailers));
    let body = Bytes::from_static(body);
    let response = StoredResponse::new(status, fields(headers), body, trailers, Meta::default());
    let mut out = Vec::new();
    Encoder::new(&response).unwrap().write(&mut out);
    out.into()
}

/// A message that names the address.
fn of_address(status: u16, headers: Lines<'_>, body: &'static [u8], trailers: Lines<'_>) -> Bytes {
    let address = address();
    let mut all = vec![(NAME, address.as_str().as_bytes())];
    all.extend_from_slice(headers);
    message(status, &all, body, trailers)
}

fn decoded(bytes: impl Into<Bytes>) -> Result<StoredResponse, StoredResponseError> {
    StoredResponse::decode(&address(), bytes)
}

fn refused(headers: Lines<'_>) -> StoredResponseError {
    decoded(of_address(200, headers, b"", &[])).unwrap_err()
}

#[test]
fn it_is_fresh_for_as_long_as_it_is_stored() {
    let response = decoded(of_address(200, &[("content-type", b"application/pdf")], b"%PDF", &[])).unwrap();
    assert_eq!(response.body(), "%PDF");
    assert_eq!(*response.headers(), fields(&[("content-type", b"application/pdf")]));
    assert!(response.is_fresh_at(Instant::now() + Duration::from_secs(1 << 40)));
    assert_eq!(response.age_at(Instant::now()), Duration::ZERO);
}

#[test]
fn its_fields_tell_its_age_and_for_whom_it_is() {
    let date = httpdate::fmt_http_date(SystemTime::now() - Duration::from_secs(100));
    let lines: Lines<'_> = &[("date", date.as_bytes()), ("cache-control", b"public, max-age=5")];
    let response = decoded(of_address(200, lines, b"", &[])).unwrap();
    assert!((100..110).contains(&response.age_at(Instant::now()).as_secs()));
    assert!(response.is_fresh_at(Instant::now()), "the store says how long");
    assert!(response.meta().for_authorized && response.meta().for_cookies);
    let silent = decoded(of_address(200, &[], b"", &[])).unwrap();
    assert!(!silent.meta().for_authorized && !silent.meta().for_cookies);
}

#[test]
fn errors_and_grpc_statuses_are_responses_as_well() {
    for (status, headers, trailers) in [
        (404, &[][..], &[][..]),
        (500, &[("cache-control", &b"no-cache"[..])], &[]),
        (
            200,
            &[("content-type", b"application/grpc")],
            &[("grpc-status", &b"0"[..])],
        ),
        (
            200,
            &[("content-type", b"application/grpc"), ("grpc-status", b"5")],
            &[],
        ),
    ] {
        let response = decoded(of_address(status, headers, b"", trailers)).unwrap();
        assert_eq!(response.status().as_u16(), status);
    }
}

#[test]
fn one_that_names_no_address_or_another_is_refused() {
    let name = address();
    let other = Address::new(&Tag::new("report").unwrap(), &Key::new("7").unwrap());
    for names in [
        &[][..],
        &[(NAME, other.as_str().as_bytes())],
        &[(NAME, name.as_str().as_bytes()), (NAME, name.as_str().as_bytes())],
        &[(NAME, other.as_str().as_bytes()), (NAME, name.as_str().as_bytes())],
        &[(NAME, name.as_str().as_bytes()), (NAME, other.as_str().as_bytes())],
        &[(NAME, &name.as_str().as_bytes()[1..])],
    ] {
        let refused = decoded(message(200, names, b"x", &[]));
        assert_eq!(refused, Err(StoredResponseError::Address), "{names:?}");
    }
    let mixed_up = StoredResponse::decode(&other, GOLDEN_BARE);
    assert_eq!(mixed_up, Err(StoredResponseError::Address));
}

#[test]
fn every_truncation_and_every_byte_behind_the_end_is_refused() {
    for len in 0..GOLDEN_BARE.len() {
        let error = decoded(&GOLDEN_BARE[..len]).unwrap_err();
        let expected = match len {
            0 => StoredResponseError::Magic,
            _ => StoredResponseError::Truncated,
        };
        assert_eq!(error, expected, "{len} bytes");
    }
    let longer = [GOLDEN_BARE, b"\0"].concat();
    assert_eq!(decoded(longer), Err(StoredResponseError::TrailingBytes));
}

#[test]
fn lengths_beyond_the_end_take_no_memory() {
    // A gibibyte of header fields, of content, of trailers.
    for at in [&b"\x01\x40\xc8"[..], b"\x01\x40\xc8\0", b"\x01\x40\xc8\0\0"] {
        for length in [&b"\xc0\0\0\0\x40\0\0\0"[..], b"\xff\xff\xff\xff\xff\xff\xff\xff"] {
            let error = decoded([at, length].concat()).unwrap_err();
            assert_eq!(error, StoredResponseError::Truncated);
        }
    }
}

#[test]
fn what_is_for_one_client_only_is_refused() {
    for headers in [
        &[("set-cookie", &b"a=b"[..])][..],
        &[("cache-control", b"private")],
        &[
            ("cache-control", b"private, max-age=60"),
            ("cdn-cache-control", b"max-age=60"),
        ],
        &[("cache-control", b"max-age=60"), ("cdn-cache-control", b"no-store")],
        &[("cache-control", b"no-store")],
        &[("vary", b"*")],
        &[("vary", b"accept-encoding")],
        &[("vary", b"")],
        &[("cache-groups", b"\"shop\"")],
        &[("content-type", b"text/event-stream")],
    ] {
        assert_eq!(refused(headers), StoredResponseError::NotShared, "{headers:?}");
    }
    let cookie: Lines<'_> = &[("set-cookie", b"a=b")];
    let error = decoded(of_address(200, &[], b"", cookie)).unwrap_err();
    assert_eq!(error, StoredResponseError::NotShared);
    for status in [206, 226, 304] {
        let error = decoded(of_address(status, &[], b"", &[])).unwrap_err();
        assert_eq!(error, StoredResponseError::NotShared, "{status}");
    }
    for status in [204, 205] {
        let error = decoded(of_address(status, &[], b"x", &[])).unwrap_err();
        assert_eq!(error, StoredResponseError::NotShared, "{status}");
        assert!(decoded(of_address(status, &[], b"", &[])).is_ok(), "{status}");
    }
}

#[test]
fn what_is_not_whole_by_its_own_word_is_refused() {
    for headers in [
        &[("content-length", &b"1"[..])][..],
        &[("content-type", b"application/grpc")],
    ] {
        assert_eq!(refused(headers), StoredResponseError::Incomplete, "{headers:?}");
    }
}

#[test]
fn fields_of_a_connection_are_left_out() {
    let lines: Lines<'_> = &[
        ("transfer-encoding", b"chunked"),
        ("connection", b"x-hop"),
        ("x-hop", b"1"),
        ("x-end", b"1"),
    ];
    let response = decoded(of_address(200, lines, b"", &[])).unwrap();
    assert_eq!(*response.headers(), fields(&[("x-end", b"1")]));
    assert_eq!(response.trailers().map(HeaderMap::len), None);
}

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::status::StatusCode;

use crate::key::{Address, Key, Tag};
use crate::middleware::stored_response::{Meta, StoredResponse};

/// The entry of [`sample`], as the Python program of the documentation writes it.
pub(super) const GOLDEN: &[u8] = include_bytes!("../../../../tests/golden/stored_response_v1.bin");

/// The entry of [`sample_with_extras`], as the same program writes it.
pub(super) const GOLDEN_EXTRAS: &[u8] = include_bytes!("../../../../tests/golden/stored_response_v1_extras.bin");

/// A message of [`sample`] alone, as the Python program of the documentation writes it.
pub(super) const GOLDEN_BARE: &[u8] = include_bytes!("../../../../tests/golden/stored_message.bin");

pub(super) fn address() -> Address {
    let key = Key::builder().part("GET").part("//example.com/report/42");
    Address::new(&Tag::new("report").unwrap(), &key.build())
}

/// A response with one of everything: a line without value, two of the same name, bytes that are no UTF-8, trailers, a variant.
pub(super) fn sample() -> StoredResponse {
    let headers = fields(&[
        ("content-type", b"text/plain; charset=iso-8859-1"),
        ("etag", b"\"a1\""),
        ("cache-tag", b"two"),
        ("cache-tag", b"one"),
        ("x-author", b"Ren\xe9"),
        ("x-empty", b""),
    ]);
    StoredResponse::new(
        StatusCode::OK,
        headers,
        Bytes::from_static(b"Hello, world!\n"),
        Some(fields(&[("grpc-status", b"0")])),
        sample_meta(),
    )
}

pub(super) fn sample_meta() -> Meta {
    Meta {
        stored_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1_790_000_000_123),
        fresh_for: Duration::from_secs(30),
        age: Duration::from_secs(2),
        cost: Duration::from_millis(41),
        stale_while_revalidate: Duration::from_secs(60),
        stale_if_error: Duration::from_secs(86_400),
        variant: Some(std::array::from_fn(|i| i as u8)),
        ..Meta::default()
    }
}

/// The sample with every extra that may stand behind the address.
pub(super) fn sample_with_extras() -> StoredResponse {
    let meta = Meta {
        kept_for: Duration::from_secs(90),
        must_revalidate: true,
        for_authorized: true,
        for_cookies: true,
        generation: Some([0xfe; 8]),
        groups: vec!["reports".to_owned(), "Ren\u{e9}".to_owned()],
        ..sample_meta()
    };
    let sample = sample();
    StoredResponse::new(
        sample.status(),
        sample.headers().clone(),
        sample.body().clone(),
        sample.trailers().cloned(),
        meta,
    )
}

pub(super) fn fields(lines: &[(&'static str, &[u8])]) -> HeaderMap {
    let mut map = HeaderMap::new();
    for (name, value) in lines {
        let name = HeaderName::from_static(name);
        map.append(name, HeaderValue::from_bytes(value).unwrap());
    }
    map
}

/// The golden frame, without a variant, in front of any message.
pub(super) fn entry_with(message: &[u8]) -> Bytes {
    let message_at = 79 + address().as_str().len();
    let mut entry = [&GOLDEN[..message_at], message].concat();
    entry[60..77].fill(0);
    seal(&mut entry);
    entry.into()
}

/// Corrects length and checksum.
pub(super) fn seal(entry: &mut [u8]) {
    let len = entry.len() as u32;
    entry[8..12].copy_from_slice(&len.to_be_bytes());
    let checksum = crc32fast::hash(&entry[8..]);
    entry[4..8].copy_from_slice(&checksum.to_be_bytes());
}

use bytes::Bytes;
use http::status::StatusCode;

use super::support::{address, fields, sample, sample_meta, sample_with_extras};
use crate::middleware::stored_response::StoredResponse;
use crate::trace::TraceContext;

/// More bytes than a reader asks for to get the head.
const FRONT: usize = 16 * 1024;

fn response(len: usize, trailers: bool) -> StoredResponse {
    let body: Vec<u8> = (0..len).map(|at| (at / 251) as u8).collect();
    let headers = fields(&[("etag", b"\"a\""), ("content-type", b"text/plain")]);
    let trailers = trailers.then(|| fields(&[("x-end", b"1")]));
    let mut meta = sample_with_extras().meta().clone();
    meta.computed_by = TraceContext::new([7; 16], Some([9; 8]));
    StoredResponse::new(StatusCode::OK, headers, body.into(), trailers, meta)
}

fn head(entry: &Bytes) -> Option<StoredResponse> {
    let front = entry.slice(..FRONT.min(entry.len()));
    StoredResponse::decode_head(&address(), &front, 0).ok()
}

#[test]
fn a_head_is_that_of_the_whole() {
    for (len, trailers) in [(FRONT, false), (100_000, true), (2 << 20, false)] {
        let whole = response(len, trailers);
        let entry = whole.encode(&address()).unwrap();
        assert_eq!(StoredResponse::decode(&address(), entry.clone()).unwrap(), whole);
        let head = head(&entry).expect("a head");
        assert_eq!((head.status(), head.headers()), (whole.status(), whole.headers()));
        assert_eq!(head.meta(), whole.meta());
        assert_eq!((head.body_len(), head.has_trailers()), (len, trailers));
        assert!(head.body().is_empty() && head.encode(&address()).is_err());
    }
}

#[test]
fn parts_are_those_of_the_whole_behind_whatever_is_in_front() {
    let len = 300_000;
    let whole = response(len, true);
    let entry = whole.encode(&address()).unwrap();
    let front = entry.slice(..FRONT);
    let stored = [&[7; 33][..], &entry].concat();
    let head = StoredResponse::decode_head(&address(), &front, 33).unwrap();
    let apart = head.apart_body().expect("a body apart");
    for part in [
        0..1,
        0..len,
        len - 1..len,
        65_535..65_537,
        65_536..131_072,
        200_000..200_001,
    ] {
        let blocks = apart.blocks(&part);
        let read = Bytes::copy_from_slice(&stored[blocks]);
        assert_eq!(apart.part(&part, &read).expect("a part"), whole.body()[part.clone()]);
        assert!(apart.part(&part, &read.slice(1..)).is_none());
        let mut damaged = read.to_vec();
        *damaged.last_mut().unwrap() ^= 1;
        assert!(apart.part(&part, &damaged.into()).is_none());
    }
}

#[test]
fn every_damaged_byte_of_a_head_is_noticed() {
    let entry = response(100_000, false).encode(&address()).unwrap();
    let content = entry.len() - 100_001;
    for at in (0..4).chain(8..content) {
        let mut damaged = entry[..FRONT].to_vec();
        damaged[at] ^= 0x10;
        assert!(head(&damaged.into()).is_none(), "byte {at}");
    }
    for len in (0..content).step_by(7) {
        assert!(head(&entry.slice(..len)).is_none(), "{len} bytes");
    }
}

#[test]
fn what_has_no_digest_has_no_head() {
    assert!(head(&sample().encode(&address()).unwrap()).is_none());
    let long = vec![b'x'; 2 * FRONT];
    let headers = fields(&[("x-long", &long)]);
    let long = StoredResponse::new(StatusCode::OK, headers, vec![0; FRONT].into(), None, sample_meta());
    let entry = long.encode(&address()).unwrap();
    assert!(head(&entry).is_none());
    assert_eq!(StoredResponse::decode(&address(), entry).unwrap(), long);
}

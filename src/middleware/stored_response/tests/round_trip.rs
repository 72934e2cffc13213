use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{CACHE_CONTROL, HeaderMap};
use http::status::StatusCode;

use super::support::{GOLDEN, address, fields, sample, sample_with_extras, seal};
use crate::codec::Codec;
use crate::middleware::stored_response::{BinaryHttp, Meta, StoredResponse, frame};
use crate::trace::TraceContext;

fn round_trip(response: &StoredResponse) -> StoredResponse {
    let bytes = response.encode(&address()).unwrap();
    StoredResponse::decode(&address(), bytes).unwrap()
}

fn with_body(body: Bytes) -> StoredResponse {
    StoredResponse::new(StatusCode::OK, HeaderMap::new(), body, None, Meta::default())
}

#[test]
fn bodies_of_any_length_come_back() {
    for len in [0, 1, 63, 64, 16_383, 16_384, 1 << 20] {
        let body: Bytes = (0..len).map(|i| i as u8).collect();
        let response = with_body(body);
        assert_eq!(round_trip(&response), response);
    }
}

#[test]
fn lines_of_one_name_keep_their_order() {
    let decoded = round_trip(&sample());
    let tags: Vec<_> = decoded.headers().get_all("cache-tag").iter().collect();
    assert_eq!(tags, ["two", "one"]);
    assert_eq!(decoded.headers().len(), 6);
}

#[test]
fn marker_comes_back_as_the_same_bytes_and_is_never_fresh() {
    let marker = StoredResponse::marker();
    let decoded = round_trip(&marker);
    assert_eq!(decoded, marker);
    assert_eq!(decoded.encode(&address()), marker.encode(&address()));
    let now = tokio::time::Instant::now();
    assert!(decoded.meta().is_marker && decoded.fresh_at(now).is_none());
    assert!(!decoded.serves_meanwhile(now) && !decoded.serves_on_error(now));
}

#[test]
fn empty_trailers_come_back_as_none() {
    let empty = Some(HeaderMap::new());
    let body = Bytes::new();
    let response = StoredResponse::new(StatusCode::OK, HeaderMap::new(), body, empty, Meta::default());
    assert_eq!(response.trailers(), None);
    assert_eq!(round_trip(&response).trailers(), None);
}

#[test]
fn body_and_values_are_slices_of_the_entry() {
    let entry = Bytes::from(GOLDEN.to_vec());
    let range = entry.as_ptr_range();
    let decoded = StoredResponse::decode(&address(), entry).unwrap();
    assert!(range.contains(&decoded.body().as_ptr()));
    let values = decoded.headers().values().filter(|value| !value.is_empty());
    for value in values {
        assert!(range.contains(&value.as_bytes().as_ptr()));
    }
}

#[test]
fn entry_is_allocated_in_its_length() {
    for response in [sample(), with_body(Bytes::from(vec![7; 20_000]))] {
        let entry = frame::encode(&address(), &response).unwrap();
        assert_eq!(entry.capacity(), entry.len());
    }
}

#[test]
fn blanks_at_the_ends_of_values_are_not_stored() {
    let headers = fields(&[("cache-control", b" \t max-age=1 \t")]);
    let response = StoredResponse::new(StatusCode::OK, headers, Bytes::new(), None, Meta::default());
    assert_eq!(round_trip(&response).headers()[CACHE_CONTROL], "max-age=1");
}

#[test]
fn metadata_lose_only_what_is_documented() {
    let meta = Meta {
        stored_at: SystemTime::UNIX_EPOCH + Duration::from_nanos(1_999_999),
        fresh_for: Duration::MAX,
        cost: Duration::from_micros(999),
        ..Meta::default()
    };
    let response = StoredResponse::new(StatusCode::OK, HeaderMap::new(), Bytes::new(), None, meta);
    let decoded = round_trip(&response);
    let expected = Meta {
        stored_at: SystemTime::UNIX_EPOCH + Duration::from_millis(1),
        fresh_for: Duration::from_secs(1 << 31),
        ..Meta::default()
    };
    assert_eq!(*decoded.meta(), expected);
}

#[test]
fn what_computed_it_stays_and_what_is_no_trace_context_is_ignored() {
    let of = |computed_by| {
        let meta = Meta {
            computed_by,
            ..sample_with_extras().meta().clone()
        };
        StoredResponse::new(StatusCode::OK, HeaderMap::new(), Bytes::new(), None, meta)
    };
    let plain = of(None).encode(&address()).unwrap();
    for span in [None, Some([9; 8])] {
        let traced = of(TraceContext::new([7; 16], span));
        assert_eq!(round_trip(&traced), traced);
        // A node that does not know the tag of the field leaves the field out, and reads the rest.
        let mut entry = traced.encode(&address()).unwrap().to_vec();
        let len = if span.is_some() { 24 } else { 16 };
        assert_eq!(entry.len(), plain.len() + 3 + len);
        let at = entry.windows(3).position(|window| window == [6, 0, len as u8]).unwrap();
        let ids = at + 3..at + 3 + len;
        entry[at] = 200;
        seal(&mut entry);
        assert_eq!(StoredResponse::decode(&address(), entry.clone()).unwrap(), of(None));
        entry[at] = 6;
        entry[ids].fill(0);
        seal(&mut entry);
        assert_eq!(StoredResponse::decode(&address(), entry).unwrap(), of(None));
    }
}

#[test]
fn codec_shares_what_it_decoded() {
    let value = Arc::new(sample());
    let bytes = BinaryHttp.encode(&address(), &value).unwrap();
    assert_eq!(BinaryHttp.decode(&address(), bytes).unwrap(), value);
    assert!(BinaryHttp.decode(&address(), Bytes::from_static(b"{}")).is_err());
    assert!(BinaryHttp.weight(&value) > value.body().len());
}

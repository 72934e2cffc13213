use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::status::StatusCode;
use proptest::collection::vec;
use proptest::prelude::*;

use super::support::{GOLDEN_EXTRAS, address, entry_with, seal};
use crate::middleware::stored_response::{Meta, StoredResponse};
use crate::trace::TraceContext;

fn name() -> impl Strategy<Value = HeaderName> {
    let known = prop::sample::select(vec!["etag", "vary", "content-type", "x-a", "x-b"]);
    let any = "[a-z0-9!#$%&'*+.^_`|~-]{1,80}";
    prop_oneof![known.prop_map(str::to_owned), any.prop_map(String::from)]
        .prop_map(|name| HeaderName::try_from(name).unwrap())
}

fn value() -> impl Strategy<Value = HeaderValue> {
    let byte = prop_oneof![4 => 0x20..0x7f_u8, 1 => 0x80..=0xff_u8, 1 => Just(b'\t')];
    vec(byte, 0..100).prop_map(|bytes| HeaderValue::from_bytes(bytes.trim_ascii()).unwrap())
}

fn field_lines() -> impl Strategy<Value = HeaderMap> {
    vec((name(), value()), 0..20).prop_map(|lines| {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(name, value);
        }
        map
    })
}

fn meta() -> impl Strategy<Value = Meta> {
    let span = || (0..=(1_u64 << 31) * 1000).prop_map(Duration::from_millis);
    let stored_at = 0..253_402_300_800_000_u64;
    let variant: BoxedStrategy<Option<[u8; 16]>> = any::<Option<[u8; 16]>>().boxed();
    let spans = (span(), span(), span(), span(), span(), span());
    let extras = (
        any::<[bool; 3]>(),
        any::<Option<[u8; 8]>>(),
        vec("[ -~]{0,9}|\\PC{1,3}", 0..4),
        any::<Option<([u8; 16], Option<[u8; 8]>)>>(),
        any::<Option<u64>>(),
    );
    (stored_at, spans, variant, extras).prop_map(|(stored_at, spans, variant, extras)| {
        let (fresh_for, age, cost, stale_while_revalidate, stale_if_error, kept_for) = spans;
        let ([must_revalidate, for_authorized, for_cookies], generation, groups, computed_by, began) = extras;
        Meta {
            stored_at: SystemTime::UNIX_EPOCH + Duration::from_millis(stored_at),
            fresh_for,
            age,
            cost,
            stale_while_revalidate,
            stale_if_error,
            variant,
            kept_for,
            must_revalidate,
            for_authorized,
            for_cookies,
            generation,
            groups,
            computed_by: computed_by.and_then(|(trace, span)| TraceContext::new(trace, span)),
            began,
            is_marker: false,
        }
    })
}

fn response(longest: usize) -> impl Strategy<Value = StoredResponse> {
    let status = (200..=599_u16).prop_map(|code| StatusCode::from_u16(code).unwrap());
    let body = vec(any::<u8>(), 0..=longest).prop_map(Bytes::from);
    let trailers = prop::option::of(field_lines());
    (status, field_lines(), body, trailers, meta())
        .prop_map(|(status, headers, body, trailers, meta)| StoredResponse::new(status, headers, body, trailers, meta))
}

/// The decoder must not panic, and an entry that it accepts must mean the same once it is encoded again.
fn decode_consistently(entry: Bytes) -> Result<(), TestCaseError> {
    if let Ok(response) = StoredResponse::decode(&address(), entry) {
        let again = response.encode(&address()).unwrap();
        prop_assert_eq!(StoredResponse::decode(&address(), again), Ok(response));
    }
    Ok(())
}

proptest! {
    #[test]
    fn any_response_comes_back(response in response(20_000)) {
        let entry = response.encode(&address()).unwrap();
        prop_assert_eq!(StoredResponse::decode(&address(), entry), Ok(response));
    }

    #[test]
    fn any_damaged_byte_is_noticed(response in response(50), mask in 1..=u8::MAX) {
        let mut entry = response.encode(&address()).unwrap().to_vec();
        for at in 0..entry.len() {
            entry[at] ^= mask;
            let damaged = Bytes::copy_from_slice(&entry);
            prop_assert!(StoredResponse::decode(&address(), damaged).is_err());
            entry[at] ^= mask;
        }
    }

    #[test]
    fn any_truncation_is_noticed(response in response(50)) {
        let entry = response.encode(&address()).unwrap();
        for len in 0..entry.len() {
            prop_assert!(StoredResponse::decode(&address(), entry.slice(..len)).is_err());
        }
    }

    #[test]
    fn any_bytes_are_decoded_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        decode_consistently(bytes.into())?;
    }

    #[test]
    fn any_message_is_decoded_or_refused(bytes in vec(any::<u8>(), 0..300)) {
        decode_consistently(entry_with(&bytes))?;
        decode_consistently(entry_with(&[b"\x01\x40\xc8", &bytes[..]].concat()))?;
    }

    #[test]
    fn any_sealed_damage_is_decoded_or_refused(
        damage in vec((12..GOLDEN_EXTRAS.len(), any::<u8>()), 1..4),
    ) {
        let mut entry = GOLDEN_EXTRAS.to_vec();
        for (at, byte) in damage {
            entry[at] = byte;
        }
        seal(&mut entry);
        decode_consistently(entry.into())?;
    }
}

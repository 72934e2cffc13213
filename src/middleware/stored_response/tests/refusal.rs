use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::status::StatusCode;

use super::support::{GOLDEN, address, entry_with, seal};
use crate::key::{Address, Key, Tag};
use crate::middleware::stored_response::{Meta, StoredResponse, StoredResponseError};

fn refused(entry: impl Into<Bytes>) -> StoredResponseError {
    StoredResponse::decode(&address(), entry).unwrap_err()
}

/// Why the decoder refuses the golden entry once a test has changed it and sealed it again.
fn refused_after(change: impl FnOnce(&mut Vec<u8>)) -> StoredResponseError {
    let mut entry = GOLDEN.to_vec();
    change(&mut entry);
    seal(&mut entry);
    refused(entry)
}

fn refused_message(message: &[u8]) -> StoredResponseError {
    refused(entry_with(message))
}

/// The message with these bytes as its header section.
fn refused_section(section: &[u8]) -> StoredResponseError {
    let len = (section.len() as u32 | 2 << 30).to_be_bytes();
    refused_message(&[b"\x01\x40\xc8", &len[..], section, b"\0\0"].concat())
}

fn refused_field(name: &[u8], value: &[u8]) -> StoredResponseError {
    let line = [&[name.len() as u8], name, &[value.len() as u8], value];
    refused_section(&line.concat())
}

#[test]
fn other_formats_and_versions() {
    for entry in [&b""[..], b"MLK", b"{\"status\":200}", b"MLK\x02 and more"] {
        assert_eq!(refused(entry), StoredResponseError::Magic);
    }
    assert_eq!(refused_after(|entry| entry[3] = 2), StoredResponseError::Magic);
    assert_eq!(refused(&b"MLK\x01\0\0"[..]), StoredResponseError::Truncated);
}

#[test]
fn every_change_of_a_byte() {
    let mut entry = GOLDEN.to_vec();
    for at in 0..entry.len() {
        for mask in 1..=u8::MAX {
            entry[at] ^= mask;
            let error = refused(Bytes::copy_from_slice(&entry));
            match at {
                // Without the frame it would have to be a message alone, and it is none.
                0 if entry[0] == 1 => {}
                0..4 => assert_eq!(error, StoredResponseError::Magic),
                8..12 => assert!(matches!(error, StoredResponseError::Length { .. })),
                _ => assert_eq!(error, StoredResponseError::Checksum),
            }
            entry[at] ^= mask;
        }
    }
}

#[test]
fn every_truncation_even_with_a_checksum_that_matches() {
    for len in 0..GOLDEN.len() {
        refused(&GOLDEN[..len]);
        if len >= 12 {
            let error = refused_after(|entry| entry.truncate(len));
            assert_eq!(error, StoredResponseError::Truncated);
        }
    }
}

#[test]
fn messages_without_their_trailer_section() {
    let whole = b"\x01\x40\xc8\0\0\0";
    assert!(StoredResponse::decode(&address(), entry_with(whole)).is_ok());
    for len in 0..whole.len() {
        assert_eq!(refused_message(&whole[..len]), StoredResponseError::Truncated);
    }
}

#[test]
fn bytes_behind_the_end() {
    let error = refused([GOLDEN, b"\0"].concat());
    let (declared, actual) = (GOLDEN.len(), GOLDEN.len() + 1);
    assert_eq!(error, StoredResponseError::Length { declared, actual });
    let error = refused_after(|entry| entry.push(0));
    assert_eq!(error, StoredResponseError::TrailingBytes);
}

#[test]
fn entries_of_other_addresses() {
    let entry = Bytes::from_static(GOLDEN);
    for (tag, id) in [
        ("report", "{GET //example.com/report/4}"),
        ("report", "{GET //example.com/report/420}"),
        ("report", "{GET //example.com/report/43}"),
        ("reports", "{GET //example.com/report/42}"),
    ] {
        let other = Address::new(&Tag::new(tag).unwrap(), &Key::new(id).unwrap());
        let error = StoredResponse::decode(&other, entry.clone());
        assert_eq!(error, Err(StoredResponseError::Address));
    }
    let error = refused_after(|entry| entry[77..79].fill(0xff));
    assert_eq!(error, StoredResponseError::Truncated);
}

#[test]
fn metadata_out_of_range() {
    let error = refused_after(|entry| {
        entry[12..20].copy_from_slice(&253_402_300_800_000_u64.to_be_bytes());
    });
    assert_eq!(error, StoredResponseError::StoredAt);
    assert_eq!(
        refused_after(|entry| entry[12..20].fill(0xff)),
        StoredResponseError::StoredAt
    );
    for at in [20, 28, 36, 44, 52] {
        let too_long = ((1_u64 << 31) * 1000 + 1).to_be_bytes();
        let error = refused_after(|entry| entry[at..at + 8].copy_from_slice(&too_long));
        assert_eq!(error, StoredResponseError::Metadata);
    }
    for flags in [0, 2, 4, 5, 0x80] {
        let error = refused_after(|entry| entry[60] = flags);
        assert_eq!(error, StoredResponseError::Metadata);
    }
}

/// The golden entry with these extras.
fn with_extras(extras: &[u8]) -> Vec<u8> {
    let at = 79 + address().as_str().len();
    let mut entry = GOLDEN.to_vec();
    entry[60] |= 2;
    let len = u16::try_from(extras.len()).unwrap().to_be_bytes();
    entry.splice(at..at, [&len[..], extras].concat());
    seal(&mut entry);
    entry
}

#[test]
fn extras_out_of_order_or_shape() {
    let kept = [&[1, 0, 8][..], &1000_u64.to_be_bytes()].concat();
    assert!(StoredResponse::decode(&address(), with_extras(&kept)).is_ok());
    let too_long = [&[1, 0, 8][..], &((1_u64 << 31) * 1000 + 1).to_be_bytes()].concat();
    for (extras, expected) in [
        (&too_long[..], StoredResponseError::Metadata),
        (&[kept.clone(), kept.clone()].concat(), StoredResponseError::Metadata),
        (&[&[3, 0, 1, 0][..], &kept].concat(), StoredResponseError::Metadata),
        (&[0, 0, 0], StoredResponseError::Metadata),
        (&[3, 0, 2, 0, 0], StoredResponseError::Metadata),
        (&[4, 0, 1, 0xff], StoredResponseError::Metadata),
        (&[3, 0, 0], StoredResponseError::Truncated),
        (&[2, 0, 1, 0], StoredResponseError::Truncated),
        (&[4, 0, 2, b'a'], StoredResponseError::Truncated),
        (&[4], StoredResponseError::Truncated),
    ] {
        assert_eq!(refused(with_extras(extras)), expected, "{extras:?}");
    }
    let later = StoredResponse::decode(&address(), with_extras(&[4, 0, 1, b'a', 200, 0, 1, 7])).unwrap();
    assert_eq!(later.meta().groups, ["a"]);
}

#[test]
fn other_kinds_of_messages() {
    for indicator in [&b"\0"[..], b"\x02", b"\x03", b"\x04", b"\x40\x01", b"\x80\0\0\x01"] {
        let error = refused_message(&[indicator, b"\x40\xc8\0\0\0"].concat());
        assert_eq!(error, StoredResponseError::Framing);
    }
    let informational = b"\x01\x40\x67\0\x40\xc8\0\0\0";
    assert_eq!(refused_message(informational), StoredResponseError::Status(103));
}

#[test]
fn statuses_that_are_not_final() {
    for code in [0, 99, 100, 199, 600, 999, 1000, 70_000, u32::MAX] {
        let status = (u64::from(code) | 3 << 62).to_be_bytes();
        let error = refused_message(&[b"\x01", &status[..], b"\0\0\0"].concat());
        assert_eq!(error, StoredResponseError::Status(code.into()));
    }
}

#[test]
fn lengths_beyond_the_end() {
    for message in [
        &b"\x01\x40\xc8\x03\x01a\x01"[..],
        b"\x01\x40\xc8\xff\xff\xff\xff\xff\xff\xff\xff\0\0",
        b"\x01\x40\xc8\0\xbf\xff\xff\xff\0",
        b"\x01\x40\xc8\0\0\x7f\xff",
    ] {
        assert_eq!(refused_message(message), StoredResponseError::Truncated);
    }
    for section in [&b"\x01"[..], b"\x01a", b"\x01a\x02b", b"\x40", b"\x01a\x01b\x01"] {
        assert_eq!(refused_section(section), StoredResponseError::Truncated);
    }
}

#[test]
fn invalid_names() {
    for name in [&b""[..], b":status", b":x", b"Etag", b"a b", b"a:", b"a\0", b"\xc3\xa9"] {
        assert_eq!(refused_field(name, b"v"), StoredResponseError::FieldName);
    }
    let long = vec![b'a'; 1 << 16];
    let section = [b"\x80\x01\0\0", &long[..], b"\0"].concat();
    assert_eq!(refused_section(&section), StoredResponseError::FieldName);
}

#[test]
fn invalid_values() {
    for value in [
        &b"a\0"[..],
        b"a\r\nb: c",
        b"a\nb",
        b"\x7f",
        b"\x01",
        b" a",
        b"a ",
        b"\t",
        b"a\n",
    ] {
        assert_eq!(refused_field(b"a", value), StoredResponseError::FieldValue);
    }
}

#[test]
fn too_many_fields() {
    let most = b"\x01a\0".repeat(4096);
    let len = (most.len() as u32 | 2 << 30).to_be_bytes();
    let message = [b"\x01\x40\xc8", &len[..], &most, b"\0\0"].concat();
    let decoded = StoredResponse::decode(&address(), entry_with(&message)).unwrap();
    assert_eq!(decoded.headers().len(), 4096);

    let error = refused_section(&b"\x01a\0".repeat(4097));
    assert_eq!(error, StoredResponseError::TooManyFields);
}

fn not_encoded(status: u16, headers: HeaderMap, meta: Meta) -> StoredResponseError {
    let status = StatusCode::from_u16(status).unwrap();
    let response = StoredResponse::new(status, headers, Bytes::new(), None, meta);
    response.encode(&address()).unwrap_err()
}

#[test]
fn responses_that_cannot_be_expressed() {
    for code in [100, 199, 600, 999] {
        let error = not_encoded(code, HeaderMap::new(), Meta::default());
        assert_eq!(error, StoredResponseError::Status(code.into()));
    }
    for stored_at in [
        SystemTime::UNIX_EPOCH - Duration::from_millis(1),
        SystemTime::UNIX_EPOCH + Duration::from_secs(253_402_300_800),
    ] {
        let meta = Meta {
            stored_at,
            ..Meta::default()
        };
        let error = not_encoded(200, HeaderMap::new(), meta);
        assert_eq!(error, StoredResponseError::StoredAt);
    }
    let mut many = HeaderMap::new();
    for _ in 0..4097 {
        many.append("a", HeaderValue::from_static(""));
    }
    assert_eq!(
        not_encoded(200, many.clone(), Meta::default()),
        StoredResponseError::TooManyFields
    );
    let response = StoredResponse::new(
        StatusCode::OK,
        HeaderMap::new(),
        Bytes::new(),
        Some(many),
        Meta::default(),
    );
    assert_eq!(response.encode(&address()), Err(StoredResponseError::TooManyFields));
}

/// Many lines share one value of a mebibyte: their sum exceeds the limit, their memory does not.
#[test]
fn responses_that_are_too_long() {
    let value = HeaderValue::from_maybe_shared(Bytes::from(vec![b'a'; 1 << 20])).unwrap();
    let mut headers = HeaderMap::new();
    for _ in 0..2048 {
        headers.append(HeaderName::from_static("a"), value.clone());
    }
    assert_eq!(not_encoded(200, headers, Meta::default()), StoredResponseError::TooLong);
}

#[test]
fn errors_speak_for_themselves() {
    let error = StoredResponse::decode(&address(), &GOLDEN[..100]);
    let text = error.unwrap_err().to_string();
    assert_eq!(
        text,
        format!("the entry is {} bytes long, and 100 are there", GOLDEN.len())
    );
}

use std::io::Cursor;

use bhttp::{FieldSection, Message, Mode};
use bytes::Bytes;
use http::header::HeaderMap;
use http::status::StatusCode;

use super::support::{GOLDEN, address, entry_with, fields, sample};
use crate::middleware::stored_response::{Meta, StoredResponse};

/// The message that `bhttp` makes of a response.
fn by_bhttp(response: &StoredResponse) -> Vec<u8> {
    let status = bhttp::StatusCode::try_from(response.status().as_u16()).unwrap();
    let mut message = Message::response(status);
    for (name, value) in response.headers() {
        message.put_header(name.as_str(), value.as_bytes());
    }
    message.write_content(response.body());
    for (name, value) in response.trailers().into_iter().flatten() {
        message.put_trailer(name.as_str(), value.as_bytes());
    }
    let mut bytes = Vec::new();
    message.write_bhttp(Mode::KnownLength, &mut bytes).unwrap();
    bytes
}

fn message_of(entry: &[u8]) -> &[u8] {
    let rest = &entry[79 + address().as_str().len()..];
    match entry[60] & 2 {
        0 => rest,
        _ => &rest[2 + usize::from(u16::from_be_bytes([rest[0], rest[1]]))..],
    }
}

fn responses() -> Vec<StoredResponse> {
    let of = |status, headers, len, trailers| {
        let body = Bytes::from(vec![b'x'; len]);
        StoredResponse::new(status, headers, body, trailers, Meta::default())
    };
    let long = [b'v'; 20_000];
    vec![
        sample(),
        of(StatusCode::NO_CONTENT, HeaderMap::new(), 0, None),
        of(StatusCode::NOT_FOUND, fields(&[("x-long", &long)]), 70, None),
        of(StatusCode::OK, fields(&[("x-a", b"\xff")]), 1 << 20, None),
        of(StatusCode::OK, HeaderMap::new(), 3, Some(fields(&[("x-long", &long)]))),
        of(StatusCode::from_u16(599).unwrap(), HeaderMap::new(), 16_384, None),
    ]
}

#[test]
fn messages_are_those_of_bhttp() {
    for response in responses() {
        let entry = response.encode(&address()).unwrap();
        assert_eq!(message_of(&entry), by_bhttp(&response));
    }
}

#[test]
fn bhttp_reads_the_message() {
    let lines = |section: &FieldSection| -> Vec<(Vec<u8>, Vec<u8>)> {
        let lines = section.iter();
        lines.map(|f| (f.name().to_vec(), f.value().to_vec())).collect()
    };
    let message = Message::read_bhttp(&mut Cursor::new(message_of(GOLDEN))).unwrap();
    assert_eq!(message.control().status().map(|s| s.code()), Some(200));
    assert_eq!(message.content(), b"Hello, world!\n");
    assert_eq!(lines(message.header()).len(), 6);
    assert_eq!(message.header().get(b"x-author"), Some(&b"Ren\xe9"[..]));
    let tags: Vec<_> = message.header().get_all(b"cache-tag").collect();
    assert_eq!(tags, [b"two", b"one"]);
    assert_eq!(lines(message.trailer()), [(b"grpc-status".to_vec(), b"0".to_vec())]);
}

#[test]
fn messages_of_bhttp_are_read() {
    for response in responses() {
        let entry = entry_with(&by_bhttp(&response));
        let decoded = StoredResponse::decode(&address(), entry).unwrap();
        assert_eq!(decoded.status(), response.status());
        assert_eq!(decoded.headers(), response.headers());
        assert_eq!(decoded.body(), response.body());
        assert_eq!(decoded.trailers(), response.trailers());
    }
}

/// The response with a trailer from RFC 9292, section 5.2.
#[test]
fn example_of_the_standard_is_read() {
    let message = b"\x01\x40\xc8\x00\x1dThis content contains CRLF.\r\n\x0d\x07trailer\x04text";
    let decoded = StoredResponse::decode(&address(), entry_with(message)).unwrap();
    assert_eq!(decoded.status(), StatusCode::OK);
    assert!(decoded.headers().is_empty());
    assert_eq!(decoded.body(), &b"This content contains CRLF.\r\n"[..]);
    assert_eq!(decoded.trailers(), Some(&fields(&[("trailer", b"text")])));
}

#[test]
fn lengths_need_not_be_in_their_shortest_form() {
    let status = b"\x80\0\0\xc8";
    let headers = b"\x40\x08\x40\x01a\x80\0\0\x01b";
    let content = b"\xc0\0\0\0\0\0\0\x02ok";
    let message = [&b"\x01"[..], status, headers, content, b"\x40\0"].concat();
    let decoded = StoredResponse::decode(&address(), entry_with(&message)).unwrap();
    assert_eq!(decoded.status(), StatusCode::OK);
    assert_eq!(*decoded.headers(), fields(&[("a", b"b")]));
    assert_eq!(decoded.body(), "ok");
}

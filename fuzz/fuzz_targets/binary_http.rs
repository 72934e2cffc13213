//! A binary HTTP message that the decoder accepts is one to another implementation, too, and says the same.
//!
//! The input is the message alone; the frame around it is right.

#![no_main]

mod support;

use std::io::Cursor;
use std::sync::LazyLock;

use bytes::Bytes;
use http::{HeaderMap, StatusCode};
use libfuzzer_sys::fuzz_target;
use support::{ADDRESS, sealed};
use tower_memolock::middleware::stored_response::{Meta, StoredResponse};

/// An entry without its message.
static FRAME: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let empty = StoredResponse::new(StatusCode::OK, HeaderMap::new(), Bytes::new(), None, Meta::default());
    let entry = empty.encode(&ADDRESS).expect("an entry");
    let message = entry.len() - 6;
    assert_eq!(entry[message..], [1, 0x40, 200, 0, 0, 0]);
    entry[..message].to_vec()
});

fuzz_target!(|message: &[u8]| {
    let Some(entry) = sealed(&[&FRAME, message].concat()) else {
        return;
    };
    let Ok(ours) = StoredResponse::decode(&ADDRESS, entry) else {
        return;
    };
    let theirs = bhttp::Message::read_bhttp(&mut Cursor::new(message)).expect("a message to others");
    assert_eq!(
        theirs.control().status().map(|status| status.code()),
        Some(ours.status().as_u16())
    );
    assert_eq!(theirs.content(), &ours.body()[..]);
    assert_eq!(count(theirs.header()), ours.headers().len());
    assert_eq!(count(theirs.trailer()), ours.trailers().map_or(0, HeaderMap::len));
});

fn count(fields: &bhttp::FieldSection) -> usize {
    fields.iter().count()
}

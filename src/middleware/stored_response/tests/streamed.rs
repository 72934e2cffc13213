//! Entries that are written and read in pieces.

use bytes::Bytes;
use http::HeaderMap;
use proptest::prelude::*;

use super::support::{address, sample_with_extras as rich};
use crate::middleware::stored_response::{
    StoredResponse, StoredResponseError, Streamed, StreamedDecoder, StreamedEncoder,
};
use crate::store::{PartId, Token};

fn encoded(response: &StoredResponse, pieces: &[&[u8]]) -> Vec<u8> {
    let id = PartId::new(Token::random());
    let (mut encoder, head) = StreamedEncoder::begin(&address(), response, id).unwrap();
    let mut out = head.to_vec();
    assert_eq!(crate::store::parts::Part::id_in(&out), Some(id));
    for piece in pieces {
        out.extend_from_slice(&encoder.chunk(piece));
    }
    out.extend_from_slice(&encoder.end(response.trailers()).unwrap());
    out
}

/// What a reader gets of an entry whose bytes come in pieces of this length.
fn decoded(bytes: &[u8], length: usize) -> Result<(StoredResponse, Vec<u8>, HeaderMap), StoredResponseError> {
    let mut decoder = StreamedDecoder::new();
    let (mut head, mut content, mut end) = (None, Vec::new(), None);
    for piece in bytes.chunks(length) {
        decoder.push(Bytes::copy_from_slice(piece));
        while let Some(next) = decoder.next(&address())? {
            match next {
                Streamed::Head(response) => head = Some(*response),
                Streamed::Data(data) => content.extend_from_slice(&data),
                Streamed::End(trailers) => end = Some(trailers),
            }
        }
    }
    match (head, end) {
        (Some(head), Some(end)) => Ok((head, content, end)),
        _ => Err(StoredResponseError::Truncated),
    }
}

#[test]
fn an_entry_in_pieces_is_the_response() {
    let response = rich();
    let bytes = encoded(&response, &[&response.body()[..1], &response.body()[1..]]);
    assert_eq!(StoredResponse::decode(&address(), bytes.clone()), Ok(response.clone()));
    for length in [1, 2, 3, 7, 64, bytes.len()] {
        let (head, content, trailers) = decoded(&bytes, length).unwrap();
        assert_eq!(head.status(), response.status());
        assert_eq!(head.headers(), response.headers());
        assert_eq!(head.meta(), response.meta());
        assert_eq!(content, response.body()[..]);
        assert_eq!(Some(&trailers), response.trailers());
    }
}

#[test]
fn nothing_less_and_nothing_else_is_whole() {
    let response = rich();
    let bytes = encoded(&response, &[response.body()]);
    for length in 0..bytes.len() {
        assert!(
            StoredResponse::decode(&address(), bytes[..length].to_vec()).is_err(),
            "{length}"
        );
        assert!(decoded(&bytes[..length], 5).is_err(), "{length}");
    }
    for at in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[at] ^= 1;
        assert!(
            StoredResponse::decode(&address(), changed.clone()).is_err(),
            "byte {at}"
        );
        assert!(decoded(&changed, 5).is_err(), "byte {at}");
    }
    let more = [&bytes[..], b"\0"].concat();
    assert!(StoredResponse::decode(&address(), more).is_err());
}

#[test]
fn two_attempts_make_no_whole() {
    let response = rich();
    let [one, two] = [b"aaaa", b"bbbb"].map(|piece| encoded(&response, &[piece, piece]));
    assert_eq!(one.len(), two.len());
    for at in 1..one.len() {
        let mixed = [&one[..at], &two[at..]].concat();
        assert!(mixed == one || mixed == two || decoded(&mixed, 9).is_err(), "{at}");
    }
}

#[test]
fn a_head_that_is_too_long_is_not_shown() {
    let mut headers = HeaderMap::new();
    headers.insert("x-long", "x".repeat(40_000).parse().unwrap());
    let response = StoredResponse::new(rich().status(), headers, Bytes::new(), None, rich().meta().clone());
    let begun = StreamedEncoder::begin(&address(), &response, PartId::new(Token::random()));
    assert!(matches!(begun.map(|_| ()), Err(StoredResponseError::TooLong)));
}

proptest! {
    #[test]
    fn no_bytes_make_a_reader_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), length in 1_usize..40) {
        let _ = decoded(&bytes, length);
        let _ = decoded(&[b"MLK\x02", &bytes[..]].concat(), length);
    }

    #[test]
    fn content_survives_any_pieces(pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..40), 0..8), length in 1_usize..40) {
        let pieces: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let bytes = encoded(&rich(), &pieces);
        let (_, content, _) = decoded(&bytes, length).unwrap();
        prop_assert_eq!(content, pieces.concat());
    }
}

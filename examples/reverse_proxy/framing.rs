//! Where the body of a response ends, as its fields say (RFC 9112, section 6.3).

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, HeaderName, Method, StatusCode};

/// The body is coded in a way that hyper does not take off again: its bytes would be passed on as what they are not.
#[derive(Debug)]
pub(crate) struct UnknownCoding;

/// Leaves one `Content-Length` at most, and none that the body does not have.
///
/// hyper has read the body by `Transfer-Encoding` where both are there, and by a length that it found repeated.
pub(crate) fn settle(method: &Method, status: StatusCode, headers: &mut HeaderMap) -> Result<(), UnknownCoding> {
    let has_content = *method != Method::HEAD && !matches!(status.as_u16(), 204 | 304);
    if headers.contains_key(TRANSFER_ENCODING) {
        headers.remove(CONTENT_LENGTH);
        let codings: Vec<_> = members(headers, &TRANSFER_ENCODING).collect();
        let is_plain = match codings[..] {
            [coding] => coding.eq_ignore_ascii_case(b"chunked") || is_no_coding(coding),
            _ => false,
        };
        return match has_content && !is_plain {
            true => Err(UnknownCoding),
            false => Ok(()),
        };
    }
    let length = length(headers).filter(|_| status != StatusCode::NO_CONTENT);
    match length {
        Some(length) => drop(headers.insert(CONTENT_LENGTH, length.into())),
        None => drop(headers.remove(CONTENT_LENGTH)),
    }
    Ok(())
}

/// Whether this is a word that means nothing (RFC 9112, section 7): hyper reads such a body until the connection ends.
fn is_no_coding(word: &[u8]) -> bool {
    const CODINGS: [&str; 6] = ["chunked", "compress", "deflate", "gzip", "x-compress", "x-gzip"];
    let is_coding = |coding: &&str| word.eq_ignore_ascii_case(coding.as_bytes());
    !word.is_empty() && !CODINGS.iter().any(is_coding)
}

/// The length that all members tell.
fn length(headers: &HeaderMap) -> Option<u64> {
    let mut lengths = members(headers, &CONTENT_LENGTH).map(|member| {
        let is_number = !member.is_empty() && member.iter().all(u8::is_ascii_digit);
        let text = str::from_utf8(member).ok().filter(|_| is_number)?;
        text.parse::<u64>().ok()
    });
    let first = lengths.next()??;
    lengths.all(|length| length == Some(first)).then_some(first)
}

fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter();
    lines
        .flat_map(|line| line.as_bytes().split(|byte| *byte == b','))
        .map(<[u8]>::trim_ascii)
}

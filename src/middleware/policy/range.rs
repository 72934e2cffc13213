//! Ranges of a stored response (RFC 9110, 14).

use std::ops::Range;

use http::HeaderMap;
use http::header::RANGE;

use super::conditions::if_range_holds;

/// What a request gets that may have asked for a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Selection {
    /// All of it: there is no range, or several, or one that cannot be parsed, or a range of another response than the
    /// stored one.
    Whole,
    /// These bytes.
    Part(Range<usize>),
    /// Nothing: the range begins behind the end.
    Unsatisfiable,
}

/// What a request with these fields gets of a stored response with these fields and `len` bytes.
///
/// Several ranges are answered with all of it, which section 14.2 allows: an answer in parts would cost more than it
/// saves.
pub(crate) fn select(request: &HeaderMap, stored: &HeaderMap, len: usize) -> Selection {
    let mut lines = request.get_all(RANGE).iter();
    let (Some(range), None) = (lines.next(), lines.next()) else {
        return Selection::Whole;
    };
    if !if_range_holds(request, stored) {
        return Selection::Whole;
    }
    parse(range.as_bytes()).map_or(Selection::Whole, |(first, last)| match (first, last) {
        (Some(first), _) if first >= len => Selection::Unsatisfiable,
        (Some(first), Some(last)) => Selection::Part(first..last.saturating_add(1).min(len)),
        (Some(first), None) => Selection::Part(first..len),
        (None, Some(0)) => Selection::Unsatisfiable,
        (None, _) if len == 0 => Selection::Whole,
        (None, suffix) => Selection::Part(len.saturating_sub(suffix.unwrap_or(len))..len),
    })
}

/// The ends of one range of bytes, or the length of a suffix; `None` for anything else.
fn parse(range: &[u8]) -> Option<(Option<usize>, Option<usize>)> {
    let (unit, set) = range.split_at_checked(6)?;
    if !unit.eq_ignore_ascii_case(b"bytes=") {
        return None;
    }
    let set = set.trim_ascii();
    let dash = set.iter().position(|byte| *byte == b'-')?;
    let (first, last) = (position(&set[..dash])?, position(&set[dash + 1..])?);
    match (first, last) {
        (None, None) => None,
        (Some(first), Some(last)) if first > last => None,
        ends => Some(ends),
    }
}

/// The digits as a number, `Some(None)` where there are none. A number that is too large counts as the largest one.
fn position(digits: &[u8]) -> Option<Option<usize>> {
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let add = |number: usize, digit: &u8| number.saturating_mul(10).saturating_add(usize::from(digit - b'0'));
    Some((!digits.is_empty()).then(|| digits.iter().fold(0, add)))
}

#[cfg(test)]
mod tests {
    use super::super::headers;
    use super::Selection::{Part, Unsatisfiable, Whole};
    use super::*;

    #[test]
    fn one_range_of_bytes_is_selected() {
        for (range, len, expected) in [
            ("bytes=0-1", 11, Part(0..2)),
            ("Bytes= 0-1", 11, Part(0..2)),
            ("bytes=1-", 11, Part(1..11)),
            ("bytes=-1", 11, Part(10..11)),
            ("bytes=-99", 11, Part(0..11)),
            ("bytes=10-99", 11, Part(10..11)),
            ("bytes=0-18446744073709551616", 11, Part(0..11)),
            ("bytes=11-", 11, Unsatisfiable),
            ("bytes=99-100", 11, Unsatisfiable),
            ("bytes=18446744073709551616-", 11, Unsatisfiable),
            ("bytes=-0", 11, Unsatisfiable),
            ("bytes=0-", 0, Unsatisfiable),
            ("bytes=-5", 0, Whole),
            ("bytes=2-1", 11, Whole),
            ("bytes=-", 11, Whole),
            ("bytes=", 11, Whole),
            ("bytes", 11, Whole),
            ("bytes=a-b", 11, Whole),
            ("bytes=+1-2", 11, Whole),
            ("bytes=0 - 1", 11, Whole),
            ("bytes=0-1,3-4", 11, Whole),
            ("pages=0-1", 11, Whole),
        ] {
            let request = headers(&[("range", range)]);
            assert_eq!(select(&request, &headers(&[]), len), expected, "{range} of {len}");
        }
        assert_eq!(select(&headers(&[]), &headers(&[]), 1), Whole);
        let lines = [("range", "bytes=0-1"), ("range", "bytes=0-1")];
        assert_eq!(select(&headers(&lines), &headers(&[]), 9), Whole);
    }

    #[test]
    fn range_of_something_else_is_ignored() {
        let request = headers(&[("range", "bytes=0-1"), ("if-range", "\"a\"")]);
        assert_eq!(select(&request, &headers(&[("etag", "\"a\"")]), 9), Part(0..2));
        assert_eq!(select(&request, &headers(&[("etag", "\"b\"")]), 9), Whole);
    }
}

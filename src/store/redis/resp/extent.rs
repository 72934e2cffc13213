//! How far an answer reaches: [`extent`].

use std::ops::Range;

use super::error::RedisResult;
use super::reply::Reply;

/// Which values there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    /// Without pushes.
    Resp2,
    Resp3,
}

/// The value at the beginning of the bytes that were read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ReplyExtent {
    /// A string of so many bytes in all, and where its content is.
    Text { content: Range<usize>, len: usize },
    /// Some other value of so many bytes.
    Value { len: usize },
    /// A part of a value: so many bytes are missing, or more.
    Part { missing: usize },
}

/// The longest string that Redis has, 512 MiB, and as much again for a server that was told otherwise.
const LONGEST: i64 = 1 << 30;

/// The same for a whole string, as most answers are, without a look at each byte of it. `None` says nothing.
fn text(bytes: &[u8]) -> Option<ReplyExtent> {
    let (mut len, mut at) = (0, 1);
    if bytes.first() != Some(&b'$') {
        return None;
    }
    while let digit @ b'0'..=b'9' = *bytes.get(at)? {
        len = len * 10 + usize::from(digit - b'0');
        at += 1;
        if at > 10 {
            return None;
        }
    }
    let (begin, end) = (at + 2, at + 2 + len);
    let is_whole = at > 1 && bytes.get(at..begin)? == b"\r\n" && bytes.get(end..end + 2)? == b"\r\n";
    is_whole.then_some(ReplyExtent::Text {
        content: begin..end,
        len: end + 2,
    })
}

/// How far the first value in these bytes reaches. Fails where this is no value of the protocol.
pub(crate) fn extent(bytes: &[u8], protocol: Protocol) -> RedisResult<ReplyExtent> {
    match text(bytes) {
        Some(text) => Ok(text),
        None => any(bytes, protocol),
    }
}

/// The same, for whatever kind of value.
fn any(bytes: &[u8], protocol: Protocol) -> RedisResult<ReplyExtent> {
    let (mut at, mut left, mut text) = (0, 1_u64, None);
    while left > 0 {
        let Some(line) = line(&bytes[at..]) else {
            return Ok(ReplyExtent::Part { missing: 1 });
        };
        left -= 1;
        let begin = at + line.len() + 2;
        at = begin;
        match line.split_first() {
            Some((b'+' | b'-' | b':', _)) => {}
            Some((b'$', digits)) => match number(digits) {
                Some(-1) => {}
                Some(len @ 0..=LONGEST) => {
                    let end = begin + len as usize;
                    match bytes.get(end..end + 2) {
                        Some(b"\r\n") => {}
                        Some(_) => return Err(Reply::unreadable()),
                        None => {
                            let missing = end + 2 - bytes.len();
                            return Ok(ReplyExtent::Part { missing });
                        }
                    }
                    at = end + 2;
                    text = (begin == line.len() + 2).then_some(begin..end);
                }
                _ => return Err(Reply::unreadable()),
            },
            Some((b'*', digits)) => match number(digits) {
                Some(-1) => {}
                Some(count @ 0..=LONGEST) => left += count as u64,
                _ => return Err(Reply::unreadable()),
            },
            Some((kind, digits)) if protocol == Protocol::Resp3 => {
                let (inner, content) = resp3(*kind, digits).ok_or_else(Reply::unreadable)?;
                left += inner;
                // The bytes in between are checked when the value is read.
                at += content;
                if at > bytes.len() {
                    let missing = at - bytes.len();
                    return Ok(ReplyExtent::Part { missing });
                }
            }
            _ => return Err(Reply::unreadable()),
        }
    }
    Ok(match text {
        Some(content) => ReplyExtent::Text { content, len: at },
        None => ReplyExtent::Value { len: at },
    })
}

/// For a kind of value that RESP2 does not have: how many values are within it, and how many bytes behind its first
/// line.
fn resp3(kind: u8, digits: &[u8]) -> Option<(u64, usize)> {
    if matches!(kind, b'_' | b'#' | b',' | b'(') {
        return Some((0, 0));
    }
    let count = u64::try_from(number(digits)?)
        .ok()
        .filter(|count| *count <= LONGEST as u64)?;
    Some(match kind {
        b'~' | b'>' => (count, 0),
        b'%' => (count * 2, 0),
        b'|' => (count * 2 + 1, 0),
        b'!' | b'=' => (0, count as usize + 2),
        _ => return None,
    })
}

/// The first line, without its end, if all of it is there.
pub(super) fn line(bytes: &[u8]) -> Option<&[u8]> {
    let mut from = 0;
    loop {
        let at = from + bytes[from..].iter().position(|byte| *byte == b'\r')?;
        match bytes.get(at + 1)? {
            b'\n' => return Some(&bytes[..at]),
            _ => from = at + 1,
        }
    }
}

/// A length or a count, which may be -1 for nothing.
fn number(digits: &[u8]) -> Option<i64> {
    if digits == b"-1" {
        return Some(-1);
    }
    if digits.is_empty() || digits.len() > 10 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    Some(
        digits
            .iter()
            .fold(0, |number, digit| number * 10 + i64::from(digit - b'0')),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_value_reaches_as_far_as_it_does() {
        for value in [
            "+OK\r\n",
            "+\r\n",
            "+a\rb\r\n",
            "+a\nb\r\n",
            "-ERR what\r\n",
            ":-12\r\n",
            "$-1\r\n",
            "*-1\r\n",
            "*0\r\n",
            "*2\r\n$1\r\na\r\n:3\r\n",
            "*2\r\n*1\r\n$-1\r\n*2\r\n+a\r\n$4\r\n\r\n\r\n\r\n",
        ] {
            let len = value.len();
            assert!(redis::parse_redis_value(value.as_bytes()).is_ok(), "{value:?}");
            for protocol in [Protocol::Resp2, Protocol::Resp3] {
                reaches(value, protocol, len);
            }
        }
    }

    fn reaches(value: &str, protocol: Protocol, len: usize) {
        let more = [value.as_bytes(), b"$1\r\n"].concat();
        for bytes in [&more[..], value.as_bytes()] {
            let found = extent(bytes, protocol).unwrap();
            assert_eq!(found, ReplyExtent::Value { len }, "{value:?}");
        }
        for part in 0..len {
            let found = extent(&more[..part], protocol).unwrap();
            assert!(
                matches!(found, ReplyExtent::Part { missing } if (1..=len - part).contains(&missing)),
                "{value:?} {part} {found:?}"
            );
        }
    }

    #[test]
    fn what_only_the_later_protocol_has_is_refused_in_the_earlier() {
        for value in [
            "_\r\n",
            "#t\r\n",
            ",1.5\r\n",
            "(12\r\n",
            "!5\r\nERR a\r\n",
            "=8\r\ntxt:a\r\nb\r\n",
            "%1\r\n+a\r\n*1\r\n:1\r\n",
            "~2\r\n:1\r\n:2\r\n",
            "|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n",
            ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\na\r\n",
        ] {
            reaches(value, Protocol::Resp3, value.len());
            assert!(redis::parse_redis_value(value.as_bytes()).is_ok(), "{value:?}");
            assert!(Reply::read(value.as_bytes()).is_ok(), "{value:?}");
            assert!(extent(value.as_bytes(), Protocol::Resp2).is_err(), "{value:?}");
        }
        for value in ["?1\r\n", "%-1\r\n", ">x\r\n", "=9999999999\r\n"] {
            assert!(extent(value.as_bytes(), Protocol::Resp3).is_err(), "{value:?}");
        }
    }

    #[test]
    fn a_string_tells_where_its_content_is() {
        let whole = b"$12\r\nwith\r\nbreaks\r\n+OK\r\n";
        let expected = ReplyExtent::Text {
            content: 5..17,
            len: 19,
        };
        assert_eq!(extent(whole, Protocol::Resp3).unwrap(), expected);
        assert_eq!(
            extent(&whole[..10], Protocol::Resp2).unwrap(),
            ReplyExtent::Part { missing: 9 }
        );
        let empty = ReplyExtent::Text { content: 4..4, len: 6 };
        assert_eq!(extent(b"$0\r\n\r\n", Protocol::Resp2).unwrap(), empty);
    }

    #[test]
    fn a_string_is_found_at_once_where_it_would_be_found_by_looking_at_every_kind_of_value() {
        let mut found = 0;
        for digits in [
            "",
            "0",
            "1",
            "2",
            "3",
            "9",
            "10",
            "11",
            "12",
            "22",
            "01",
            "0000000002",
            "00000000002",
            "-1",
        ] {
            for (kind, begin, end) in [
                ("$", "\r\n", "\r\n"),
                ("+", "\r\n", "\r\n"),
                ("$", "\r\r", "\r\n"),
                ("$", "\n\r", "\r\n"),
                ("$", "ab", "\r\n"),
                ("$", "\r\n", "\n\r"),
                ("$", "\r\n", "ab"),
                ("$", "\r\n", "\r"),
                ("$", "\r\n", ""),
            ] {
                for content in 0..24 {
                    let content = &"x\r\n\r\nyz$1\r\n\r\n\r\n$0\r\n\r\n\r\n"[..content];
                    let bytes = format!("{kind}{digits}{begin}{content}{end}");
                    for more in ["", "\r\n", "+OK\r\n"] {
                        let bytes = format!("{bytes}{more}");
                        let whole = any(bytes.as_bytes(), Protocol::Resp2).ok();
                        let is_text =
                            |found: &ReplyExtent| digits.len() < 10 && matches!(found, ReplyExtent::Text { .. });
                        let whole = whole.filter(is_text);
                        found += usize::from(whole.is_some());
                        assert_eq!(text(bytes.as_bytes()), whole, "{bytes:?}");
                    }
                }
            }
        }
        assert!(found > 100, "{found}");
    }

    #[test]
    fn a_server_promises_so_much_and_not_more() {
        for kind in ["$", "*", "=", "!", "~", ">", "%"] {
            let of = |count: i64| extent(format!("{kind}{count}\r\n").as_bytes(), Protocol::Resp3);
            assert!(matches!(of(LONGEST), Ok(ReplyExtent::Part { .. })), "{kind}");
            assert!(of(LONGEST + 1).is_err(), "{kind}");
        }
    }

    #[test]
    fn a_line_ends_at_the_first_break_of_both_characters() {
        assert_eq!(line(b"+a\r\r\nb\r\n"), Some(&b"+a\r"[..]));
        assert_eq!(line(b"+a\n\rb\r"), None);
    }

    #[test]
    fn what_is_no_value_is_refused() {
        for bytes in [
            "hello\r\n",
            "\r\n",
            "$\r\n",
            "$-2\r\n",
            "$1x\r\n",
            "$99999999999\r\n",
            "$9999999999\r\n",
            // One more than a number of 64 bits counts.
            "$18446744073709551617\r\na\r\n",
            "$1\r\nabc",
            "*-2\r\n",
            "*x\r\n",
            ">1\r\n+a\r\n",
            "%0\r\n",
            "_\r\n",
            "*1\r\n>0\r\n",
        ] {
            assert!(extent(bytes.as_bytes(), Protocol::Resp2).is_err(), "{bytes:?}");
        }
    }
}

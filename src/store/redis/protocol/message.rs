//! The control words on `T/ctl:ID`, or in another database than 0 on `T/ctl/DATABASE:ID`.
//!
//! | payload | meaning |
//! |---|---|
//! | `value BYTES` | this value was stored, or is for the present watchers |
//! | `stored` | a value was stored that is too large to publish: read the key |
//! | `pass` | there is a result, but not one to share |
//! | `released` | the lock was given back without a result |
//! | `broken N` | the computation failed, and so many attempts in a row came to nothing: 1 to 999, in decimal |
//! | `declined N` | there is a result for its own caller only, and so many attempts in a row came to nothing: 1 to 999 |
//! | `deferred N` | work was started for the *N*th time in a row, another program will resolve the value; 1 to 999 |
//! | `stale` | the computation failed; a stale stored value may stand in for its result |
//! | `invalidated` | value and lock were removed |
//! | `failed TEXT` | the computation failed; UTF-8; behind a NUL, the encoded error |
//! | `kept TOKEN` | a result for the watchers, too large to publish: for a moment it is under the key `T:ID~TOKEN` |
//! | `shared BYTES` | a result for the watchers, which is not stored |
//!
//! A client that may publish can send anything here, so whatever is not exactly one of these is no notice at all.

use bytes::Bytes;

use crate::error::RemoteError;
use crate::store::notice::{Notice, Release};
use crate::store::token::Token;
use crate::store::value::Value;

pub(crate) const STORED: &[u8] = b"stored";
/// The scripts put the value behind it.
pub(crate) const VALUE: &[u8] = b"value ";
pub(crate) const INVALIDATED: &[u8] = b"invalidated";
const PASS: &[u8] = b"pass";
const RELEASED: &[u8] = b"released";
const BROKEN: &[u8] = b"broken ";
const DECLINED: &[u8] = b"declined ";
const DEFERRED: &[u8] = b"deferred ";
const STALE: &[u8] = b"stale";
const FAILED: &[u8] = b"failed ";
/// Between a text and an encoding.
const ENCODED: &str = "\0";
const SHARED: &[u8] = b"shared ";
const KEPT: &[u8] = b"kept ";

/// More in a row than a process counts.
const MOST: u32 = 999;

/// The payload that announces `reason`.
pub(crate) fn release(reason: &Release, inline_limit: usize) -> Vec<u8> {
    match reason {
        Release::Abandoned => RELEASED.to_vec(),
        Release::Pass => PASS.to_vec(),
        Release::Broken { failures } => counted(BROKEN, *failures),
        Release::Declined { attempts } => counted(DECLINED, *attempts),
        Release::Stale => STALE.to_vec(),
        Release::Failed(error) => failed(error),
        Release::Shared(value) => match value.bytes() {
            Ok(bytes) if bytes.len() <= inline_limit => [SHARED, &bytes].concat(),
            // The lock has to be given back all the same: a watcher computes for itself.
            _ => RELEASED.to_vec(),
        },
    }
}

fn failed(error: &RemoteError) -> Vec<u8> {
    // The first one separates.
    let text = error.message().replace(ENCODED, "\u{fffd}");
    let mut payload = [FAILED, text.as_bytes()].concat();
    if let Some(encoding) = error.encoding() {
        payload.extend_from_slice(ENCODED.as_bytes());
        payload.extend_from_slice(encoding.as_bytes());
    }
    payload
}

/// The payload that says where a shared result is.
pub(crate) fn kept(token: Token) -> Vec<u8> {
    [KEPT, token.to_string().as_bytes()].concat()
}

/// The payload that announces that work was started.
pub(crate) fn deferred(starts: u32) -> Vec<u8> {
    counted(DEFERRED, starts)
}

fn counted(word: &[u8], count: u32) -> Vec<u8> {
    [word, count.clamp(1, MOST).to_string().as_bytes()].concat()
}

/// What a payload says, if it says anything.
pub(crate) fn parse(payload: &Bytes) -> Option<Notice> {
    match &payload[..] {
        STORED => return Some(Notice::Announced),
        INVALIDATED => return Some(Notice::Invalidated),
        PASS => return Some(Notice::Released(Release::Pass)),
        RELEASED => return Some(Notice::Released(Release::Abandoned)),
        STALE => return Some(Notice::Released(Release::Stale)),
        _ => {}
    }
    if let Some(digits) = payload.strip_prefix(BROKEN) {
        let failures = count(digits)?;
        return Some(Notice::Released(Release::Broken { failures }));
    }
    if let Some(token) = payload.strip_prefix(KEPT) {
        let token = std::str::from_utf8(token).ok()?.parse().ok()?;
        return Some(Notice::Kept(token));
    }
    if let Some(digits) = payload.strip_prefix(DECLINED) {
        let attempts = count(digits)?;
        return Some(Notice::Released(Release::Declined { attempts }));
    }
    if let Some(digits) = payload.strip_prefix(DEFERRED) {
        let starts = count(digits)?;
        return Some(Notice::Deferred { starts });
    }
    if payload.starts_with(VALUE) {
        return Some(Notice::Stored(Value::encoded(payload.slice(VALUE.len()..))));
    }
    if payload.starts_with(SHARED) {
        let value = Value::encoded(payload.slice(SHARED.len()..));
        return Some(Notice::Released(Release::Shared(value)));
    }
    let text = payload.strip_prefix(FAILED)?;
    let text = std::str::from_utf8(text).ok()?;
    let error = match text.split_once(ENCODED) {
        Some((text, encoding)) => RemoteError::new(text).with_encoding(encoding),
        None => RemoteError::new(text),
    };
    Some(Notice::Released(Release::Failed(error)))
}

/// A number as [`counted`] writes it.
fn count(digits: &[u8]) -> Option<u32> {
    let is_number = matches!(digits, [b'1'..=b'9', rest @ ..] if rest.len() < 3 && rest.iter().all(u8::is_ascii_digit));
    is_number.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64;

    fn round_trip(reason: &Release) -> Notice {
        parse(&release(reason, LIMIT).into()).unwrap()
    }

    fn shared(len: usize) -> Release {
        Release::Shared(Value::encoded(vec![b' '; len]))
    }

    #[test]
    fn every_reason_survives_the_wire() {
        assert!(matches!(round_trip(&Release::Pass), Notice::Released(Release::Pass)));
        assert!(matches!(
            round_trip(&Release::Abandoned),
            Notice::Released(Release::Abandoned)
        ));
        assert!(matches!(round_trip(&Release::Stale), Notice::Released(Release::Stale)));
        for (said, expected) in [(0, 1), (1, 1), (42, 42), (999, 999), (u32::MAX, 999)] {
            let notice = round_trip(&Release::Broken { failures: said });
            let Notice::Released(Release::Broken { failures }) = notice else {
                panic!("{notice:?}");
            };
            assert_eq!(failures, expected);
            let notice = round_trip(&Release::Declined { attempts: said });
            let Notice::Released(Release::Declined { attempts }) = notice else {
                panic!("{notice:?}");
            };
            assert_eq!(attempts, expected);
        }
        for text in ["", "out of  cheese", "größer\nals"] {
            let notice = round_trip(&Release::Failed(RemoteError::new(text)));
            let Notice::Released(Release::Failed(error)) = notice else {
                panic!("{notice:?}");
            };
            assert_eq!(error.message(), text);
        }
        for len in [0, 1, LIMIT] {
            let notice = round_trip(&shared(len));
            let Notice::Released(Release::Shared(value)) = notice else {
                panic!("{notice:?}");
            };
            assert_eq!(value.bytes().unwrap(), vec![b' '; len]);
        }
    }

    #[test]
    fn an_encoded_error_survives_the_wire_and_no_text_passes_for_one() {
        let heard = |error: RemoteError| match round_trip(&Release::Failed(error)) {
            Notice::Released(Release::Failed(error)) => error,
            notice => panic!("{notice:?}"),
        };
        for encoding in ["", "{\"NotFound\":7}", "a\0b"] {
            let error = RemoteError::new("no user").with_encoding(encoding);
            assert_eq!(heard(error.clone()), error);
        }
        let forged = heard(RemoteError::new("no user \0{\"NotFound\":7}"));
        assert_eq!(forged.encoding(), None);
        let long = RemoteError::new("long").with_encoding("x".repeat(RemoteError::MAX_ENCODING_LEN + 1));
        assert_eq!(heard(long), RemoteError::new("long"));

        let sent = ["failed no user\0", &"x".repeat(RemoteError::MAX_ENCODING_LEN + 1)].concat();
        let Some(Notice::Released(Release::Failed(error))) = parse(&sent.into()) else {
            panic!("no failure");
        };
        assert_eq!(error, RemoteError::new("no user"));
    }

    #[test]
    fn what_cannot_be_shared_inline_is_released() {
        assert_eq!(release(&shared(LIMIT + 1), LIMIT), RELEASED);
        assert_eq!(release(&Release::Shared(Value::unreadable()), LIMIT), RELEASED);
    }

    #[test]
    fn words_without_a_release_have_their_notices() {
        assert!(matches!(parse(&STORED.into()), Some(Notice::Announced)));
        for value in ["", "v", "value ", "stored"] {
            let Some(Notice::Stored(heard)) = parse(&format!("value {value}").into()) else {
                panic!("not a value");
            };
            assert_eq!(heard.bytes().unwrap(), value);
        }
        assert!(matches!(parse(&INVALIDATED.into()), Some(Notice::Invalidated)));
    }

    #[test]
    fn a_number_of_starts_survives_the_wire() {
        for (said, expected) in [(0, 1), (1, 1), (999, 999), (u32::MAX, 999)] {
            let notice = parse(&deferred(said).into());
            assert!(
                matches!(notice, Some(Notice::Deferred { starts }) if starts == expected),
                "{notice:?}"
            );
        }
    }

    #[test]
    fn the_token_of_what_is_kept_survives_the_wire() {
        let token = Token::random();
        let notice = parse(&kept(token).into());
        assert!(
            matches!(notice, Some(Notice::Kept(heard)) if heard == token),
            "{notice:?}"
        );
    }

    #[test]
    fn anything_else_is_no_notice() {
        let hostile: &[&[u8]] = &[
            b"",
            b" ",
            b"stored ",
            b"kept",
            b"kept ",
            b"kept 0123456789abcdef0123456789abcde",
            b"kept 0123456789ABCDEF0123456789abcdef",
            b"kept +123456789abcdef0123456789abcdef",
            b"value",
            b"Value x",
            b"STORED",
            b"storedx",
            b"pass 1",
            b"released\n",
            b"failed",
            b"failed \xff\xfe",
            b"shared",
            b"failedtext",
            b"broken",
            b"broken ",
            b"broken 0",
            b"broken 01",
            b"broken 1000",
            b"broken +1",
            b"broken 1 ",
            b"deferred",
            b"deferred 0",
            b"declined",
            b"declined 0",
            b"deferred x",
            b"stale ",
            b"\0\0\0\0",
            b"invalidated\0",
        ];
        for payload in hostile {
            let notice = parse(&Bytes::from_static(payload));
            assert!(notice.is_none(), "{payload:?} gave {notice:?}");
        }
    }

    #[test]
    fn a_long_error_text_is_cut() {
        let notice = parse(&[FAILED, "ä".repeat(5000).as_bytes()].concat().into());
        let Some(Notice::Released(Release::Failed(error))) = notice else {
            panic!("{notice:?}");
        };
        assert!(error.message().len() <= RemoteError::MAX_LEN);
    }
}

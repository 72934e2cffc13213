//! The text form of notices. `T/ctl:ID` carries them, in another database than 0 `T/ctl/DATABASE:ID`.

use bytes::Bytes;

use crate::error::RemoteError;
use crate::store::notice::{Notice, Release};
use crate::store::parts::PartId;
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
const PART: &[u8] = b"part ";
const ASKED: &[u8] = b"asked ";

/// More attempts in a row than a process counts.
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
    [KEPT, token.bare().to_string().as_bytes()].concat()
}

/// The payload that says that more of a value is there, from this place on. Where it is `inline`, the bytes are put behind
/// it.
pub(crate) fn part(id: PartId, at: u64, inline: bool) -> Vec<u8> {
    let end = if inline { " " } else { "" };
    format!("part {id} {at}{end}").into_bytes()
}

/// The payload that asks for a value under way.
pub(crate) fn asked(token: Token) -> Vec<u8> {
    [ASKED, token.bare().to_string().as_bytes()].concat()
}

/// The payload that announces that work was started.
pub(crate) fn deferred(starts: u32) -> Vec<u8> {
    counted(DEFERRED, starts)
}

fn counted(word: &[u8], count: u32) -> Vec<u8> {
    [word, count.clamp(1, MOST).to_string().as_bytes()].concat()
}

impl Notice {
    /// The notice in a payload that another program published; `None` where the payload is not exactly one that
    /// [`to_payload`](Self::to_payload) makes. Any program that may publish can send anything, so nothing else is
    /// accepted.
    ///
    /// Of the text of a failure, [`RemoteError::MAX_LEN`] bytes are kept.
    #[must_use]
    pub fn from_payload(payload: &Bytes) -> Option<Self> {
        parse(payload)
    }

    /// The notice as text, for a store of your own whose watchers are in other processes. `None` for
    /// [`Notice::Reread`], which each watch makes for itself, and for a value that cannot be encoded.
    ///
    /// | payload | notice |
    /// |---|---|
    /// | `value BYTES` | [`Stored`](Self::Stored), with its stamp in front if it has one |
    /// | `stored` | [`Announced`](Self::Announced) |
    /// | `invalidated` | [`Invalidated`](Self::Invalidated) |
    /// | `kept TOKEN` | [`Kept`](Self::Kept) |
    /// | `part ID PLACE`, `part ID PLACE BYTES` | [`Part`](Self::Part); *PLACE* is in decimal |
    /// | `asked TOKEN` | [`Asked`](Self::Asked) |
    /// | `deferred N` | [`Deferred`](Self::Deferred); *N* is 1 to 999, in decimal |
    /// | `released` | [`Released`](Self::Released), of [`Release::Abandoned`] |
    /// | `broken N`, `declined N` | of [`Release::Broken`] and [`Release::Declined`] |
    /// | `stale`, `pass` | of [`Release::Stale`] and [`Release::Pass`] |
    /// | `shared BYTES` | of [`Release::Shared`] |
    /// | `failed TEXT` | of [`Release::Failed`], in UTF-8; the error itself, where it is encoded, is behind a NUL |
    ///
    /// A value may be larger than the channel can carry. A store may then announce a stored value with
    /// [`Announced`](Self::Announced), and say [`Release::Abandoned`] in place of a value that is only shared.
    ///
    /// ```
    /// use tower_memolock::RemoteError;
    /// use tower_memolock::store::{Notice, Release};
    ///
    /// let notice = Notice::Released(Release::Failed(RemoteError::new("no database")));
    /// let payload = notice.to_payload().unwrap();
    /// assert_eq!(payload, "failed no database");
    /// assert!(matches!(Notice::from_payload(&payload), Some(Notice::Released(Release::Failed(_)))));
    /// assert!(Notice::from_payload(&"no notice".into()).is_none());
    /// ```
    #[must_use]
    pub fn to_payload(&self) -> Option<Bytes> {
        let prefixed = |word: &[u8], value: &Value| Some([word, &value.bytes().ok()?].concat().into());
        match self {
            Self::Reread => None,
            Self::Stored(value) => prefixed(VALUE, value),
            Self::Announced => Some(Bytes::from_static(STORED)),
            Self::Released(Release::Shared(value)) => prefixed(SHARED, value),
            Self::Released(reason) => Some(release(reason, 0).into()),
            Self::Kept(token) => Some(kept(*token).into()),
            Self::Deferred { starts } => Some(deferred(*starts).into()),
            Self::Part(id, at, None) => Some(part(*id, *at, false).into()),
            Self::Part(id, at, Some(bytes)) => Some([&part(*id, *at, true)[..], bytes].concat().into()),
            Self::Asked(token) => Some(asked(*token).into()),
            Self::Invalidated => Some(Bytes::from_static(INVALIDATED)),
        }
    }
}

/// What a payload says, if it says anything.
fn parse(payload: &Bytes) -> Option<Notice> {
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
        return bare(token).map(Notice::Kept);
    }
    if payload.starts_with(PART) {
        return parse_part(payload);
    }
    if let Some(token) = payload.strip_prefix(ASKED) {
        return bare(token).map(Notice::Asked);
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

/// Where more of a value is.
fn parse_part(payload: &Bytes) -> Option<Notice> {
    let rest = payload.slice(PART.len()..);
    let (id, behind) = rest.split_at_checked(48)?;
    let id = std::str::from_utf8(id).ok()?.parse().ok()?;
    let digits = behind.strip_prefix(b" ")?;
    let count = digits.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let place = std::str::from_utf8(&digits[..count]).ok()?;
    let at = place.parse().ok().filter(|at: &u64| at.to_string() == place)?;
    let bytes = match &digits[count..] {
        [] => None,
        [b' ', ..] => Some(rest.slice(48 + 1 + count + 1..)),
        _ => return None,
    };
    Some(Notice::Part(id, at, bytes))
}

/// A token without a context.
fn bare(digits: &[u8]) -> Option<Token> {
    let token: Token = std::str::from_utf8(digits).ok()?.parse().ok()?;
    token.trace_context().is_none().then_some(token)
}

/// A number as [`counted`] writes it.
fn count(digits: &[u8]) -> Option<u32> {
    let is_number = matches!(digits, [b'1'..=b'9', rest @ ..] if rest.len() < 3 && rest.iter().all(u8::is_ascii_digit));
    is_number.then(|| digits.iter().fold(0, |sum, digit| sum * 10 + u32::from(digit - b'0')))
}

#[cfg(test)]
mod tests;

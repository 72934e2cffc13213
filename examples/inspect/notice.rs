//! What a message says.

use bytes::Bytes;
use tower_memolock::Tag;

use super::entry::Entry;
use super::server::{Read, Ttl};
use super::text::{NAME, plain, size};

/// How much of a text that came with a failure is shown.
const TEXT: usize = 300;

/// What a payload on the channel of promises says: it is the value.
pub(crate) fn promise(tag: &Tag, id: &[u8], payload: &[u8]) -> String {
    format!("published: {}", value(tag, id, payload))
}

/// What a payload on a control channel says. `None` for an answer between two nodes.
pub(crate) fn control(tag: &Tag, id: &[u8], payload: &[u8]) -> Option<String> {
    let near = format!("{{{}}}/near", tag.as_str());
    match id.strip_prefix(near.as_bytes()) {
        Some([]) => Some(near_copies(tag, payload)),
        Some([b'/', ..]) => None,
        _ => Some(word(tag, id, payload)),
    }
}

/// What is said to nodes that keep copies in their own memory.
fn near_copies(tag: &Tag, payload: &[u8]) -> String {
    let mut words = payload.splitn(4, |byte| *byte == b' ').skip(2);
    match (words.next(), words.next()) {
        (Some(b"value"), Some(name)) => {
            let id = name.strip_prefix(format!("{}:", tag.as_str()).as_bytes());
            format!(
                "near copies of this are to be dropped: {}",
                plain(id.unwrap_or(name), NAME)
            )
        }
        (Some(b"tags"), None) => "near copies with tags are to be checked anew".to_owned(),
        _ => nothing(payload),
    }
}

/// What a control word says.
fn word(tag: &Tag, id: &[u8], payload: &[u8]) -> String {
    let (word, rest) = match payload.iter().position(|byte| *byte == b' ') {
        Some(at) => (&payload[..at], Some(&payload[at + 1..])),
        None => (payload, None),
    };
    let count = || {
        let digits = std::str::from_utf8(rest?).ok()?;
        digits.parse::<u32>().ok().filter(|count| (1..1000).contains(count))
    };
    let said = match (word, rest) {
        (b"stored", None) => Some("stored, and too long to publish".to_owned()),
        (b"value", Some(bytes)) => Some(format!("stored: {}", value(tag, id, bytes))),
        (b"shared", Some(bytes)) => Some(format!(
            "shared with those who wait, not stored: {}",
            value(tag, id, bytes)
        )),
        (b"kept", Some(_)) => Some("kept for a moment for those who wait, and too long to publish".to_owned()),
        (b"invalidated", None) => Some("invalidated".to_owned()),
        (b"released", None) => Some("released: the lock was given back without a result".to_owned()),
        (b"pass", None) => Some("pass: there is a result, but not one to share".to_owned()),
        (b"stale", None) => Some("stale: the computation failed, and a stale value may stand in".to_owned()),
        (b"failed", Some(text)) => {
            let text = text.split(|byte| *byte == 0).next().unwrap_or_default();
            Some(format!("failed: {}", plain(text, TEXT)))
        }
        (b"broken", _) => count().map(|n| format!("broken: attempt {n} in a row failed")),
        (b"declined", _) => count().map(|n| format!("declined: attempt {n} in a row was for its own client only")),
        (b"deferred", _) => count().map(|n| format!("deferred: worker {n} in a row was started")),
        _ => None,
    };
    said.unwrap_or_else(|| nothing(payload))
}

fn nothing(payload: &[u8]) -> String {
    format!("{} that say nothing: {}", size(payload.len()), plain(payload, 60))
}

fn value(tag: &Tag, id: &[u8], bytes: &[u8]) -> String {
    let read = Read {
        bytes: Bytes::copy_from_slice(bytes),
        len: bytes.len(),
        ttl: Ttl::Gone,
        kind: "string".to_owned(),
    };
    Entry::new(tag, id, read).in_transit()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_word_is_understood_and_nothing_else() {
        let tag = Tag::new("t").unwrap();
        let said = |payload: &[u8]| control(&tag, b"x", payload).unwrap();
        for (payload, start) in [
            (&b"stored"[..], "stored, and too long"),
            (b"value 42", "stored: raw value, 2 bytes"),
            (b"shared ", "shared with those who wait, not stored: raw value, 0 bytes"),
            (b"released", "released"),
            (b"failed no \x1b[31m\0more", "failed: no \\u{1b}[31m"),
            (b"broken 3", "broken: attempt 3"),
            (b"broken 1000", "11 bytes that say nothing"),
            (b"deferred", "8 bytes that say nothing"),
            (b"invalidated!", "12 bytes that say nothing"),
            (b"\xff\x07", "2 bytes that say nothing: \\xff\\u{7}"),
        ] {
            let said = said(payload);
            assert!(said.starts_with(start), "{said}");
        }
        let near = |id: &[u8], payload: &[u8]| control(&tag, id, payload);
        let dropped = "near copies of this are to be dropped: a b\\u{7}";
        assert_eq!(near(b"{t}/near", b"1 2 value t:a b\x07").as_deref(), Some(dropped));
        assert_eq!(near(b"{t}/near/2", b"1 3"), None);
        assert!(near(b"{t}/near", b"1 2 tags!").unwrap().contains("say nothing"));
        assert!(!said(b"failed x\0secret").contains("secret"));
        assert!(!said(b"value secret").contains("secret"));
    }
}

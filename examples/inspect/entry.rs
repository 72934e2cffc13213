//! [`Entry`]: what a value is.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use tower_memolock::middleware::stored_response::{Meta, StoredResponse};
use tower_memolock::store::{Stamp, Value};
use tower_memolock::{Address, Key, Tag, TraceContext};

use super::server::{Read, Ttl};
use super::text::{plain, size, span};

/// What is stored under one key.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) what: What,
    pub(crate) stamp: Option<Stamp>,
    /// Of all that is stored.
    pub(crate) len: usize,
    pub(crate) ttl: Ttl,
}

#[derive(Debug)]
pub(crate) enum What {
    /// An HTTP response. Of a long one the body may be missing.
    Response(Box<StoredResponse>),
    /// Later requests are told by it not to wait.
    Marker,
    /// Bytes that mean something to the program that wrote them; the first of them, where they are many.
    Raw(Bytes),
    /// Something that all count as absent, and why.
    Nothing(String),
}

impl Entry {
    pub(crate) fn new(tag: &Tag, id: &[u8], read: Read) -> Self {
        let Read { bytes, len, ttl, kind } = read;
        let (what, stamp) = match kind.as_str() {
            "string" => of_string(tag, id, bytes, len),
            other => (
                What::Nothing(format!("a {} instead of a string", plain(other.as_bytes(), 32))),
                None,
            ),
        };
        Self { what, stamp, len, ttl }
    }

    /// In a few words.
    pub(crate) fn summary(&self) -> String {
        match &self.what {
            What::Nothing(_) => self.in_transit(),
            _ => format!("{}, {}", self.in_transit(), kept(self.ttl)),
        }
    }

    /// The same, of a value on its way.
    pub(crate) fn in_transit(&self) -> String {
        let size = size(self.len);
        match &self.what {
            What::Response(response) => {
                let (status, meta) = (response.status().as_u16(), response.meta());
                let by = meta.computed_by.map(|by| format!(", by {}", computed_by(by)));
                format!(
                    "response {status}, {size}, {}, took {}{}",
                    freshness(meta),
                    span(meta.cost),
                    by.unwrap_or_default()
                )
            }
            What::Marker => format!("marker: not one to share, {size}"),
            What::Raw(_) => format!("raw value, {size}"),
            What::Nothing(why) => format!("unreadable, {size}: {why}"),
        }
    }

    /// The tags of the value.
    pub(crate) fn tags(&self) -> Vec<String> {
        let labels = self.stamp.iter().flat_map(Stamp::labels);
        labels.map(|label| tag_of(label.as_str())).collect()
    }
}

fn of_string(tag: &Tag, id: &[u8], bytes: Bytes, len: usize) -> (What, Option<Stamp>) {
    let whole = bytes.len() == len;
    let read = bytes.len();
    let value = Value::encoded(bytes);
    let Some(content) = value.encoded_bytes() else {
        return (What::Nothing("an envelope that is torn".to_owned()), None);
    };
    let offset = read - content.len();
    (decoded(tag, id, content, whole, offset), value.stamp().cloned())
}

fn decoded(tag: &Tag, id: &[u8], content: Bytes, whole: bool, offset: usize) -> What {
    let framed = content.starts_with(b"MLK\x01");
    // What is for the waiters of this moment has the address of what it stands in for.
    let Some(key) = key(id) else {
        return What::Nothing("a name that is no key".to_owned());
    };
    let address = Address::new(tag, &key);
    let decoded = match whole {
        true => StoredResponse::decode(&address, content.clone()),
        false => StoredResponse::decode_head(&address, &content, offset),
    };
    match decoded {
        Ok(response) if response.meta().is_marker => What::Marker,
        Ok(response) => What::Response(Box::new(response)),
        Err(error) if framed && whole => What::Nothing(error.to_string()),
        Err(_) if framed => What::Nothing("a response that has to be read whole: show does".to_owned()),
        Err(_) => What::Raw(content),
    }
}

/// The key that an id is of.
fn key(id: &[u8]) -> Option<Key> {
    let id = std::str::from_utf8(id).ok()?;
    let id = match id.rsplit_once('~') {
        Some((id, token)) if is_token(token) => id,
        _ => id,
    };
    Key::new(id).ok()
}

fn is_token(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// The process that computed, in words.
pub(crate) fn computed_by(by: TraceContext) -> String {
    let text = by.to_string();
    match text.split_once('-') {
        Some((trace, span)) => format!("span {span} of trace {trace}"),
        None => format!("trace {text}"),
    }
}

/// How fresh a response is, by the clock here.
pub(crate) fn freshness(meta: &Meta) -> String {
    let since = SystemTime::now().duration_since(meta.stored_at).unwrap_or_default();
    match meta.fresh_for.checked_sub(since) {
        // A program that wrote the message alone leaves it to the store.
        _ if meta.fresh_for.is_zero() && meta.stale_while_revalidate.is_zero() && meta.kept_for.is_zero() => {
            "fresh as long as it is kept".to_owned()
        }
        Some(left) if left > Duration::ZERO => format!("fresh for {}", span(left)),
        _ => format!("stale for {}", span(since.saturating_sub(meta.fresh_for))),
    }
}

pub(crate) fn kept(ttl: Ttl) -> String {
    match ttl {
        Ttl::For(time) => format!("kept for {}", span(time)),
        Ttl::Ever => "kept for ever".to_owned(),
        Ttl::Gone => "gone by now".to_owned(),
    }
}

/// A tag as it was given, where the label has it.
fn tag_of(label: &str) -> String {
    let (kind, text) = label.split_at_checked(1).unwrap_or_default();
    let text = plain(text.as_bytes(), 256);
    match kind {
        "t" => text,
        "h" => format!("a long one, SHA-256 {text}"),
        "g" => format!("group {text}"),
        _ => format!("group, SHA-256 {text}"),
    }
}

//! [`ToldKey`]: the key of a request, for the log, and for `Cache-Status` to tell (RFC 9211, 2.7).

use std::fmt::{self, Write};
use std::sync::{Arc, OnceLock};

use http::{HeaderMap, HeaderValue};

use crate::key::Address;
use crate::middleware::policy::cache_status::CACHE_STATUS;

/// The most characters of a key that are told.
const MOST: usize = 256;

/// The key, once it is known. A clone is another handle on the same.
#[derive(Debug, Clone)]
pub(crate) struct ToldKey {
    address: Arc<OnceLock<Address>>,
    in_response: bool,
}

impl ToldKey {
    /// Whether the response is to tell it, or the log alone.
    pub(crate) fn new(in_response: bool) -> Self {
        let address = Arc::default();
        Self { address, in_response }
    }

    pub(crate) fn set(&self, address: &Address) {
        // A request has one key.
        let _ = self.address.set(address.clone());
    }

    pub(crate) fn address(&self) -> Option<&Address> {
        self.address.get()
    }

    /// Adds it to what the layer has said last, where the response is to tell it.
    pub(crate) fn tell(&self, headers: &mut HeaderMap) {
        if let Some(address) = self.address.get().filter(|_| self.in_response) {
            tell(address, headers);
        }
    }
}

/// Adds the key to what the layer has said last.
pub(crate) fn tell(address: &Address, headers: &mut HeaderMap) {
    let http::header::Entry::Occupied(mut lines) = headers.entry(CACHE_STATUS) else {
        return;
    };
    let Some(member) = lines.iter_mut().next_back() else {
        return;
    };
    let whole = [member.as_bytes(), parameter(address.id()).as_bytes()].concat();
    if let Ok(whole) = HeaderValue::from_bytes(&whole) {
        *member = whole;
    }
}

/// The parameter, with the key as a String (RFC 9651, 3.3.3). Characters that a String cannot hold are percent-encoded,
/// as in a URI.
fn parameter(key: &str) -> String {
    let mut text = String::from("; key=\"");
    let shown = key.char_indices().nth(MOST).map_or(key, |(end, _)| &key[..end]);
    // Writing to a string cannot fail.
    let _ = shown.bytes().try_for_each(|byte| put(&mut text, byte));
    if shown.len() < key.len() {
        text.push_str("...");
    }
    text.push('"');
    text
}

fn put(text: &mut String, byte: u8) -> fmt::Result {
    match byte {
        b'"' | b'\\' => write!(text, "\\{}", char::from(byte)),
        b' '..=b'~' => text.write_char(char::from(byte)),
        _ => write!(text, "%{byte:02X}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};
    use crate::middleware::policy::structured::{self, Bare, Member};

    fn address(key: &str) -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::new(key).unwrap())
    }

    fn told(key: &str) -> Vec<(String, Bare)> {
        let mut headers = HeaderMap::new();
        headers.append(CACHE_STATUS, HeaderValue::from_static("origin; hit"));
        headers.append(CACHE_STATUS, HeaderValue::from_static("memolock; hit; ttl=1"));
        let told = ToldKey::new(true);
        told.set(&address(key));
        told.tell(&mut headers);
        let members = structured::list(&headers, &CACHE_STATUS).unwrap();
        match members.into_iter().next_back() {
            Some(Member::Item(_, parameters)) => parameters,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn key_is_a_parameter_of_the_last_member() {
        for (key, expected) in [
            ("GET http://a/b?c", "GET http://a/b?c"),
            ("a\"; hit, other; key=\"b\\", "a\"; hit, other; key=\"b\\"),
            ("a\r\nset-cookie: x\u{7f}\u{e4}", "a%0D%0Aset-cookie: x%7F%C3%A4"),
        ] {
            let parameters = told(key);
            assert_eq!(parameters.len(), 3, "{key:?}");
            assert_eq!(
                parameters[2],
                ("key".to_owned(), Bare::String(expected.to_owned())),
                "{key:?}"
            );
        }
        let long = "\u{e4}".repeat(MOST + 1);
        let expected = format!("{}...", "%C3%A4".repeat(MOST));
        assert_eq!(told(&long)[2].1, Bare::String(expected));
    }

    #[test]
    fn without_a_member_or_a_key_nothing_is_told() {
        let mut headers = HeaderMap::new();
        let told = ToldKey::new(true);
        told.set(&address("a"));
        told.tell(&mut headers);
        assert!(headers.is_empty());
        headers.append(CACHE_STATUS, HeaderValue::from_static("memolock; fwd=bypass"));
        ToldKey::new(true).tell(&mut headers);
        assert_eq!(headers[CACHE_STATUS], "memolock; fwd=bypass");
    }
}

//! Values that fields of many responses have in common, kept once and for as long as the program runs.
//!
//! Each hit clones all values of a response, and each of its clients drops them. A value that lives for ever costs nothing
//! there; any other one has its owners counted.

use std::sync::{PoisonError, RwLock};

use http::HeaderValue;
use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LANGUAGE, CONTENT_TYPE, HeaderName, SERVER, VARY,
};

/// The fields that have few values in one program.
const NAMES: [HeaderName; 7] = [
    ACCEPT_RANGES,
    CACHE_CONTROL,
    CONTENT_ENCODING,
    CONTENT_LANGUAGE,
    CONTENT_TYPE,
    SERVER,
    VARY,
];

/// How many values are kept, and how long they may be: a few kilobytes in all, which are never given back. The first
/// values that come stay.
const MOST: usize = 128;
const LONGEST: usize = 64;

/// Sorted.
static KNOWN: RwLock<Vec<&'static str>> = RwLock::new(Vec::new());

/// The same value of a field of this name, without owners to count. `None` where the value is not kept.
pub(super) fn of(name: &HeaderName, value: &HeaderValue) -> Option<HeaderValue> {
    if value.is_sensitive() || value.len() > LONGEST || !NAMES.contains(name) {
        return None;
    }
    let text = value.to_str().ok()?;
    let known = KNOWN.read().unwrap_or_else(PoisonError::into_inner);
    let kept = known.binary_search(&text).ok().map(|at| known[at]);
    let is_full = known.len() >= MOST;
    drop(known);
    match kept {
        None if is_full => None,
        kept => kept.or_else(|| keep(text)).map(HeaderValue::from_static),
    }
}

fn keep(text: &str) -> Option<&'static str> {
    let mut known = KNOWN.write().unwrap_or_else(PoisonError::into_inner);
    match known.binary_search(&text) {
        Ok(at) => Some(known[at]),
        Err(_) if known.len() >= MOST => None,
        Err(at) => {
            known.insert(at, Box::leak(Box::from(text)));
            Some(known[at])
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_is_the_same_value_and_is_bounded() {
        let one = HeaderValue::from_static("application/json");
        assert_eq!(of(&CONTENT_TYPE, &one).as_ref(), Some(&one));
        let mut secret = one.clone();
        secret.set_sensitive(true);
        let long = HeaderValue::try_from("x".repeat(LONGEST + 1)).unwrap();
        let text_of_none = HeaderValue::from_bytes(b"\xff").unwrap();
        for value in [&secret, &long, &text_of_none] {
            assert_eq!(of(&CONTENT_TYPE, value), None, "{value:?}");
        }
        assert_eq!(of(&http::header::ETAG, &one), None);
        for number in 0..2 * MOST {
            let value = HeaderValue::try_from(format!("application/x-{number}\t")).unwrap();
            assert!(of(&CONTENT_TYPE, &value).is_none_or(|kept| kept == value));
        }
        assert_eq!(KNOWN.read().unwrap().len(), MOST);
        // The first values stay.
        assert_eq!(of(&CONTENT_TYPE, &one), Some(one));
    }
}

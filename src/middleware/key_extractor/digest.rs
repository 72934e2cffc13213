//! Digests of header fields, for keys that are to hold no content of them.

use http::header::{HeaderMap, HeaderName};
use sha2::{Digest, Sha256};

/// The digest of all lines of these fields, with their names. Fields with other names or other lines have another
/// digest.
pub(in crate::middleware) fn digest_of_fields(headers: &HeaderMap, names: &[HeaderName]) -> [u8; 32] {
    let mut digest = Sha256::new();
    // Each line stands behind its length: so two lines are not the same as one with their bytes.
    let mut update = |bytes: &[u8]| {
        digest.update((bytes.len() as u64).to_be_bytes());
        digest.update(bytes);
    };
    for name in names {
        let lines = headers.get_all(name);
        update(name.as_str().as_bytes());
        update(&(lines.iter().count() as u64).to_be_bytes());
        for line in lines {
            update(line.as_bytes());
        }
    }
    digest.finalize().into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn other_fields_or_lines_have_another_digest() {
        let [a, b] = ["a", "b"].map(HeaderName::from_static);
        let headers = |lines: &[(&'static str, &str)]| {
            let lines = lines.iter();
            let lines = lines.map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
            let mut headers = HeaderMap::new();
            headers.extend(lines);
            headers
        };
        let mut digests = HashSet::new();
        let different = [
            &[][..],
            &[("a", "")],
            &[("a", "1")],
            &[("b", "1")],
            &[("a", "1"), ("a", "2")],
            &[("a", "2"), ("a", "1")],
            &[("a", "1, 2")],
            &[("a", "1"), ("b", "2")],
            &[("a", "12")],
        ];
        let both = [a, b];
        for lines in different {
            for names in [&both[..1], &both[1..], &both] {
                digests.insert(digest_of_fields(&headers(lines), names));
            }
        }
        // There are seven digests of "a", three of "b", and nine of both.
        assert_eq!(digests.len(), 7 + 3 + 9);
        let same = [
            headers(&[("a", "1"), ("b", "2")]),
            headers(&[("b", "2"), ("c", "3"), ("a", "1")]),
        ];
        let [one, two] = same.each_ref().map(|headers| digest_of_fields(headers, &both));
        assert_eq!(one, two);
    }
}

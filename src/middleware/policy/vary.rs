//! Which request header fields selected a response (RFC 9110, 12.5.5; RFC 9111, 4.1).

use http::HeaderMap;
use http::header::{ACCEPT_ENCODING, ACCEPT_LANGUAGE, HeaderName, VARY};
use sha2::{Digest, Sha256};

use super::accept_encoding;
use super::syntax::members;

/// What `Vary` says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Vary {
    /// Nothing: every request for the key selects the response.
    None,
    /// That only its own request selects the response: `*`, or a field that cannot be parsed.
    Any,
    /// That requests with the same values of these fields select the response. Sorted, without duplicates.
    Names(Vec<HeaderName>),
}

/// The names in all `Vary` lines.
pub(crate) fn names(headers: &HeaderMap) -> Vary {
    let mut names = Vec::new();
    for member in members(headers, &VARY) {
        match member {
            [] => {}
            // `*` as any member (RFC 9111, 4.1), which is a token and so would pass for a name.
            b"*" => return Vary::Any,
            name => match HeaderName::from_bytes(name) {
                Ok(name) => names.push(name),
                Err(_) => return Vary::Any,
            },
        }
    }
    if names.is_empty() {
        return Vary::None;
    }
    names.sort_unstable_by(|a, b| a.as_str().cmp(b.as_str()));
    names.dedup();
    Vary::Names(names)
}

/// A digest of the values that a request has in the fields `names`, which are as [`names`] returns them.
///
/// Values are equal where they are after normalisation (RFC 9111, 4.1): white space around them is dropped, and several
/// lines are one with its members separated by `, `. `Accept-Encoding` counts by what it means, however it is spelt. An
/// absent field equals only an absent one. The digest is what is stored in place of the values, which may be secrets.
pub(crate) fn fingerprint(names: &[HeaderName], request_headers: &HeaderMap) -> [u8; 16] {
    let mut digest = Sha256::new();
    let mut value = Vec::new();
    for name in names {
        update(&mut digest, name.as_str().as_bytes());
        value.clear();
        let mut lines = request_headers.get_all(name).iter();
        if *name == ACCEPT_ENCODING
            && request_headers.contains_key(name)
            && let Some(meaning) = accept_encoding::canonical(request_headers)
        {
            digest.update([2]);
            update(&mut digest, &meaning);
            continue;
        }
        match lines.next() {
            None => digest.update([0]),
            Some(first) => {
                digest.update([1]);
                value.extend_from_slice(first.as_bytes().trim_ascii());
                for line in lines {
                    value.extend_from_slice(b", ");
                    value.extend_from_slice(line.as_bytes().trim_ascii());
                }
                if *name == ACCEPT_LANGUAGE {
                    // Language ranges have no case, and blanks mean nothing in between (RFC 9110, 12.5.4).
                    value.retain(|byte| !matches!(byte, b' ' | b'\t'));
                    value.make_ascii_lowercase();
                }
                update(&mut digest, &value);
            }
        }
    }
    let digest: [u8; 32] = digest.finalize().into();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}

/// Whether a request selects the response whose own request had this fingerprint.
pub(crate) fn matches(names: &[HeaderName], expected: &[u8; 16], request_headers: &HeaderMap) -> bool {
    fingerprint(names, request_headers) == *expected
}

/// Hashes `bytes` behind their length, so that no two sequences of them are hashed as the same bytes.
fn update(digest: &mut Sha256, bytes: &[u8]) {
    digest.update((bytes.len() as u64).to_be_bytes());
    digest.update(bytes);
}

#[cfg(test)]
mod tests {
    use super::super::headers;
    use super::*;

    fn vary(lines: &[&str]) -> Vary {
        let lines: Vec<_> = lines.iter().map(|line| ("vary", *line)).collect();
        names(&headers(&lines))
    }

    #[test]
    fn names_of_all_lines_are_sorted() {
        for (lines, expected) in [
            (&[][..], &[][..]),
            (&[""], &[]),
            (&[" , "], &[]),
            (&["Accept"], &["accept"]),
            (&["b, a", "A,, C"], &["a", "b", "c"]),
        ] {
            let expected: Vec<_> = expected.iter().map(|name| HeaderName::from_static(name)).collect();
            let expected = if expected.is_empty() {
                Vary::None
            } else {
                Vary::Names(expected)
            };
            assert_eq!(vary(lines), expected, "{lines:?}");
        }
        for lines in [
            &["*"][..],
            &["accept, *"],
            &["accept", " * "],
            &["a b"],
            &["ä"],
            &["\"a\""],
        ] {
            assert_eq!(vary(lines), Vary::Any, "{lines:?}");
        }
    }

    #[test]
    fn languages_have_neither_case_nor_blanks() {
        let fingerprint = |value| fingerprint(&[ACCEPT_LANGUAGE], &headers(&[("accept-language", value)]));
        for same in ["eN, De;Q=0.5", " en , de;q=0.5", "en,de; q=0.5"] {
            assert_eq!(fingerprint(same), fingerprint("en, de;q=0.5"), "{same}");
        }
        assert_ne!(fingerprint("de;q=0.5, en"), fingerprint("en, de;q=0.5"));
    }

    #[test]
    fn codings_count_by_their_meaning_and_to_the_letter_where_they_have_none() {
        let fingerprint = |lines: &[&str]| {
            let lines: Vec<_> = lines.iter().map(|line| ("accept-encoding", *line)).collect();
            fingerprint(&[ACCEPT_ENCODING], &headers(&lines))
        };
        assert_eq!(fingerprint(&["gzip, br"]), fingerprint(&["BR", "x-gzip;q=1.0"]));
        for lines in [&[][..], &[""], &["gzip"], &["br"]] {
            assert_ne!(fingerprint(&["gzip, br"]), fingerprint(lines), "{lines:?}");
        }
        assert_ne!(fingerprint(&[]), fingerprint(&[""]));
        assert_eq!(fingerprint(&["gzip;x, br"]), fingerprint(&[" gzip;x", "br "]));
        assert_ne!(fingerprint(&["gzip;x, br"]), fingerprint(&["br, gzip;x"]));
    }

    #[test]
    fn all_nodes_have_the_same_fingerprint_of_a_request() {
        let names = [ACCEPT_ENCODING, ACCEPT_LANGUAGE].into_iter();
        let names: Vec<_> = names.chain(["b", "c"].map(HeaderName::from_static)).collect();
        let request = headers(&[
            ("accept-encoding", "gzip;x"),
            ("accept-language", "EN, de"),
            ("c", "x"),
            ("c", " y"),
        ]);
        let expected = 0x1188_325f_fc53_5772_874f_5fed_cb16_85ee_u128;
        assert_eq!(u128::from_be_bytes(fingerprint(&names, &request)), expected);
    }

    #[test]
    fn requests_match_where_their_values_do() {
        let names = ["a", "b"].map(HeaderName::from_static);
        let groups = [
            &[&[][..], &[("c", "x")]][..],
            &[&[("a", "")], &[("a", " ")]],
            &[&[("b", "")]],
            &[&[("a", "x")], &[("a", " x\t")], &[("a", "x"), ("c", "y")]],
            &[&[("a", "X")]],
            &[&[("b", "x")]],
            &[
                &[("a", "x, y")],
                &[("a", "x"), ("a", "y")],
                &[("a", "x "), ("c", "z"), ("a", " y")],
            ],
            &[&[("a", "y, x")]],
            &[&[("a", "x"), ("b", "y")], &[("b", "y"), ("a", "x")]],
            &[&[("a", "xb"), ("b", "")]],
            &[&[("a", "x"), ("b", "b")]],
        ];
        for (i, group) in groups.iter().enumerate() {
            for (j, other) in groups.iter().enumerate() {
                for one in *group {
                    let expected = fingerprint(&names, &headers(one));
                    for two in *other {
                        let found = matches(&names, &expected, &headers(two));
                        assert_eq!(found, i == j, "{one:?} {two:?}");
                    }
                }
            }
        }
    }
}

//! Groups of responses (RFC 9875), and the groups that an answer declares out of date.

use http::{HeaderMap, HeaderName, Method};

use super::structured::{self, Bare, Member};

const CACHE_GROUPS: HeaderName = HeaderName::from_static("cache-groups");
const CACHE_GROUP_INVALIDATION: HeaderName = HeaderName::from_static("cache-group-invalidation");

/// The most groups of one response that count. The RFC asks for at least 32 (section 4).
const MAX_GROUPS: usize = 64;

/// The most bytes of a group's name. The RFC asks for at least 32 (section 4).
const MAX_LEN: usize = 128;

/// The groups that a response belongs to (RFC 9875, 2).
pub(crate) fn groups(headers: &HeaderMap) -> Vec<String> {
    strings(headers, &CACHE_GROUPS)
}

/// The groups that the answer to a request with this method makes out of date (RFC 9875, 3). None where the method is
/// safe: otherwise a client that can make one page link to another could empty the cache.
pub(crate) fn invalidated(method: &Method, headers: &HeaderMap) -> Vec<String> {
    if method.is_safe() {
        return Vec::new();
    }
    strings(headers, &CACHE_GROUP_INVALIDATION)
}

/// The members that are strings, parameters ignored. A field that is no list, or has members of another type, is as if
/// it were not there.
fn strings(headers: &HeaderMap, name: &HeaderName) -> Vec<String> {
    if !headers.contains_key(name) {
        return Vec::new();
    }
    let members = structured::list(headers, name).unwrap_or_default();
    let strings: Option<Vec<_>> = members.into_iter().map(string).collect();
    bounded(strings.unwrap_or_default())
}

/// As many groups as one response may be of, with names as long as they may be.
pub(crate) fn bounded(mut groups: Vec<String>) -> Vec<String> {
    groups.retain(|group| group.len() <= MAX_LEN);
    groups.truncate(MAX_GROUPS);
    groups
}

/// Whether [`bounded`] keeps all tags that a handler gave to its response.
pub(crate) fn can_keep(tags: &[String]) -> bool {
    tags.len() <= MAX_GROUPS && tags.iter().all(|tag| !tag.is_empty() && tag.len() <= MAX_LEN)
}

fn string(member: Member) -> Option<String> {
    match member {
        Member::Item(Bare::String(string), _) => Some(string),
        Member::Item(..) | Member::Inner(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::headers;
    use super::*;

    #[test]
    fn groups_are_a_list_of_strings() {
        let long = format!("\"{}\", \"b\"", "a".repeat(MAX_LEN + 1));
        for (lines, expected) in [
            (&[][..], &[][..]),
            (&["\"a\", \"b c\";x=1"], &["a", "b c"]),
            (&["\"a\"", "\"b\""], &["a", "b"]),
            (&["a"], &[]),
            (&["\"a\", b"], &[]),
            (&["\"a\", (\"b\")"], &[]),
            (&["\"a\","], &[]),
            (&[&long], &["b"]),
        ] {
            let lines: Vec<_> = lines.iter().map(|line| ("cache-groups", *line)).collect();
            assert_eq!(groups(&headers(&lines)), expected, "{lines:?}");
        }
        let many = ["\"g\""; 100].join(", ");
        assert_eq!(groups(&headers(&[("cache-groups", &many)])).len(), MAX_GROUPS);
    }

    #[test]
    fn only_unsafe_requests_invalidate_groups() {
        let lines = headers(&[("cache-group-invalidation", "\"a\"")]);
        assert_eq!(invalidated(&Method::POST, &lines), ["a"]);
        for method in [Method::GET, Method::HEAD, Method::OPTIONS, Method::TRACE] {
            assert!(invalidated(&method, &lines).is_empty(), "{method}");
        }
    }

    #[test]
    fn tags_of_a_handler_are_kept_where_all_of_them_fit() {
        let long = |len| "a".repeat(len);
        for (tags, expected) in [
            (vec![], true),
            (vec!["a".to_owned(); MAX_GROUPS], true),
            (vec!["a".to_owned(); MAX_GROUPS + 1], false),
            (vec![long(1), long(MAX_LEN)], true),
            (vec![long(1), long(MAX_LEN + 1)], false),
            (vec![long(1), String::new()], false),
        ] {
            assert_eq!(can_keep(&tags), expected, "{} tags", tags.len());
            assert!(!expected || bounded(tags.clone()) == tags);
        }
    }
}

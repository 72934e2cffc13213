//! [`What`]: what a request wants to invalidate.

use http::Uri;

use crate::key::Readable;
use crate::store::Purge;

/// What to invalidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum What {
    /// The response to a GET.
    Url(Uri),
    /// Every value with this tag.
    Tag(String),
    All,
}

const ONE: &str = "Say what: ?url=URL, ?tag=NAME or ?all=1, one of them, and perhaps soft=1.";

impl What {
    /// Reads a query; the error is a sentence where the query is not clear.
    pub(super) fn parse(query: &str) -> Result<(Self, Purge), String> {
        let (mut what, mut purge) = (None, Purge::Hard);
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let value = decoded(value)?;
            let one = match name {
                "url" => Self::Url(url(&value)?),
                "tag" if value.is_empty() => return Err("A tag has at least one character.".to_owned()),
                "tag" => Self::Tag(value),
                "all" if value == "1" => Self::All,
                "all" => return Err("It is all=1.".to_owned()),
                "soft" if value == "1" => {
                    purge = Purge::Soft;
                    continue;
                }
                "soft" => return Err("It is soft=1.".to_owned()),
                _ => {
                    let name = Readable(name);
                    return Err(format!("{name} is no parameter. {ONE} An & in a URL is %26."));
                }
            };
            if what.replace(one).is_some() {
                return Err(ONE.to_owned());
            }
        }
        what.map(|what| (what, purge)).ok_or_else(|| ONE.to_owned())
    }
}

/// A target, with or without a host.
fn url(text: &str) -> Result<Uri, String> {
    let uri: Option<Uri> = text.parse().ok();
    let uri = uri.filter(|uri| match uri.scheme_str() {
        Some(scheme) => matches!(scheme, "http" | "https") && uri.host().is_some_and(|host| !host.is_empty()),
        None => text.starts_with('/'),
    });
    uri.ok_or_else(|| "A URL is like http://example.com/report/42, or /report/42 for the host of this page.".to_owned())
}

/// The text behind percent signs. A `+` is a plus: neither a URL nor most tags have blanks.
fn decoded(text: &str) -> Result<String, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, others)) = rest.split_first() {
        rest = others;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digit = |at: usize| rest.get(at).and_then(|digit| char::from(*digit).to_digit(16));
        let byte = digit(0)
            .zip(digit(1))
            .and_then(|(high, low)| u8::try_from(high * 16 + low).ok());
        bytes.push(byte.ok_or("A % is followed by two hexadecimal digits.")?);
        rest = rest.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| "What is encoded is no UTF-8.".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_thing_is_named() {
        let url = |url: &'static str| Ok(What::Url(Uri::from_static(url)));
        for (query, what) in [
            ("url=/report/42", url("/report/42")),
            ("url=/a%3Fb=c%26d=1+2", url("/a?b=c&d=1+2")),
            (
                "url=http%3A%2F%2Fexample.com%2Fa%2520b",
                url("http://example.com/a%20b"),
            ),
            ("&tag=k%C3%A4se%20x&", Ok(What::Tag("k\u{e4}se x".to_owned()))),
            ("all=1", Ok(What::All)),
        ] {
            let soft = format!("{query}&soft=1");
            assert_eq!(
                What::parse(&soft),
                what.clone().map(|what| (what, Purge::Soft)),
                "{soft}"
            );
            assert_eq!(What::parse(query), what.map(|what| (what, Purge::Hard)), "{query}");
        }
    }

    #[test]
    fn anything_else_is_told_in_a_sentence() {
        for query in [
            "",
            "&",
            "url",
            "url=",
            "url=report",
            "url=ftp://a/",
            "url=http:///a",
            "url=javascript:alert(1)",
            "url=/a&url=/b",
            "url=/a&all=1",
            "url=/a?x=1&y=2",
            "tag=",
            "tag=%",
            "tag=%4",
            "tag=%zz",
            "tag=%+1",
            "tag=%FF",
            "all",
            "all=0",
            "all=true",
            "soft=1",
            "all=1&soft=0",
            "everything=1",
        ] {
            let said = What::parse(query).expect_err(query);
            assert!(said.ends_with('.') && said.len() > 10, "{query}: {said}");
        }
    }
}

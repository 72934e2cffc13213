//! The `Cache-Control` header field (RFC 9111, 5.2).

use std::time::Duration;

use http::HeaderMap;
use http::header::CACHE_CONTROL;

use super::syntax::is_tchar;

/// The most seconds that a directive can ask for (RFC 9111, 1.2.2).
pub(super) const MAX_DELTA_SECONDS: u64 = 1 << 31;

/// The directives of a message, from all its `Cache-Control` lines.
///
/// Unknown directives are ignored (RFC 9111, 5.2.3). Where one occurs several times, the most restrictive counts, and a
/// number that cannot be parsed is zero (4.2.1).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct CacheControl {
    /// 5.2.1.5, 5.2.2.5.
    pub(crate) no_store: bool,
    /// 5.2.2.4, whether or not it names fields.
    pub(crate) no_cache: bool,
    /// 5.2.2.7, whether or not it names fields.
    pub(crate) private: bool,
    /// 5.2.2.9.
    pub(crate) public: bool,
    /// 5.2.2.2.
    pub(crate) must_revalidate: bool,
    /// 5.2.2.8.
    pub(crate) proxy_revalidate: bool,
    /// 5.2.2.3.
    pub(crate) must_understand: bool,
    /// 5.2.1.7.
    pub(crate) only_if_cached: bool,
    /// 5.2.1.1, 5.2.2.1.
    pub(crate) max_age: Option<Duration>,
    /// 5.2.2.10.
    pub(crate) s_maxage: Option<Duration>,
    /// RFC 5861, 3.
    pub(crate) stale_while_revalidate: Option<Duration>,
    /// RFC 5861, 4.
    pub(crate) stale_if_error: Option<Duration>,
}

/// A field does not follow its grammar, so what it forbids is unknown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed;

impl CacheControl {
    /// The directives in `headers`; none where there is no such field.
    pub(crate) fn parse(headers: &HeaderMap) -> Result<Self, Malformed> {
        let mut directives = Self::default();
        for line in headers.get_all(CACHE_CONTROL) {
            for directive in Directives(line.as_bytes()) {
                let (name, argument) = directive?;
                directives.add(name, argument);
            }
        }
        Ok(directives)
    }

    fn add(&mut self, name: &[u8], argument: Option<&[u8]>) {
        let is = |known: &str| name.eq_ignore_ascii_case(known.as_bytes());
        let flag = if is("no-store") {
            &mut self.no_store
        } else if is("no-cache") {
            &mut self.no_cache
        } else if is("private") {
            &mut self.private
        } else if is("public") {
            &mut self.public
        } else if is("must-revalidate") {
            &mut self.must_revalidate
        } else if is("proxy-revalidate") {
            &mut self.proxy_revalidate
        } else if is("must-understand") {
            &mut self.must_understand
        } else if is("only-if-cached") {
            &mut self.only_if_cached
        } else {
            let seconds = if is("max-age") {
                &mut self.max_age
            } else if is("s-maxage") {
                &mut self.s_maxage
            } else if is("stale-while-revalidate") {
                &mut self.stale_while_revalidate
            } else if is("stale-if-error") {
                &mut self.stale_if_error
            } else {
                return;
            };
            let given = argument.and_then(delta_seconds).unwrap_or_default();
            *seconds = Some(seconds.map_or(given, |other| other.min(given)));
            return;
        };
        *flag = true;
    }
}

/// Parses delta-seconds; a number that is too large counts as 2^31 (RFC 9111, 1.2.2).
pub(super) fn delta_seconds(digits: &[u8]) -> Option<Duration> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let seconds = digits.iter().fold(0, |seconds: u64, digit| {
        let next = seconds * 10 + u64::from(digit - b'0');
        next.min(MAX_DELTA_SECONDS)
    });
    Some(Duration::from_secs(seconds))
}

/// The members of one line: names, and arguments without their quotes.
struct Directives<'a>(&'a [u8]);

type Directive<'a> = (&'a [u8], Option<&'a [u8]>);

impl<'a> Directives<'a> {
    fn directive(&mut self) -> Result<Directive<'a>, Malformed> {
        let name = self.token()?;
        let argument = match self.0 {
            [b'=', rest @ ..] => {
                self.0 = rest;
                Some(self.argument()?)
            }
            _ => None,
        };
        self.0 = trim_start(self.0);
        match self.0 {
            [] | [b',', ..] => Ok((name, argument)),
            _ => Err(Malformed),
        }
    }

    fn argument(&mut self) -> Result<&'a [u8], Malformed> {
        let [b'"', rest @ ..] = self.0 else {
            return self.token();
        };
        let mut escaped = false;
        for (at, byte) in rest.iter().enumerate() {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.0 = &rest[at + 1..];
                    return Ok(&rest[..at]);
                }
                _ => {}
            }
        }
        Err(Malformed)
    }

    fn token(&mut self) -> Result<&'a [u8], Malformed> {
        let end = self.0.iter().position(|b| !is_tchar(*b));
        let (token, rest) = self.0.split_at(end.unwrap_or(self.0.len()));
        self.0 = rest;
        if token.is_empty() {
            return Err(Malformed);
        }
        Ok(token)
    }
}

impl<'a> Iterator for Directives<'a> {
    type Item = Result<Directive<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        // A recipient has to take empty members (RFC 9110, 5.6.1.2).
        while let [b',' | b' ' | b'\t', rest @ ..] = self.0 {
            self.0 = rest;
        }
        if self.0.is_empty() {
            return None;
        }
        let directive = self.directive();
        if directive.is_err() {
            self.0 = &[];
        }
        Some(directive)
    }
}

fn trim_start(mut bytes: &[u8]) -> &[u8] {
    while let [b' ' | b'\t', rest @ ..] = bytes {
        bytes = rest;
    }
    bytes
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::headers;
    use super::*;

    fn parse(lines: &[&str]) -> Result<CacheControl, Malformed> {
        let lines: Vec<_> = lines.iter().map(|line| ("cache-control", *line)).collect();
        CacheControl::parse(&headers(&lines))
    }

    fn seconds(seconds: u64) -> Option<Duration> {
        Some(Duration::from_secs(seconds))
    }

    #[test]
    fn flags_are_found_whatever_their_case_line_and_argument() {
        let flags = |lines: &[&str]| {
            let d = parse(lines).unwrap();
            let all = [
                (d.no_store, 's'),
                (d.no_cache, 'c'),
                (d.private, 'p'),
                (d.public, 'P'),
                (d.must_revalidate, 'm'),
                (d.proxy_revalidate, 'x'),
                (d.must_understand, 'u'),
                (d.only_if_cached, 'o'),
            ];
            all.iter()
                .filter(|(set, _)| *set)
                .map(|(_, name)| *name)
                .collect::<String>()
        };
        for (lines, expected) in [
            (&[][..], ""),
            (&[""], ""),
            (&["no-store"], "s"),
            (&["No-Store, PRIVATE"], "sp"),
            (&["max-age=1", "no-store"], "s"),
            (&[",, ,\tno-cache ,"], "c"),
            (&["no-cache=\"set-cookie, x\", public"], "cP"),
            (&["private=\"x\""], "p"),
            (&["private=x"], "p"),
            (&["no-store=yes"], "s"),
            (&["must-revalidate,proxy-revalidate,must-understand"], "mxu"),
            (&["max-age=1, Only-If-Cached"], "o"),
            (&["x=\"no-store, private\""], ""),
            (&["x=\"a\\\", no-store, \\\\\""], ""),
            (&["no-storex, xno-store, no_store, x-no-store=1"], ""),
        ] {
            assert_eq!(flags(lines), expected, "{lines:?}");
        }
    }

    #[test]
    fn numbers_are_parsed_or_stale() {
        for (lines, expected) in [
            (&["public"][..], None),
            (&["max-age=60"], seconds(60)),
            (&["MAX-AGE=\"60\""], seconds(60)),
            (&["max-age=007"], seconds(7)),
            (&["max-age=60, max-age=30"], seconds(30)),
            (&["max-age=30", "max-age=60"], seconds(30)),
            (&["max-age=60, max-age=x"], seconds(0)),
            (&["max-age"], seconds(0)),
            (&["max-age=-1"], seconds(0)),
            (&["max-age=1.5"], seconds(0)),
            (&["max-age='60'"], seconds(0)),
            (&["max-age=\"\""], seconds(0)),
            (&["max-age=\"6\\0\""], seconds(0)),
            (&["max-age=2147483648"], seconds(1 << 31)),
            (&["max-age=99999999999999999999999999"], seconds(1 << 31)),
            (&["x=\"max-age=1\", s-maxage=2"], None),
        ] {
            assert_eq!(parse(lines).unwrap().max_age, expected, "{lines:?}");
        }
        let all = parse(&["s-maxage=1, stale-while-revalidate=2, stale-if-error=3"]).unwrap();
        assert_eq!(all.s_maxage, seconds(1));
        assert_eq!(all.stale_while_revalidate, seconds(2));
        assert_eq!(all.stale_if_error, seconds(3));
    }

    #[test]
    fn whatever_breaks_the_grammar_is_malformed() {
        for line in [
            "max-age=",
            "max-age= 60",
            "max-age =60",
            "=60",
            "max-age=60;no-store",
            "max-age=60 no-store",
            "x=\"unterminated",
            "x=\"unterminated\\\"",
            "x=\"a\"b",
            "x=a\"b\"",
            "\"no-store\"",
            "no-störe",
            "{no-store}",
        ] {
            assert_eq!(parse(&[line]), Err(Malformed), "{line}");
            assert_eq!(parse(&["public", line]), Err(Malformed), "{line}");
        }
        assert_eq!(parse(&["x=\"open", "no-store\""]), Err(Malformed));
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

        #[test]
        fn no_store_is_found_between_whatever_is_well_formed(
            before in prop::collection::vec("[a-z]{1,3}(=([0-9]{1,3}|\"[a-z,= ]{0,5}\"))?", 0..4),
            after in prop::collection::vec("[a-z]{1,3}(=([0-9]{1,3}|\"[a-z,= ]{0,5}\"))?", 0..4),
        ) {
            let all = [before, vec!["No-Store".to_owned()], after].concat();
            prop_assert!(parse(&[&all.join(" ,")]).unwrap().no_store);
        }

        #[test]
        fn parsing_ends(line in "[ -~]{0,40}") {
            let _ = parse(&[&line]);
        }
    }
}

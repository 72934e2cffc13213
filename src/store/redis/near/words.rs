//! The messages on the channels of near copies: a notice that something is out of date, and its acknowledgement.
//!
//! | channel | payload | meaning |
//! |---|---|---|
//! | `T/ctl:{T}/near` | `NONCE PROCESS value T:ID` | the value is out of date |
//! | | `NONCE PROCESS tags` | something under the tag is, by tag |
//! | `T/ctl:{T}/near/PROCESS` | `NONCE PROCESS` | no near copy of that process is from before that notice |

use crate::store::Token;

/// Something is out of date.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NearNotice<'a> {
    pub(crate) nonce: Token,
    /// The process that waits for the acknowledgement.
    pub(crate) from: Token,
    pub(crate) about: About<'a>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum About<'a> {
    /// The value under this name.
    Value(&'a str),
    /// All values with stamps.
    Tags,
}

impl<'a> NearNotice<'a> {
    pub(crate) fn text(self) -> String {
        let Self { nonce, from, about } = self;
        match about {
            About::Value(name) => format!("{nonce} {from} value {name}"),
            About::Tags => format!("{nonce} {from} tags"),
        }
    }

    pub(crate) fn parse(payload: &'a [u8]) -> Option<Self> {
        let mut words = std::str::from_utf8(payload).ok()?.splitn(4, ' ');
        let nonce = words.next()?.parse().ok()?;
        let from = words.next()?.parse().ok()?;
        let about = match (words.next()?, words.next()) {
            ("value", Some(name)) => About::Value(name),
            ("tags", None) => About::Tags,
            _ => return None,
        };
        Some(Self { nonce, from, about })
    }
}

/// The acknowledgement of a notice by a process.
pub(crate) fn acknowledgement(nonce: Token, process: Token) -> String {
    format!("{nonce} {process}")
}

pub(crate) fn parse_acknowledgement(payload: &[u8]) -> Option<(Token, Token)> {
    let (nonce, process) = std::str::from_utf8(payload).ok()?.split_once(' ')?;
    Some((nonce.parse().ok()?, process.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notices_and_acknowledgements_survive_the_wire() {
        let (nonce, from) = (Token::random(), Token::random());
        for about in [About::Value("t:{GET /a b}"), About::Value("t:"), About::Tags] {
            let notice = NearNotice { nonce, from, about };
            assert_eq!(NearNotice::parse(notice.text().as_bytes()), Some(notice));
        }
        let text = acknowledgement(nonce, from);
        assert_eq!(parse_acknowledgement(text.as_bytes()), Some((nonce, from)));
    }

    #[test]
    fn anything_else_says_nothing() {
        let token = Token::random();
        for text in [
            String::new(),
            "value".to_owned(),
            format!("{token} {token}"),
            format!("{token} {token} tags x"),
            format!("{token} {token} value"),
            format!("{token} x value t:a"),
            format!("{token} {token} Value t:a"),
        ] {
            assert_eq!(NearNotice::parse(text.as_bytes()), None, "{text}");
        }
        assert_eq!(NearNotice::parse(b"\xff"), None);
        for text in ["", "x", "x y", &format!("{token}"), &format!("{token} {token} ")] {
            assert_eq!(parse_acknowledgement(text.as_bytes()), None, "{text}");
        }
    }
}

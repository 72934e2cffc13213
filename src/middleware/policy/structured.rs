//! Structured fields (RFC 9651, and RFC 8941 before it), in which the newer fields about caching are written.
//!
//! A parser of its own because the alternatives ask for a younger compiler than the rest of the crate. It is strict, as
//! section 4.2 wants it: one mistake, and the whole field is as if it were not there.

use http::{HeaderMap, HeaderName};

use super::cache_control::Malformed;
use super::syntax::is_tchar;

/// The value of a bare item (RFC 9651, 3.3). Kinds that nothing here needs are checked, but not kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Bare {
    Integer(i64),
    String(String),
    Token(String),
    Boolean(bool),
    /// A decimal, a byte sequence, a date or a display string.
    Other,
}

/// Parameters (RFC 9651, 3.1.2), each name once.
pub(crate) type Parameters = Vec<(String, Bare)>;

/// A member of a list or a dictionary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Member {
    Item(Bare, Parameters),
    /// An inner list, whose items are checked, but not kept.
    Inner(Parameters),
}

/// The members of a field that is a list (4.2.1), from all its lines; none where it is absent or empty.
pub(crate) fn list(headers: &HeaderMap, name: &HeaderName) -> Result<Vec<Member>, Malformed> {
    let text = joined(headers, name);
    let mut parser = Parser(&text);
    let mut members = Vec::new();
    parser.members(|parser| {
        members.push(parser.member()?);
        Ok(())
    })?;
    Ok(members)
}

/// The members of a field that is a dictionary (4.2.2), from all its lines; none where it is absent or empty. Of
/// several with one name the last counts.
pub(crate) fn dictionary(headers: &HeaderMap, name: &HeaderName) -> Result<Vec<(String, Member)>, Malformed> {
    let text = joined(headers, name);
    let mut parser = Parser(&text);
    let mut members = Vec::new();
    parser.members(|parser| {
        let key = parser.key()?;
        let member = if parser.next_if(b'=') {
            parser.member()?
        } else {
            Member::Item(Bare::Boolean(true), parser.parameters()?)
        };
        insert(&mut members, key, member);
        Ok(())
    })?;
    Ok(members)
}

/// All lines as one (4.2).
fn joined(headers: &HeaderMap, name: &HeaderName) -> Vec<u8> {
    let lines: Vec<_> = headers.get_all(name).iter().map(|line| line.as_bytes()).collect();
    lines.join(&b", "[..])
}

fn insert<T>(members: &mut Vec<(String, T)>, key: String, member: T) {
    match members.iter_mut().find(|(known, _)| *known == key) {
        Some(slot) => slot.1 = member,
        None => members.push((key, member)),
    }
}

struct Parser<'a>(&'a [u8]);

impl Parser<'_> {
    /// What is common to lists and dictionaries: members with commas in between, and none behind the last.
    fn members(&mut self, mut member: impl FnMut(&mut Self) -> Result<(), Malformed>) -> Result<(), Malformed> {
        self.skip(|byte| byte == b' ');
        while !self.0.is_empty() {
            member(self)?;
            self.skip(is_blank);
            if self.0.is_empty() {
                break;
            }
            self.expect(b',')?;
            self.skip(is_blank);
            if self.0.is_empty() {
                return Err(Malformed);
            }
        }
        Ok(())
    }

    fn member(&mut self) -> Result<Member, Malformed> {
        if !self.next_if(b'(') {
            return Ok(Member::Item(self.bare()?, self.parameters()?));
        }
        loop {
            self.skip(|byte| byte == b' ');
            if self.next_if(b')') {
                return Ok(Member::Inner(self.parameters()?));
            }
            self.bare()?;
            self.parameters()?;
            if !matches!(self.0, [b' ' | b')', ..]) {
                return Err(Malformed);
            }
        }
    }

    fn parameters(&mut self) -> Result<Parameters, Malformed> {
        let mut parameters = Vec::new();
        while self.next_if(b';') {
            self.skip(|byte| byte == b' ');
            let key = self.key()?;
            let value = if self.next_if(b'=') {
                self.bare()?
            } else {
                Bare::Boolean(true)
            };
            insert(&mut parameters, key, value);
        }
        Ok(parameters)
    }

    fn key(&mut self) -> Result<String, Malformed> {
        if !matches!(self.0, [b'a'..=b'z' | b'*', ..]) {
            return Err(Malformed);
        }
        Ok(self.text(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'*')))
    }

    fn bare(&mut self) -> Result<Bare, Malformed> {
        match self.0 {
            [b'-' | b'0'..=b'9', ..] => self.number(),
            [b'"', ..] => self.string(),
            [b'*' | b'a'..=b'z' | b'A'..=b'Z', ..] => Ok(Bare::Token(
                self.text(|byte| is_tchar(byte) || matches!(byte, b':' | b'/')),
            )),
            [b'?', value @ (b'0' | b'1'), rest @ ..] => {
                self.0 = rest;
                Ok(Bare::Boolean(*value == b'1'))
            }
            [b':', rest @ ..] => {
                self.0 = rest;
                self.text(|byte| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte));
                self.expect(b':')?;
                Ok(Bare::Other)
            }
            [b'@', rest @ ..] => {
                self.0 = rest;
                match self.number()? {
                    Bare::Integer(_) => Ok(Bare::Other),
                    _ => Err(Malformed),
                }
            }
            [b'%', b'"', rest @ ..] => {
                self.0 = rest;
                self.display_string()
            }
            _ => Err(Malformed),
        }
    }

    /// An integer of up to 15 digits, or a decimal of up to 12 with up to 3 behind the point (4.2.4).
    fn number(&mut self) -> Result<Bare, Malformed> {
        let negative = self.next_if(b'-');
        let whole = self.text(|byte| byte.is_ascii_digit());
        if self.next_if(b'.') {
            let fraction = self.text(|byte| byte.is_ascii_digit());
            let fits = matches!(whole.len(), 1..=12) && matches!(fraction.len(), 1..=3);
            return if fits { Ok(Bare::Other) } else { Err(Malformed) };
        }
        if whole.len() > 15 {
            return Err(Malformed);
        }
        let number: i64 = whole.parse().map_err(|_| Malformed)?;
        Ok(Bare::Integer(if negative { -number } else { number }))
    }

    fn string(&mut self) -> Result<Bare, Malformed> {
        self.expect(b'"')?;
        let mut string = String::new();
        loop {
            match self.0 {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    return Ok(Bare::String(string));
                }
                [b'\\', byte @ (b'"' | b'\\'), rest @ ..] => {
                    self.0 = rest;
                    string.push(char::from(*byte));
                }
                [byte @ (b' '..=b'[' | b']'..=b'~'), rest @ ..] => {
                    self.0 = rest;
                    string.push(char::from(*byte));
                }
                _ => return Err(Malformed),
            }
        }
    }

    /// Behind its opening quote (RFC 9651, 4.2.10).
    fn display_string(&mut self) -> Result<Bare, Malformed> {
        let mut bytes = Vec::new();
        loop {
            match self.0 {
                [b'"', rest @ ..] => {
                    self.0 = rest;
                    str::from_utf8(&bytes).map_err(|_| Malformed)?;
                    return Ok(Bare::Other);
                }
                [b'%', high, low, rest @ ..] => {
                    self.0 = rest;
                    bytes.push(hex(*high)? << 4 | hex(*low)?);
                }
                [byte @ (b' '..=b'$' | b'&'..=b'~'), rest @ ..] => {
                    self.0 = rest;
                    bytes.push(*byte);
                }
                _ => return Err(Malformed),
            }
        }
    }

    /// Takes the bytes from the front that `belongs` accepts, which are ASCII.
    fn text(&mut self, belongs: impl Fn(u8) -> bool) -> String {
        let end = self.0.iter().position(|byte| !belongs(*byte)).unwrap_or(self.0.len());
        let (text, rest) = self.0.split_at(end);
        self.0 = rest;
        text.iter().map(|byte| char::from(*byte)).collect()
    }

    fn skip(&mut self, belongs: impl Fn(u8) -> bool) {
        while let [byte, rest @ ..] = self.0
            && belongs(*byte)
        {
            self.0 = rest;
        }
    }

    fn next_if(&mut self, byte: u8) -> bool {
        let found = self.0.strip_prefix(&[byte]);
        self.0 = found.unwrap_or(self.0);
        found.is_some()
    }

    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.next_if(byte) { Ok(()) } else { Err(Malformed) }
    }
}

fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t')
}

/// A digit in lower case, as display strings have them.
fn hex(digit: u8) -> Result<u8, Malformed> {
    match digit {
        b'0'..=b'9' => Ok(digit - b'0'),
        b'a'..=b'f' => Ok(digit - b'a' + 10),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests;

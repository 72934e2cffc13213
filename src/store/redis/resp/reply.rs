//! What a server sends: [`Reply`], and [`Push`] where it was not asked.

use std::io;
use std::sync::Arc;

use super::error::{RedisError, RedisResult, ServerError};
use super::push::PushKind;

/// How deep values may be nested.
const DEEPEST: usize = 100;

/// A value of RESP2 or RESP3. Values that mean the same in both protocols are the same here.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Reply {
    Nil,
    /// `OK`.
    Okay,
    /// Or a number that is no [`Int`](Self::Int).
    SimpleString(String),
    Int(i64),
    BulkString(Vec<u8>),
    /// Or a map, with each key in front of its value.
    Array(Vec<Self>),
    ServerError(ServerError),
    /// Never within another value.
    Push(Push),
}

/// A message that the server sends of its own accord, or the end of the connection.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Push {
    pub(crate) kind: PushKind,
    pub(crate) data: Vec<Reply>,
}

/// Hears what is pushed, on the task of the connection.
pub(crate) type PushHandler = Arc<dyn Fn(Push) + Send + Sync>;

impl Reply {
    /// Reads the one value that these bytes are.
    pub(crate) fn read(bytes: &[u8]) -> RedisResult<Self> {
        let mut reader = ReplyReader { rest: bytes };
        match reader.value(0) {
            Some(reply) if reader.rest.is_empty() => Ok(reply),
            _ => Err(Self::unreadable()),
        }
    }

    /// The server sent something that is no answer.
    #[cold]
    pub(crate) fn unreadable() -> RedisError {
        io::Error::new(io::ErrorKind::InvalidData, "an answer that cannot be read").into()
    }
}

struct ReplyReader<'a> {
    rest: &'a [u8],
}

impl<'a> ReplyReader<'a> {
    fn value(&mut self, depth: usize) -> Option<Reply> {
        if depth > DEEPEST {
            return None;
        }
        let (kind, line) = self.line()?.split_first()?;
        Some(match kind {
            b'+' if line == b"OK" => Reply::Okay,
            b'+' | b'(' | b',' => Reply::SimpleString(text(line)?.to_owned()),
            b'-' => Reply::ServerError(ServerError::new(text(line)?)),
            b':' => Reply::Int(number(line)?),
            b'$' => match number(line)? {
                -1 => Reply::Nil,
                len => Reply::BulkString(self.content(len)?.to_vec()),
            },
            b'*' | b'~' => match number(line)? {
                -1 => Reply::Nil,
                count => Reply::Array(self.values(count, depth)?),
            },
            b'_' => Reply::Nil,
            b'#' => Reply::Int(match line {
                b"t" => 1,
                b"f" => 0,
                _ => return None,
            }),
            b'!' => Reply::ServerError(ServerError::new(text(self.content(number(line)?)?)?)),
            // The first four bytes say what kind of text it is.
            b'=' => Reply::BulkString(self.content(number(line)?)?.get(4..)?.to_vec()),
            b'%' => Reply::Array(self.values(number(line)?.checked_mul(2)?, depth)?),
            b'|' => {
                self.values(number(line)?.checked_mul(2)?, depth)?;
                self.value(depth + 1)?
            }
            b'>' if depth == 0 => {
                let mut data = self.values(number(line)?, depth)?;
                if data.is_empty() {
                    return None;
                }
                let kind = match data.remove(0) {
                    Reply::BulkString(name) => PushKind::read(&name),
                    Reply::SimpleString(name) => PushKind::read(name.as_bytes()),
                    _ => return None,
                };
                Reply::Push(Push { kind, data })
            }
            _ => return None,
        })
    }

    fn values(&mut self, count: i64, depth: usize) -> Option<Vec<Reply>> {
        (0..u64::try_from(count).ok()?).map(|_| self.value(depth + 1)).collect()
    }

    fn line(&mut self) -> Option<&'a [u8]> {
        let line = super::extent::line(self.rest)?;
        self.rest = &self.rest[line.len() + 2..];
        Some(line)
    }

    fn content(&mut self, len: i64) -> Option<&'a [u8]> {
        let (content, rest) = self.rest.split_at_checked(usize::try_from(len).ok()?)?;
        self.rest = rest.strip_prefix(b"\r\n")?;
        Some(content)
    }
}

fn text(line: &[u8]) -> Option<&str> {
    std::str::from_utf8(line).ok()
}

fn number(line: &[u8]) -> Option<i64> {
    text(line)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Reply {
        Reply::BulkString(text.as_bytes().to_vec())
    }

    #[test]
    fn every_kind_of_value_is_read() {
        let error = |line| Reply::ServerError(ServerError::new(line));
        for (bytes, expected) in [
            ("+OK\r\n", Reply::Okay),
            ("+PONG\r\n", Reply::SimpleString("PONG".to_owned())),
            ("-ERR no such key\r\n", error("ERR no such key")),
            ("!5\r\nERR a\r\n", error("ERR a")),
            (":-2\r\n", Reply::Int(-2)),
            (":+2\r\n", Reply::Int(2)),
            ("$3\r\na\r\n\r\n", bulk("a\r\n")),
            ("$0\r\n\r\n", bulk("")),
            ("$-1\r\n", Reply::Nil),
            ("*-1\r\n", Reply::Nil),
            ("_\r\n", Reply::Nil),
            ("*2\r\n:1\r\n$1\r\nx\r\n", Reply::Array(vec![Reply::Int(1), bulk("x")])),
            ("~1\r\n*0\r\n", Reply::Array(vec![Reply::Array(Vec::new())])),
            (
                "%1\r\n+a\r\n#t\r\n",
                Reply::Array(vec![Reply::SimpleString("a".to_owned()), Reply::Int(1)]),
            ),
            ("#f\r\n", Reply::Int(0)),
            (",1.5\r\n", Reply::SimpleString("1.5".to_owned())),
            (
                "(3492890328409238509324850943850943825024385\r\n",
                Reply::SimpleString("3492890328409238509324850943850943825024385".to_owned()),
            ),
            ("=8\r\ntxt:text\r\n", bulk("text")),
            ("|1\r\n+ttl\r\n:3\r\n$1\r\nx\r\n", bulk("x")),
        ] {
            assert_eq!(Reply::read(bytes.as_bytes()).unwrap(), expected, "{bytes:?}");
        }
    }

    #[test]
    fn what_is_pushed_says_what_it_is() {
        let push = Reply::read(b">3\r\n$9\r\nsubscribe\r\n$1\r\nc\r\n:1\r\n").unwrap();
        let data = vec![bulk("c"), Reply::Int(1)];
        let kind = PushKind::Subscribe;
        assert_eq!(push, Reply::Push(Push { kind, data }));
        let push = Reply::read(b">2\r\n+server-cpu-usage\r\n:42\r\n").unwrap();
        let (kind, data) = (PushKind::Other, vec![Reply::Int(42)]);
        assert_eq!(push, Reply::Push(Push { kind, data }));
    }

    #[test]
    fn an_error_is_a_code_and_a_text() {
        let error = ServerError::new("MOVED 3999 127.0.0.1:6381");
        assert_eq!((error.code(), error.details()), ("MOVED", Some("3999 127.0.0.1:6381")));
        let bare = ServerError::new("NOAUTH");
        assert_eq!((bare.code(), bare.details()), ("NOAUTH", None));
        assert_eq!(RedisError::from(bare).code(), Some("NOAUTH"));
        assert_eq!(RedisError::from(io::Error::other("x")).code(), None);
    }

    #[test]
    fn what_cannot_be_read_is_an_error() {
        for bytes in [
            "",
            ":1",
            ":x\r\n",
            ":1\r\n:2\r\n",
            "$2\r\nabc\r\n",
            "$-2\r\n",
            "*-2\r\n",
            "*2\r\n:1\r\n",
            "%1\r\n:1\r\n",
            "=3\r\ntxt\r\n",
            "#x\r\n",
            ">0\r\n",
            ">1\r\n:1\r\n",
            "*1\r\n>1\r\n+x\r\n",
            "|0\r\n>1\r\n+x\r\n",
        ] {
            assert!(Reply::read(bytes.as_bytes()).is_err(), "{bytes:?}");
        }
    }

    #[test]
    fn values_are_nested_so_deep_and_not_deeper() {
        for around in ["*1\r\n", "~1\r\n", "|0\r\n", "%1\r\n+a\r\n"] {
            let nested = |depth| Reply::read(format!("{}:1\r\n", around.repeat(depth)).as_bytes());
            assert!(nested(DEEPEST).is_ok(), "{around:?}");
            assert!(nested(DEEPEST + 1).is_err(), "{around:?}");
        }
    }

    /// What both sides know reads as with the usual client.
    #[test]
    fn a_value_is_what_others_take_it_for() {
        fn same(own: &Reply, theirs: &redis::Value) -> bool {
            use redis::Value as Theirs;
            match (own, theirs) {
                (Reply::Nil, Theirs::Nil) | (Reply::Okay, Theirs::Okay) => true,
                (Reply::Int(a), Theirs::Int(b)) => a == b,
                (Reply::BulkString(a), Theirs::BulkString(b)) => a == b,
                (Reply::SimpleString(a), Theirs::SimpleString(b)) => a == b,
                (Reply::ServerError(a), Theirs::ServerError(b)) => a.code() == b.code() && a.details() == b.details(),
                (Reply::Array(a), Theirs::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
                (Reply::Array(a), Theirs::Map(b)) => {
                    let mut pairs = a.chunks_exact(2).zip(b);
                    a.len() == 2 * b.len() && pairs.all(|(a, b)| same(&a[0], &b.0) && same(&a[1], &b.1))
                }
                _ => false,
            }
        }
        use proptest::prelude::*;
        let value = prop_oneof![
            Just("$-1\r\n".to_owned()),
            Just("+OK\r\n".to_owned()),
            any::<i64>().prop_map(|n| format!(":{n}\r\n")),
            "[a-z]{0,9}".prop_map(|text| format!("+{text}\r\n")),
            "(ERR|MOVED|NOPERM|OTHER)( [a-z0-9 :]{0,9})?".prop_map(|line| format!("-{line}\r\n")),
            "(\r\n|[a-z]|\u{e4}){0,9}".prop_map(|text| format!("${}\r\n{text}\r\n", text.len())),
        ];
        let value = value.prop_recursive(4, 32, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(|items| format!(
                    "*{}\r\n{}",
                    items.len(),
                    items.concat()
                )),
                prop::collection::vec((inner.clone(), inner), 0..3).prop_map(|pairs| {
                    let items: String = pairs.iter().map(|(key, value)| format!("{key}{value}")).collect();
                    format!("%{}\r\n{items}", pairs.len())
                }),
            ]
        });
        proptest!(|(bytes in value)| {
            let own = Reply::read(bytes.as_bytes()).unwrap();
            let theirs = redis::parse_redis_value(bytes.as_bytes()).unwrap();
            prop_assert!(same(&own, &theirs), "{own:?} {theirs:?}");
        });
    }
}

//! [`read_args`]: a command line, read flag by flag.

use std::net::SocketAddr;
use std::process::exit;
use std::time::Duration;

use hyper::Uri;
use hyper::header::HeaderName;
use lexopt::{Arg, Parser, ValueExt};
use tower_memolock::Tag;

use super::{eprintln, println, value};

/// What is wrong with a command line, in words for the user who typed it.
pub type Error = lexopt::Error;

/// Reads the command line with `read`.
///
/// `--help` prints `usage` and ends the program with 0; an error goes to stderr and ends it with 2.
pub fn read_args<T>(usage: &str, read: impl FnOnce(&mut Args) -> Result<T, Error>) -> T {
    let mut args = Args {
        parser: Parser::from_env(),
        flag: String::new(),
        word: String::new(),
        help: false,
    };
    let result = read(&mut args);
    if args.help {
        println!("{usage}");
        exit(0);
    }
    result.unwrap_or_else(|error| {
        eprintln!("error: {error}\nTry --help.");
        exit(2);
    })
}

/// Reads the command line of a server that has one flag, `--listen`.
#[must_use]
pub fn read_listen(usage: &str, default: &str) -> SocketAddr {
    read_args(usage, |args| {
        let mut listen = value::address(default);
        while let Some(flag) = args.next_flag()? {
            match flag {
                "--listen" => listen = Some(args.address()?),
                _ => return Err(args.unknown()),
            }
        }
        listen.ok_or_else(|| Args::missing("--listen", "an address"))
    })
}

/// Reads the command line of a program that has no flag but `--help`.
pub fn read_nothing(usage: &str) {
    read_args(usage, |args| match args.next_flag()? {
        Some(_) => Err(args.unknown()),
        None => Ok(()),
    });
}

/// `REDIS_URL`, for programs in which it stands for a missing `--redis`.
///
/// # Errors
///
/// If it is set to something else than the URL of a Redis server.
pub fn redis_url_of_environment() -> Result<Option<String>, Error> {
    match std::env::var("REDIS_URL") {
        Ok(url) if url.is_empty() => Ok(None),
        Ok(url) if value::redis_url(&url).is_some() => Ok(Some(url)),
        Err(std::env::VarError::NotPresent) => Ok(None),
        _ => Err(format!("REDIS_URL in the environment is not {REDIS_URL}").into()),
    }
}

const REDIS_URL: &str = "an address like redis://127.0.0.1:6379";

/// The flags of a command line, one after the other, and the value of the last one read.
#[derive(Debug)]
pub struct Args {
    parser: Parser,
    flag: String,
    word: String,
    help: bool,
}

/// What stands at one place of a command line.
#[derive(Debug)]
pub enum Given<'a> {
    /// A flag, with its dashes.
    Flag(&'a str),
    /// A word that is no flag, nor the value of one.
    Word(&'a str),
}

impl Args {
    /// The next flag with its dashes, `--listen` for instance. `None` at the end, and at `--help`.
    ///
    /// # Errors
    ///
    /// Anything that is no long flag.
    pub fn next_flag(&mut self) -> Result<Option<&str>, Error> {
        match self.next_given()? {
            None => Ok(None),
            Some(Given::Flag(flag)) => Ok(Some(flag)),
            Some(Given::Word(word)) => Err(format!("unexpected argument {word:?}").into()),
        }
    }

    /// The next flag, or a word that is none.
    ///
    /// # Errors
    ///
    /// A flag of one letter.
    pub fn next_given(&mut self) -> Result<Option<Given<'_>>, Error> {
        match self.parser.next()? {
            None => return Ok(None),
            Some(Arg::Short('h') | Arg::Long("help")) => {
                self.help = true;
                return Err("help was asked for".into());
            }
            Some(Arg::Long(name)) => self.flag = format!("--{name}"),
            Some(Arg::Short(letter)) => return Err(format!("unknown flag -{letter}").into()),
            Some(Arg::Value(word)) => {
                self.word = word.string()?;
                return Ok(Some(Given::Word(&self.word)));
            }
        }
        Ok(Some(Given::Flag(&self.flag)))
    }

    /// The error for a flag that the program does not have.
    #[must_use]
    pub fn unknown(&self) -> Error {
        format!("unknown flag {}", self.flag).into()
    }

    /// The error for a flag that is missing.
    #[must_use]
    pub fn missing(flag: &str, takes: &str) -> Error {
        format!("{flag} is missing; it takes {takes}").into()
    }

    /// The flag's value as a text that is not empty.
    pub fn text(&mut self, takes: &str) -> Result<String, Error> {
        self.value(takes, value::text)
    }

    /// The flag's value as the tag of a layer or a `MemoLock`.
    pub fn tag(&mut self) -> Result<Tag, Error> {
        self.value("a name of letters, digits, '-', '_' and '.'", value::tag)
    }

    /// The flag's value as names of header fields.
    pub fn field_names(&mut self) -> Result<Vec<HeaderName>, Error> {
        self.value("names of header fields with commas in between", value::field_names)
    }

    /// The flag's value as a time.
    pub fn duration(&mut self) -> Result<Duration, Error> {
        self.value("a time like 500ms, 2s, 1m or 1h", value::duration)
    }

    /// The flag's value as a number of bytes.
    pub fn bytes(&mut self) -> Result<u64, Error> {
        self.value("a number of bytes like 8388608", value::bytes)
    }

    /// The flag's value as a number of things.
    pub fn count(&mut self) -> Result<usize, Error> {
        self.value("a whole number from 1 on", value::positive)
    }

    /// The flag's value as an address to listen on.
    pub fn address(&mut self) -> Result<SocketAddr, Error> {
        self.value("an address like 127.0.0.1:8080", value::address)
    }

    /// The flag's value as the URL of an HTTP server.
    pub fn http_url(&mut self) -> Result<Uri, Error> {
        self.value("an address in cleartext like http://127.0.0.1:9000", value::http_url)
    }

    /// The flag's value as the URL of a Redis server.
    pub fn redis_url(&mut self) -> Result<String, Error> {
        self.value(REDIS_URL, value::redis_url)
    }

    /// What is in the file that the flag names.
    pub fn file(&mut self) -> Result<Vec<u8>, Error> {
        let name = self.text("a file")?;
        std::fs::read(&name).map_err(|e| format!("{} takes a file, not {name:?}: {e}", self.flag).into())
    }

    /// The flag's value, read by `parse`, which takes what the text `takes` says.
    pub fn value<T>(&mut self, takes: &str, parse: fn(&str) -> Option<T>) -> Result<T, Error> {
        let Ok(given) = self.parser.value() else {
            return Err(format!("{} takes {takes}, but nothing follows it", self.flag).into());
        };
        let given = given.string()?;
        parse(&given).ok_or_else(|| format!("{} takes {takes}, not {:?}", self.flag, without_secret(&given)).into())
    }
}

/// The text without the user and the password that stand before an `@` in a URL.
fn without_secret(given: &str) -> String {
    let Some((before, server)) = given.rsplit_once('@') else {
        return given.to_owned();
    };
    let scheme = before.find("://").map_or("", |end| &before[..end + 3]);
    format!("{scheme}***@{server}")
}

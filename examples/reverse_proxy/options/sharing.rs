//! The flags about what is shared and stored, and for how long.

use std::time::Duration;

use http::HeaderName;
use tower_memolock::middleware::{SetCookie, StreamFollowers};
use tower_memolock::{AtLimit, Tag};

use support::{Args, Error};

pub(crate) struct Sharing {
    pub(crate) tag: Tag,
    pub(crate) ttl: Option<Duration>,
    pub(crate) targeted: Vec<HeaderName>,
    pub(crate) key_headers: Vec<HeaderName>,
    pub(crate) set_cookie: SetCookie,
    pub(crate) lease: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) max_body: u64,
    pub(crate) stream_followers: StreamFollowers,
    pub(crate) max_waiters: usize,
    pub(crate) at_limit: AtLimit,
    pub(crate) store_after: u32,
    pub(crate) receipts: bool,
}

impl Sharing {
    pub(super) fn new() -> Result<Self, Error> {
        Ok(Self {
            tag: Tag::new("proxy").map_err(|e| e.to_string())?,
            ttl: None,
            targeted: vec![HeaderName::from_static("cdn-cache-control")],
            key_headers: Vec::new(),
            set_cookie: SetCookie::default(),
            lease: Duration::from_secs(5),
            wait_timeout: Duration::from_secs(30),
            max_body: 8 * 1024 * 1024,
            stream_followers: StreamFollowers::default(),
            max_waiters: 65_536,
            at_limit: AtLimit::Bypass,
            store_after: 1,
            receipts: false,
        })
    }

    /// Whether the flag was one of these. Its value is read then.
    pub(super) fn read(&mut self, flag: &str, args: &mut Args) -> Result<bool, Error> {
        match flag {
            "--tag" => self.tag = args.tag()?,
            "--ttl" => self.ttl = Some(args.duration()?),
            "--targeted" => self.targeted = args.field_names()?,
            "--key-headers" => self.key_headers = args.field_names()?,
            "--set-cookie" => self.set_cookie = cookies(&args.text(COOKIES)?)?,
            "--lease" => self.lease = args.duration()?,
            "--wait-timeout" => self.wait_timeout = args.duration()?,
            "--max-body" => self.max_body = args.bytes()?,
            "--stream-followers" => self.stream_followers = followers(&args.text(FOLLOWERS)?)?,
            "--max-waiters" => self.max_waiters = args.count()?,
            "--queue" => self.at_limit = AtLimit::Queue(args.count()?),
            "--store-after" => self.store_after = args.count()?.try_into().unwrap_or(u32::MAX),
            "--receipts" => self.receipts = true,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

const COOKIES: &str = "refuse, strip or share";

fn cookies(word: &str) -> Result<SetCookie, Error> {
    match word {
        "refuse" => Ok(SetCookie::Refuse),
        "strip" => Ok(SetCookie::Strip),
        "share" => Ok(SetCookie::Share),
        _ => Err(format!("--set-cookie takes {COOKIES}, not {word:?}").into()),
    }
}

const FOLLOWERS: &str = "off, process or cluster";

fn followers(word: &str) -> Result<StreamFollowers, Error> {
    match word {
        "off" => Ok(StreamFollowers::Off),
        "process" => Ok(StreamFollowers::Process),
        "cluster" => Ok(StreamFollowers::Cluster),
        _ => Err(format!("--stream-followers takes {FOLLOWERS}, not {word:?}").into()),
    }
}

//! The command line.

use std::net::SocketAddr;
use std::time::Duration;

use http::{HeaderName, Uri};
use tower_memolock::middleware::{SetCookie, StreamFollowers};
use tower_memolock::store::RedisStoreBuilder;
use tower_memolock::{AtLimit, RedisStore, Tag};

use support::{Args, Error, read_args};

const USAGE: &str = "\
Usage: reverse_proxy --listen ADDR --upstream URL [OPTIONS]

Listens for HTTP/1 and HTTP/2 in cleartext and passes everything on to the upstream. Identical
requests that arrive together, at any number of these proxies over one Redis, cost one call.

  --listen ADDR         where to listen; port 0 takes a free one
  --upstream URL        whom to ask, http:// only; a path is put in front of each request's
  --redis URL           share with other proxies through this Redis; without it, within this process
  --sentinel MASTER     each --redis is the URL of a sentinel that watches the Redis of this name
  --cluster             each --redis is the URL of a node of one Redis Cluster
  --redis-timeout DUR   how long Redis may take to answer, before the proxy goes on without it
                                                                           [default: 1s]
  --redis-ca FILE       the CA that signed the certificate of a rediss:// Redis, as PEM; rediss://
                        needs a build with --features tls
                                                                           [default: Mozilla's]
  --redis-cert FILE     a client certificate for it, as PEM, with --redis-key
  --redis-key FILE      the key of the client certificate, as PEM
  --near BYTES          keep copies of what is asked for again in so many bytes of this process, which
                        spare Redis the hit; needs --redis                 [default: keep none]
  --near-lag DUR        how old such a copy may be; no older than an invalidation that has returned
                                                                           [default: 500ms]
  --tag NAME            the first part of the names of all keys            [default: proxy]
  --ttl DUR             store what the upstream gives no lifetime this long [default: do not store it]
  --targeted FIELDS     what replaces Cache-Control here, with commas      [default: CDN-Cache-Control]
  --key-headers FIELDS  what tells requests apart besides the target, with commas: a tenant, for instance
  --set-cookie WHAT     what becomes of responses that set a cookie: refuse, strip or share
                                                                           [default: refuse]
  --lease DUR           how long a dead proxy may block a key              [default: 5s]
  --wait-timeout DUR    how long a request waits for another one           [default: 30s]
  --upstream-timeout DUR
                        how long the upstream may be silent: before the head of its response,
                        once it has the request, and between two pieces of its body
                                                                           [default: 60s]
  --max-body BYTES      longer bodies are passed through, never shared     [default: 8388608]
  --stream-followers WHO
                        who gets a response as it comes instead of once it is whole, of those that wait
                        for it: off, nobody; process, those in the leader's process; cluster, those
                        in every process, which needs --redis              [default: off]
  --max-waiters N       how many requests may wait for one key             [default: 65536]
  --queue N             beyond that, and beyond every other limit of the layer, pass on this many
                        requests at a time; the others wait their turn     [default: pass on all at once]
  --store-after N       store a response once its key was asked for so many times [default: 1]
  --receipts            give the response to a POST and the like a field Memolock-Receipt, and requests
                        that bring it back nothing older, at any of these proxies
  --admin ADDR          where operators see what goes on and invalidate: a page at /, /metrics,
                        /state.json, POST /invalidate?url=URL, ?tag=NAME or ?all=1, and &soft=1. A loopback
                        address, because every client that reaches it may do all of that. Give it to all
                        proxies over one Redis or to none: with it, values are stored so that
                        ?all=1 reaches them                                [default: nowhere]
  --shadow              share and store nothing: pass everything on, and count what would have been
  --verify FRACTION     ask the upstream again beside so many of all hits, 0.01 for one in a hundred,
                        and compare                                        [default: 0]
  --help                this text

SIGUSR1 prints what the layer has done so far, and what is under way. With --shadow or --verify it
prints their report, too, as a line of JSON, and so does the end; --admin shows both at any time.
DUR is a whole number with a unit: 500ms, 2s, 1m, 1h.
RUST_LOG sets how much goes to stderr: error, warn, info, debug or trace [default: warn].";

/// What the command line asks for.
pub(crate) struct Options {
    pub(crate) listen: SocketAddr,
    pub(crate) upstream: Uri,
    pub(crate) redis: Option<RedisStoreBuilder>,
    pub(crate) tag: Tag,
    pub(crate) ttl: Option<Duration>,
    pub(crate) targeted: Vec<HeaderName>,
    pub(crate) key_headers: Vec<HeaderName>,
    pub(crate) set_cookie: SetCookie,
    pub(crate) lease: Duration,
    pub(crate) wait_timeout: Duration,
    pub(crate) upstream_timeout: Duration,
    pub(crate) max_body: u64,
    pub(crate) stream_followers: StreamFollowers,
    pub(crate) max_waiters: usize,
    pub(crate) at_limit: AtLimit,
    pub(crate) store_after: u32,
    pub(crate) receipts: bool,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) shadow: bool,
    pub(crate) verify: f64,
}

impl Options {
    pub(crate) fn from_args() -> Self {
        read_args(USAGE, |args| {
            let mut listen = None;
            let mut upstream = None;
            let (mut redis, mut sentinel, mut cluster) = (Vec::new(), None, false);
            let (mut redis_timeout, mut ca, mut cert, mut key) = (None, None, None, None);
            let (mut near, mut near_lag) = (None, None);
            let mut tag = Tag::new("proxy").map_err(|e| e.to_string())?;
            let mut ttl = None;
            let mut key_headers = Vec::new();
            let mut targeted = vec![HeaderName::from_static("cdn-cache-control")];
            let mut set_cookie = SetCookie::default();
            let mut lease = Duration::from_secs(5);
            let mut wait_timeout = Duration::from_secs(30);
            let mut upstream_timeout = Duration::from_secs(60);
            let mut max_body = 8 * 1024 * 1024;
            let mut stream_followers = StreamFollowers::default();
            let (mut max_waiters, mut at_limit, mut store_after) = (65_536, AtLimit::Bypass, 1);
            let (mut receipts, mut admin, mut shadow, mut verify) = (false, None, false, 0.0);
            while let Some(flag) = args.next_flag()? {
                match flag {
                    "--listen" => listen = Some(args.address()?),
                    "--upstream" => upstream = Some(args.http_url()?),
                    "--redis" => redis.push(args.redis_url()?),
                    "--sentinel" => sentinel = Some(args.text("the name of a master")?),
                    "--cluster" => cluster = true,
                    "--redis-timeout" => redis_timeout = Some(args.duration()?),
                    "--redis-ca" => ca = Some(args.file()?),
                    "--redis-cert" => cert = Some(args.file()?),
                    "--redis-key" => key = Some(args.file()?),
                    "--near" => near = Some(args.bytes()?),
                    "--near-lag" => near_lag = Some(args.duration()?),
                    "--tag" => tag = args.tag()?,
                    "--ttl" => ttl = Some(args.duration()?),
                    "--targeted" => targeted = args.field_names()?,
                    "--key-headers" => key_headers = args.field_names()?,
                    "--set-cookie" => set_cookie = cookies(&args.text(COOKIES)?)?,
                    "--lease" => lease = args.duration()?,
                    "--wait-timeout" => wait_timeout = args.duration()?,
                    "--upstream-timeout" => upstream_timeout = args.duration()?,
                    "--max-body" => max_body = args.bytes()?,
                    "--stream-followers" => stream_followers = followers(&args.text(FOLLOWERS)?)?,
                    "--max-waiters" => max_waiters = args.count()?,
                    "--queue" => at_limit = AtLimit::Queue(args.count()?),
                    "--store-after" => store_after = args.count()?.try_into().unwrap_or(u32::MAX),
                    "--receipts" => receipts = true,
                    "--admin" => admin = Some(args.value(LOOPBACK, loopback)?),
                    "--shadow" => shadow = true,
                    "--verify" => verify = args.value("a fraction from 0 to 1 like 0.01", fraction)?,
                    _ => return Err(args.unknown()),
                }
            }
            let missing = Args::missing;
            let redis = match builder(redis, sentinel, cluster)? {
                Some(builder) => {
                    let builder = with_certificates(builder, ca, cert, key)?;
                    let builder = redis_timeout.into_iter().fold(builder, RedisStoreBuilder::timeout);
                    Some(with_near(builder, near, near_lag)?)
                }
                None if near.is_some() || near_lag.is_some() => {
                    return Err(missing("--redis", "an address, for --near"));
                }
                None if redis_timeout.is_some() || ca.or(cert).or(key).is_some() => {
                    return Err(missing("--redis", "an address"));
                }
                None => None,
            };
            Ok(Self {
                listen: listen.ok_or_else(|| missing("--listen", "an address"))?,
                upstream: upstream.ok_or_else(|| missing("--upstream", "an http:// address"))?,
                redis,
                tag,
                ttl,
                targeted,
                key_headers,
                set_cookie,
                lease,
                wait_timeout,
                upstream_timeout,
                max_body,
                stream_followers,
                max_waiters,
                at_limit,
                store_after,
                receipts,
                admin,
                shadow,
                verify,
            })
        })
    }
}

const LOOPBACK: &str = "a loopback address like 127.0.0.1:8081 or [::1]:8081";

/// An address that no other machine reaches.
fn loopback(text: &str) -> Option<SocketAddr> {
    text.parse()
        .ok()
        .filter(|address: &SocketAddr| address.ip().is_loopback())
}

fn fraction(text: &str) -> Option<f64> {
    text.parse().ok().filter(|fraction| (0.0..=1.0).contains(fraction))
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

/// The store through which the proxies share, if they do.
fn builder(
    mut redis: Vec<String>,
    sentinel: Option<String>,
    cluster: bool,
) -> Result<Option<RedisStoreBuilder>, Error> {
    match (sentinel, cluster) {
        (Some(_), true) => Err("--sentinel and --cluster exclude each other".into()),
        (Some(_), _) if redis.is_empty() => Err(Args::missing("--redis", "the address of a sentinel")),
        (None, true) if redis.is_empty() => Err(Args::missing("--redis", "the address of a node of the cluster")),
        (Some(master), false) => Ok(Some(RedisStore::sentinel(redis, master))),
        (None, true) => Ok(Some(RedisStore::cluster(redis))),
        (None, false) => Ok(redis.pop().map(RedisStore::builder)),
    }
}

/// The same with copies in this process, if they are asked for.
fn with_near(
    builder: RedisStoreBuilder,
    bytes: Option<u64>,
    lag: Option<Duration>,
) -> Result<RedisStoreBuilder, Error> {
    let Some(bytes) = bytes else {
        return match lag {
            Some(_) => Err(Args::missing("--near", "a number of bytes")),
            None => Ok(builder),
        };
    };
    let builder = builder.near(usize::try_from(bytes).unwrap_or(usize::MAX));
    Ok(match lag {
        Some(lag) => builder.near_lag(lag),
        None => builder,
    })
}

#[cfg(not(feature = "tls"))]
fn with_certificates(
    builder: RedisStoreBuilder,
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
) -> Result<RedisStoreBuilder, Error> {
    match ca.or(cert).or(key) {
        None => Ok(builder),
        Some(_) => Err("--redis-ca, --redis-cert and --redis-key need a build with --features tls".into()),
    }
}

#[cfg(feature = "tls")]
fn with_certificates(
    mut builder: RedisStoreBuilder,
    ca: Option<Vec<u8>>,
    cert: Option<Vec<u8>>,
    key: Option<Vec<u8>>,
) -> Result<RedisStoreBuilder, Error> {
    if let Some(ca) = ca {
        builder = builder.root_certificates(ca);
    }
    match (cert, key) {
        (Some(cert), Some(key)) => Ok(builder.client_certificate(cert, key)),
        (None, None) => Ok(builder),
        (None, Some(_)) => Err(Args::missing("--redis-cert", "a file")),
        (Some(_), None) => Err(Args::missing("--redis-key", "a file")),
    }
}

//! The command line.

mod redis;
mod sharing;

use std::net::SocketAddr;
use std::time::Duration;

use http::Uri;
use tower_memolock::middleware::StreamFollowers;
use tower_memolock::store::RedisStoreBuilder;

use self::redis::RedisFlags;
use self::sharing::Sharing;
use support::{Args, read_args};

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
                        for it: off, none of them; process, those in the leader's process; cluster, those
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
    pub(crate) upstream_timeout: Duration,
    pub(crate) redis: Option<RedisStoreBuilder>,
    pub(crate) sharing: Sharing,
    pub(crate) admin: Option<SocketAddr>,
    pub(crate) shadow: bool,
    pub(crate) verify: f64,
}

impl Options {
    pub(crate) fn from_args() -> Self {
        read_args(USAGE, |args| {
            let (mut listen, mut upstream) = (None, None);
            let mut upstream_timeout = Duration::from_secs(60);
            let (mut redis, mut sharing) = (RedisFlags::default(), Sharing::new()?);
            let (mut admin, mut shadow, mut verify) = (None, false, 0.0);
            while let Some(flag) = args.next_flag()? {
                match flag {
                    "--listen" => listen = Some(args.address()?),
                    "--upstream" => upstream = Some(args.http_url()?),
                    "--upstream-timeout" => upstream_timeout = args.duration()?,
                    "--admin" => admin = Some(args.value(LOOPBACK, loopback)?),
                    "--shadow" => shadow = true,
                    "--verify" => verify = args.value("a fraction from 0 to 1 like 0.01", fraction)?,
                    flag => {
                        let flag = flag.to_owned();
                        if !redis.read(&flag, args)? && !sharing.read(&flag, args)? {
                            return Err(args.unknown());
                        }
                    }
                }
            }
            let redis = redis.builder()?;
            if redis.is_none() && matches!(sharing.stream_followers, StreamFollowers::Cluster) {
                return Err(Args::missing("--redis", "an address, for --stream-followers cluster"));
            }
            Ok(Self {
                redis,
                listen: listen.ok_or_else(|| Args::missing("--listen", "an address"))?,
                upstream: upstream.ok_or_else(|| Args::missing("--upstream", "an http:// address"))?,
                upstream_timeout,
                sharing,
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

//! `rediss://`: certificates of one's own, and what is wrong with one, in words.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tower_memolock::store::{Acquire, Lock, Notice, RedisStore, RedisStoreBuilder, Store, Token, Value, Watch};
use tower_memolock::{Address, Key, StoreError, StoreErrorKind, Tag};

use crate::support::{
    Authority, HttpClient, Issued, Log, Node, Origin, RedisServer, Reply, TlsServer, causes, eventually, run_example,
    within,
};
use tower_memolock::store::contract::{self, for_each_clause};

const HOST: &str = "127.0.0.1";
const LONG: Duration = Duration::from_secs(60);

/// A server that wants a client certificate, and what a client of it has.
struct Strict {
    server: TlsServer,
    ca: String,
    client: Issued,
}

impl Strict {
    fn start() -> Self {
        let ca = Authority::new();
        Self {
            server: TlsServer::start_strict(&ca, &ca.issue(HOST), &[]),
            client: ca.issue("client"),
            ca: ca.pem().to_owned(),
        }
    }

    async fn connect(&self) -> RedisStore {
        let builder = RedisStore::builder(self.server.url())
            .root_certificates(self.ca.as_str())
            .client_certificate(self.client.certificate.as_str(), self.client.key.as_str());
        builder.connect().await.expect("a store")
    }
}

mod with_client_certificate {
    use super::*;

    macro_rules! tests {
        ($($clause:ident)*) => {$(
            #[tokio::test]
            async fn $clause() {
                let strict = Strict::start();
                let (one, two) = (strict.connect().await, strict.connect().await);
                contract::$clause(one, two).await;
            }
        )*};
    }
    for_each_clause!(tests);
}

fn address() -> Address {
    Address::new(&Tag::new("tls").expect("a tag"), &Key::new("a").expect("a key"))
}

/// Waits for what a commit makes `watch` hear.
async fn commit_is_heard(store: &RedisStore, watch: &mut impl Watch) {
    let token = Token::random();
    let acquired = within("the lock", async {
        loop {
            match store.acquire(&address(), token, LONG).await {
                Ok(Acquire { lock, .. }) => return lock,
                Err(_) => tokio::time::sleep(Duration::from_millis(5)).await,
            }
        }
    });
    assert_eq!(acquired.await, Lock::Granted);
    let mut heard = async || within("a notice", watch.next()).await;
    while !matches!(heard().await, Notice::Reread) {}
    let committed = store.commit(&address(), token, &Value::encoded("v"), LONG).await;
    assert!(committed.expect("an answer to commit"));
    while !matches!(heard().await, Notice::Announced) {}
}

#[tokio::test]
async fn both_connections_come_back_after_a_kill() {
    let mut strict = Strict::start();
    let store = strict.connect().await;
    let epoch = store.epoch();
    let mut watch = store.watch(&address());
    commit_is_heard(&store, &mut watch).await;
    strict.server.plain.kill();
    assert!(store.lookup(&address()).await.is_err());
    strict.server.plain.restart_empty();
    let mut watch = store.watch(&address());
    commit_is_heard(&store, &mut watch).await;
    assert_ne!(store.epoch(), epoch);
}

#[tokio::test]
async fn proxies_share_through_a_redis_with_tls() {
    let strict = Strict::start();
    let file = |name: &str, pem: &str| strict.server.file(name, pem);
    let (url, ca) = (strict.server.url(), file("trusted.pem", &strict.ca));
    let cert = file("client.pem", &strict.client.certificate);
    let key = file("client.key", &strict.client.key);
    let mut flags = vec!["--redis", &url, "--ttl", "1m", "--redis-ca", &ca];
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let origin = Origin::start(move |_| {
        let n = count.fetch_add(1, Ordering::SeqCst);
        async move { Reply::ok(format!("answer {n}")) }
    })
    .await;

    let mut without = vec!["--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1"];
    without.extend(&flags);
    let output = run_example("reverse_proxy", &without).await;
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("Redis wants a client certificate"), "{stderr}");

    flags.extend(["--redis-cert", &cert, "--redis-key", &key]);
    for _ in 0..2 {
        let node = Node::reverse_proxy(&origin.url(), &flags).await;
        let answer = HttpClient::http1().get(&node.url("/")).await;
        assert_eq!(answer.expect("an answer").text(), "answer 0");
        let stored = || !strict.server.plain.cli(&["KEYS", "proxy:*"]).is_empty();
        eventually("the answer is stored", stored).await;
    }
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

async fn refusal(builder: RedisStoreBuilder) -> StoreError {
    let connected = within("an answer to connect", builder.connect()).await;
    connected.expect_err("nothing to connect to like this")
}

#[tokio::test]
async fn what_is_wrong_with_a_handshake_is_said() {
    let (ca, stranger) = (Authority::new(), Authority::new());
    let server = TlsServer::start(&ca, &ca.issue(HOST));
    let of_another = TlsServer::start(&ca, &ca.issue("example.com"));
    let expired = TlsServer::start(&ca, &ca.issue_expired(HOST));
    let strict = TlsServer::start_strict(&ca, &ca.issue(HOST), &[]);
    let older = TlsServer::start_strict(&ca, &ca.issue(HOST), &["--tls-protocols", "TLSv1.2"]);
    let trusting = |server: &TlsServer| RedisStore::builder(server.url()).root_certificates(ca.pem());
    let foreign = stranger.issue("client");
    for (case, builder, reason) in [
        (
            "the public CAs",
            RedisStore::builder(server.url()),
            "`root_certificates`",
        ),
        (
            "another CA",
            RedisStore::builder(server.url()).root_certificates(stranger.pem()),
            "`root_certificates`",
        ),
        ("another name", trusting(&of_another), "a name into the URL"),
        ("out of date", trusting(&expired), "out of date"),
        (
            "no client certificate",
            trusting(&strict),
            "give one to `client_certificate`",
        ),
        ("none with TLS 1.2", trusting(&older), "want a client certificate"),
        (
            "a foreign client certificate",
            trusting(&strict).client_certificate(foreign.certificate, foreign.key),
            "refuses the client certificate",
        ),
    ] {
        let error = refusal(builder).await;
        assert_eq!(error.kind(), StoreErrorKind::Config, "{case}");
        let text = causes(&error);
        assert!(text.contains(reason), "{case}: {text}");
    }
}

#[tokio::test]
async fn what_cannot_be_told_from_an_outage_is_a_warning_with_the_reason() {
    let ca = Authority::new();
    let server = TlsServer::start(&ca, &ca.issue(HOST));
    let tls_at_plain = server.plain.url().replace("redis:", "rediss:");
    let plain_at_tls = server.url().replace("rediss:", "redis:");
    for (url, reason) in [
        (tls_at_plain, "a port without TLS does not answer"),
        (plain_at_tls, "a port for TLS does so"),
    ] {
        let log = Log::start();
        let builder = RedisStore::builder(&url).connect_timeout(Duration::from_millis(500));
        let store = within("an answer to connect", builder.connect())
            .await
            .expect("a store");
        let warnings = log.lines_with("no connection to Redis");
        assert!(warnings.iter().any(|line| line.contains(reason)), "{url}: {warnings:?}");
        let error = store.lookup(&address()).await.expect_err("no connection");
        assert_eq!(error.kind(), StoreErrorKind::Unavailable, "{url}");
    }
}

#[tokio::test]
async fn certificates_that_cannot_be_used_are_refused_with_the_reason() {
    let ca = Authority::new();
    let (one, two) = (ca.issue("client"), ca.issue("client"));
    let url = "rediss://127.0.0.1:1";
    let broken = one.certificate.replace("-----END", "-----");
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let roots = |pem: &str| RedisStore::builder(url).root_certificates(pem);
    let client = |pem: &str, key: &str| RedisStore::builder(url).client_certificate(pem, key);
    let server = RedisServer::start();
    let plain = RedisStore::builder(server.url());
    for (case, builder, reason) in [
        ("no roots", roots(""), "root certificates are not PEM"),
        ("a key as root", roots(&one.key), "root certificates are not PEM"),
        ("a broken root", roots(&broken), "root certificates are not PEM"),
        ("nonsense as root", roots(nonsense), "not one of a CA"),
        ("no certificate", client("", &one.key), "client certificate is not PEM"),
        ("no key", client(&one.certificate, ""), "client key is not PEM"),
        (
            "a certificate as key",
            client(&one.certificate, &one.certificate),
            "client key is not PEM",
        ),
        (
            "the key of another",
            client(&one.certificate, &two.key),
            "does not fit the client key",
        ),
        ("nonsense", client(nonsense, &one.key), "does not fit the client key"),
        (
            "no TLS",
            plain.root_certificates(ca.pem()),
            "begin its URL with rediss://",
        ),
        (
            "a socket",
            RedisStore::builder("unix:///run/redis.sock")
                .client_certificate(one.certificate.as_str(), one.key.as_str()),
            "begin its URL with rediss://",
        ),
        (
            "no verification",
            RedisStore::builder("rediss://127.0.0.1:1/#insecure"),
            "`root_certificates`",
        ),
    ] {
        let error = refusal(builder).await;
        assert_eq!(error.kind(), StoreErrorKind::Config, "{case}");
        let text = causes(&error);
        assert!(text.contains(reason), "{case}: {text}");
        assert!(!format!("{error:?}").contains(key_body(&one)), "{case}: {error:?}");
    }
}

#[tokio::test]
async fn a_key_is_never_printed() {
    let strict = Strict::start();
    let builder = RedisStore::builder(strict.server.url())
        .root_certificates(strict.ca.as_str())
        .client_certificate(strict.client.certificate.as_str(), strict.client.key.as_str());
    let mut printed = format!("{builder:?}");
    let store = builder.connect().await.expect("a store");
    printed.push_str(&format!("{store:?}"));
    // As text, and as the numbers that bytes are printed as.
    assert!(!printed.contains(key_body(&strict.client)), "{printed}");
    assert!(!printed.contains("45, 45, 45"), "{printed}");
}

/// The first line of the key proper.
fn key_body(issued: &Issued) -> &str {
    issued.key.lines().nth(1).expect("a second line")
}
// The task that reads the refusal runs beside the task that greets: either may be first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refusal_after_the_handshake_is_heard_whichever_task_reads_it() {
    let strict = Strict::start();
    for _ in 0..20 {
        let error = refusal(RedisStore::builder(strict.server.url()).root_certificates(strict.ca.as_str())).await;
        let text = causes(&error);
        assert!(text.contains("give one to `client_certificate`"), "{text}");
    }
}

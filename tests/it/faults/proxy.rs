//! The fault proxy itself: every fault happens as ordered, and nothing else.

use std::io;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::{Cut, Fault, FaultProxy, Link, Plane, RedisServer, Target, eventually, within};

/// A connection through the proxy, of which the test sees every byte.
struct Raw(TcpStream);

impl Raw {
    async fn connect(proxy: &FaultProxy) -> Self {
        let address = proxy.url().replace("redis://", "");
        Self(TcpStream::connect(address).await.expect("a connection"))
    }

    /// A client that hears messages of the channel `c`.
    async fn subscribed(proxy: &FaultProxy) -> Self {
        let mut raw = Self::connect(proxy).await;
        raw.send("HELLO 3").await;
        raw.until("modules\r\n*0\r\n").await;
        raw.send("SUBSCRIBE c").await;
        raw.until(":1\r\n").await;
        raw
    }

    async fn send(&mut self, command: &str) {
        let words: Vec<_> = command.split(' ').collect();
        let mut bytes = format!("*{}\r\n", words.len());
        for word in words {
            bytes.push_str(&format!("${}\r\n{word}\r\n", word.len()));
        }
        self.0.write_all(bytes.as_bytes()).await.expect("a command sent");
    }

    /// What comes, up to and with `end`.
    async fn until(&mut self, end: &str) -> String {
        let mut text = Vec::new();
        let read = async {
            while !text.ends_with(end.as_bytes()) {
                text.push(self.0.read_u8().await?);
            }
            Ok::<_, io::Error>(())
        };
        let read = within(end, read).await;
        let text = String::from_utf8_lossy(&text).into_owned();
        assert!(read.is_ok(), "{text:?} and then {read:?}");
        text
    }

    /// What is left until the connection ends, and how it ends.
    async fn rest(&mut self) -> (String, io::Result<()>) {
        let mut rest = Vec::new();
        let end = within("the end", self.0.read_to_end(&mut rest)).await;
        (String::from_utf8_lossy(&rest).into_owned(), end.map(drop))
    }

    /// Whether nothing comes for a while.
    async fn is_silent(&mut self) -> bool {
        let wait = Duration::from_millis(100);
        tokio::time::timeout(wait, self.0.read_u8()).await.is_err()
    }
}

fn message(payload: &str) -> String {
    format!(">3\r\n$7\r\nmessage\r\n$1\r\nc\r\n${}\r\n{payload}\r\n", payload.len())
}

async fn pair() -> (RedisServer, FaultProxy) {
    let redis = RedisServer::start();
    let proxy = FaultProxy::start(redis.port()).await;
    (redis, proxy)
}

#[tokio::test]
async fn without_orders_everything_flows() {
    let (redis, proxy) = pair().await;
    let (mut commands, mut subscriber) = (Raw::connect(&proxy).await, Raw::subscribed(&proxy).await);
    commands.send("SET k v").await;
    commands.send("GET k").await;
    assert_eq!(commands.until("$1\r\nv\r\n").await, "+OK\r\n$1\r\nv\r\n");
    redis.cli(&["PUBLISH", "c", "hello"]);
    assert_eq!(subscriber.until("hello\r\n").await, message("hello"));
    assert_eq!(
        (proxy.opened(Plane::Commands), proxy.live(Plane::Notifications)),
        (1, 1)
    );
    drop((commands, subscriber));
    eventually("the end of both", || {
        proxy.live(Plane::Commands) + proxy.live(Plane::Notifications) == 0
    })
    .await;
}

#[tokio::test]
async fn messages_suffer_what_is_ordered() {
    let (redis, proxy) = pair().await;
    let mut subscriber = Raw::subscribed(&proxy).await;
    let publish = |payloads: &[&str]| {
        for payload in payloads {
            redis.cli(&["PUBLISH", "c", payload]);
        }
    };
    let order = |fault| proxy.inject(Target::messages().naming("c").times(1), fault);

    let injections = [Fault::Drop, Fault::Duplicate, Fault::Corrupt].map(order);
    publish(&["lost", "twice", "bent", "end."]);
    let heard = subscriber.until("end.\r\n").await;
    let bent: String = "bent".bytes().map(|b| char::from(b ^ 0x55)).collect();
    let expected = ["twice", "twice", &bent, "end."].map(message).concat();
    assert_eq!(heard, expected);
    assert!(injections.iter().all(|i| i.count() == 1));

    let reordered = proxy.inject(Target::messages().times(2), Fault::Reorder);
    publish(&["first", "second", "third"]);
    let expected = ["second", "first", "third"].map(message).concat();
    assert_eq!(subscriber.until("third\r\n").await, expected);
    reordered.happened(2).await;
    order(Fault::Reorder);
    publish(&["held"]);
    assert!(subscriber.is_silent().await);
    proxy.heal();
    assert_eq!(subscriber.until("held\r\n").await, message("held"));

    let delay = Duration::from_millis(200);
    order(Fault::Delay(delay));
    let since = Instant::now();
    publish(&["late", "after"]);
    assert_eq!(
        subscriber.until("after\r\n").await,
        ["late", "after"].map(message).concat()
    );
    assert!(since.elapsed() >= delay);

    order(Fault::Truncate);
    publish(&["cut"]);
    let (rest, end) = subscriber.rest().await;
    assert!(
        end.is_ok() && message("cut").starts_with(&rest) && !rest.is_empty(),
        "{rest:?}"
    );
}

#[tokio::test]
async fn commands_are_answered_as_ordered_and_in_order() {
    let (redis, proxy) = pair().await;
    let mut raw = Raw::connect(&proxy).await;
    let loading = proxy.inject(Target::replies(&["set"]), Fault::error("LOADING wait"));
    let planted = proxy.inject(Target::replies(&["GET"]).naming("b"), Fault::string(b"planted"));
    for command in ["GET a", "SET a 1", "GET b", "GET a"] {
        raw.send(command).await;
    }
    let replies = raw.until("planted\r\n$-1\r\n").await;
    assert_eq!(replies, "$-1\r\n-LOADING wait\r\n$7\r\nplanted\r\n$-1\r\n");
    assert_eq!((loading.count(), planted.count()), (1, 1));
    assert_eq!(redis.cli(&["DBSIZE"]), "0");

    proxy.heal();
    let shifted = proxy.inject(Target::replies(&[]).times(1), Fault::Drop);
    raw.send("ECHO one").await;
    raw.send("ECHO two").await;
    assert_eq!(raw.until("two\r\n").await, "$3\r\ntwo\r\n");
    assert_eq!(shifted.count(), 1);

    proxy.inject(Target::replies(&["ECHO"]).times(1), Fault::Mute);
    raw.send("ECHO three").await;
    raw.send("PING").await;
    assert!(raw.is_silent().await);
}

#[tokio::test]
async fn links_are_silent_refused_and_cut() {
    let (_redis, proxy) = pair().await;
    let mut raw = Raw::connect(&proxy).await;
    raw.send("PING").await;
    raw.until("+PONG\r\n").await;

    proxy.link(Plane::Commands, Link::Silent);
    let mut subscriber = Raw::subscribed(&proxy).await;
    let mut other = Raw::connect(&proxy).await;
    raw.send("PING").await;
    other.send("PING").await;
    assert!(raw.is_silent().await && other.is_silent().await);
    proxy.heal();
    raw.until("+PONG\r\n").await;
    other.until("+PONG\r\n").await;

    proxy.cut(Plane::Commands, Cut::Fin);
    assert!(matches!(raw.rest().await, (rest, Ok(())) if rest.is_empty()));
    subscriber.send("PING").await;
    subscriber.until("+PONG\r\n").await;
    proxy.cut(Plane::Notifications, Cut::Reset);
    let reset = subscriber.rest().await.1.expect_err("a reset");
    assert_eq!(reset.kind(), io::ErrorKind::ConnectionReset);

    proxy.links(Link::Refused);
    eventually("a closed port", || {
        std::net::TcpStream::connect(proxy.url().replace("redis://", "")).is_err()
    })
    .await;
    proxy.heal();
    eventually("an open port", || {
        std::net::TcpStream::connect(proxy.url().replace("redis://", "")).is_ok()
    })
    .await;
    let mut raw = Raw::connect(&proxy).await;
    raw.send("PING").await;
    raw.until("+PONG\r\n").await;
}

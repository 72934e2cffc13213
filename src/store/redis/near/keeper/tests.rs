use tokio::time::Instant;

use super::super::NearOwed;
use super::super::copy::NearCopy;
use super::*;
use crate::key::Tag;
use crate::store::Value;
use crate::store::redis::conn::address::ServerUrl;
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::tests::eventually;
use crate::store::redis::tests::server::Server;
use crate::store::redis::topology::link;

const LONG: Duration = Duration::from_secs(9);

/// A process with near copies, without the task that keeps them.
struct Process {
    near: Arc<Near>,
    link: Link,
    tag: Arc<NearTag>,
    warnings: Throttle,
    _owed: NearOwed,
}

impl Process {
    /// One that has joined those with copies.
    async fn joined(url: &str) -> Self {
        let dialer = Dialer::new(ServerUrl::read(url).unwrap(), LONG, LONG);
        let (near, owed) = Near::new(0, Some((1 << 20, LONG)));
        let first = dialer.commands().await;
        let process = Self {
            link: Link::Server(Box::new(link::Server::start(dialer, first, &near))),
            tag: near.tag("t").unwrap(),
            warnings: Throttle::default(),
            near,
            _owed: owed,
        };
        process.join().await;
        process
    }

    async fn join(&self) {
        self.near.expect(&Tag::from_literal("t"));
        eventually(async || self.is_done().await.then_some(())).await;
    }

    async fn is_done(&self) -> bool {
        self.near.join_all(&self.link, &self.warnings).await
    }

    fn feed(&self) -> Arc<NearFeed> {
        self.link.near(self.tag.keys()).unwrap()
    }

    fn keep_a_copy(&self) {
        let (own, from) = (self.near.own.as_ref().unwrap(), Backing::of(self.feed().lease()));
        let copy = NearCopy {
            value: Value::encoded("v"),
            expires_at: Instant::now() + LONG,
            from,
            home: None,
            currency: None,
        };
        let placeholder = own.copies.begin("t:a", Instant::now(), &copy.from);
        assert!(placeholder.unwrap().fill(copy));
    }

    /// Its number in the set.
    async fn score(&self, server: &Server) -> Option<String> {
        let zscore = format!("ZSCORE {} {}", self.tag.names.members, self.near.member());
        server.run(&zscore).await
    }
}

#[tokio::test]
async fn a_process_that_leaves_keeps_nothing_and_is_in_no_set() {
    let server = Server::start().await;
    let process = Process::joined(&server.url()).await;
    let (near, feed) = (&process.near, process.feed());
    process.keep_a_copy();
    let backing = Backing::of(feed.lease());
    assert!(process.tag.joined().is_some() && process.score(&server).await.is_some());
    near.leave(&process.link).await;
    assert!(process.score(&server).await.is_none());
    assert!(process.tag.joined().is_none() && !backing.holds());
    assert_eq!(near.counters.copies.get(), 0);
    // Only a request brings it back.
    assert!(process.is_done().await);
    assert!(process.score(&server).await.is_none());
    feed.connected(u64::MAX);
    assert!(feed.steps(u64::MAX).is_empty() && !feed.needs_lease());
    // There is nothing to tell twice.
    let scripts = server.executed("evalsha").await + server.executed("eval").await;
    near.leave(&process.link).await;
    assert_eq!(
        server.executed("evalsha").await + server.executed("eval").await,
        scripts
    );
}

#[tokio::test]
async fn a_process_that_has_left_may_come_back() {
    let server = Server::start().await;
    let process = Process::joined(&server.url()).await;
    let before = process.score(&server).await;
    process.near.leave(&process.link).await;
    process.join().await;
    let after = process.score(&server).await;
    assert!(after.is_some() && after != before);
    assert!(process.tag.joined().is_some());
}

#[tokio::test]
async fn a_process_leaves_once_more_where_it_did_not_get_out_of_the_set() {
    let server = Server::start().await;
    server
        .run::<()>("ACL SETUSER memo on >pw allkeys allchannels +@all")
        .await;
    let process = Process::joined(&server.url_for("memo:pw@")).await;
    server.run::<()>("ACL SETUSER memo -zremrangebyrank").await;
    process.near.leave(&process.link).await;
    assert!(process.score(&server).await.is_some());
    server.run::<()>("ACL SETUSER memo +zremrangebyrank").await;
    process.near.leave(&process.link).await;
    assert!(process.score(&server).await.is_none());
}

#[tokio::test]
async fn a_process_enters_the_set_again_where_it_is_not_in_it_as_itself() {
    let server = Server::start().await;
    let process = Process::joined(&server.url()).await;
    let (members, member) = (&process.tag.names.members, process.near.member());
    for change in [format!("ZREM {members} {member}"), format!("ZADD {members} 5 {member}")] {
        let before = process.tag.score.load(Ordering::Relaxed);
        process.tag.recheck.store(false, Ordering::Relaxed);
        server.run::<u32>(&change).await;
        eventually(async || process.tag.recheck.load(Ordering::Relaxed).then_some(())).await;
        assert!(process.is_done().await, "{change}");
        let score = process.tag.score.load(Ordering::Relaxed);
        assert_ne!(score, before, "{change}");
        assert_eq!(process.score(&server).await, Some(score.to_string()), "{change}");
    }
}

#[tokio::test]
async fn a_process_that_is_in_the_set_asks_for_that_only_where_there_is_news() {
    let server = Server::start().await;
    let process = Process::joined(&server.url()).await;
    // It hears of its own entry.
    eventually(async || process.tag.recheck.load(Ordering::Relaxed).then_some(())).await;
    let (score, asked) = (process.score(&server).await, server.executed("zscore").await);
    for more in [1, 1] {
        assert!(process.is_done().await);
        assert_eq!(server.executed("zscore").await, asked + more);
    }
    assert_eq!(process.score(&server).await, score);
}

//! The example's nodes and its worker, and a Redis between them.

use std::path::PathBuf;
use std::process::Stdio;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};
use tokio::task::JoinHandle;
use tower::BoxError;

use crate::support::{Answer, HttpClient, Node, RedisServer, eventually, within};

/// Three nodes over one Redis, with the lease and the wait timeout that these flags name.
pub(super) async fn nodes(redis: &RedisServer, lease: &str, wait_timeout: &str) -> Vec<Node> {
    let mut nodes = Vec::new();
    for _ in 0..3 {
        nodes.push(node(&redis.url(), lease, wait_timeout).await);
    }
    nodes
}

pub(super) async fn node(redis: &str, lease: &str, wait_timeout: &str) -> Node {
    let flags = ["--listen", "127.0.0.1:0", "--redis", redis];
    let times = ["--lease", lease, "--wait-timeout", wait_timeout];
    Node::start("deferred", &[&flags[..], &times[..]].concat()).await
}

/// `worker.py` of the example. Killed on drop.
pub(super) struct Worker {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
}

impl Worker {
    /// Starts a worker that takes so many seconds for a report, and waits until the worker waits.
    pub(super) async fn start(redis: &RedisServer, seconds: u32) -> Self {
        let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("examples/deferred/worker.py");
        let mut child = Command::new("python3")
            .arg(script)
            .args([redis.port().to_string(), seconds.to_string()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3");
        let says = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        let mut worker = Self { child, says };
        worker.says("waiting for reports").await;
        worker
    }

    /// Waits until it says this next.
    pub(super) async fn says(&mut self, expected: &str) {
        let line = within("a line of the worker", self.says.next_line()).await;
        assert_eq!(line.expect("UTF-8").as_deref(), Some(expected));
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub(super) async fn kill(&mut self) {
        self.child.kill().await.expect("a process to kill");
    }
}

/// How many jobs there ever were.
pub(super) fn jobs(redis: &RedisServer) -> u64 {
    redis.commandstats().get("rpush").copied().unwrap_or_default()
}

/// Waits until so many jobs were put into the queue.
pub(super) async fn queued(redis: &RedisServer, count: u64) {
    eventually("a job in the queue", || jobs(redis) >= count).await;
}

/// Waits until this many processes wait on a channel.
pub(super) async fn listening(redis: &RedisServer, channel: &str, processes: usize) {
    eventually("processes that wait", || {
        let subscribers = redis.cli(&["PUBSUB", "NUMSUB", channel]);
        let count = subscribers.lines().last().and_then(|n| n.parse().ok());
        count.is_some_and(|count: usize| count >= processes)
    })
    .await;
}

/// So many GETs of a path, to all nodes in turn, in the background.
pub(super) fn get(nodes: &[Node], path: &str, count: usize) -> JoinHandle<Vec<Result<Answer, BoxError>>> {
    crate::support::cluster::ask(crate::support::cluster::urls(nodes, path, count))
}

/// So many POSTs of one body, for one host.
pub(super) fn post(
    nodes: &[Node],
    path: &str,
    body: &'static str,
    count: usize,
) -> JoinHandle<Vec<Result<Answer, BoxError>>> {
    let urls = crate::support::cluster::urls(nodes, path, count);
    let client = HttpClient::http1();
    tokio::spawn(async move {
        let sent = urls.iter().map(|url| {
            let request = Request::post(url).header("host", "reports.example");
            let request = request.header("content-type", "text/plain");
            client.send(
                request
                    .body(Full::new(Bytes::from_static(body.as_bytes())))
                    .expect("a request"),
            )
        });
        futures_util::future::join_all(sent).await
    })
}

/// The one PDF that all of them got.
pub(super) fn one_pdf(answers: Vec<Result<Answer, BoxError>>) -> Bytes {
    for answer in answers.iter().flatten() {
        assert_eq!(answer.header("content-type"), ["application/pdf"], "{answer}");
        assert!(answer.header("memolock-address").is_empty());
    }
    crate::support::cluster::one_body(answers)
}

/// The statuses of all of them, in ascending order.
pub(super) fn statuses(answers: Vec<Result<Answer, BoxError>>) -> Vec<u16> {
    let mut statuses: Vec<_> = answers.into_iter().map(|a| a.expect("an answer").status).collect();
    statuses.sort_unstable();
    statuses
}

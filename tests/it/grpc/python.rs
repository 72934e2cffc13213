//! Calls by another implementation of gRPC: Google's, for Python.

use std::collections::HashMap;
use std::process::Stdio;
use std::time::Duration;

use prost::Message;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tonic::Code;

use super::fixture::{MAKE, Nodes, failing, gated};
use super::proto::Product;
use crate::support::{Node, RedisServer, eventually, python, within};
use crate::tonic::demo::{RenderReply, RenderRequest};

const RENDER: &str = "/memolock.demo.v1.Reports/Render";

/// What a call ended in.
#[derive(Debug, Clone)]
struct Ended {
    code: Code,
    details: String,
    reply: Vec<u8>,
    metadata: HashMap<String, Vec<u8>>,
}

impl Ended {
    fn reply<M: Message + Default>(&self) -> M {
        assert_eq!(self.code, Code::Ok, "{self:?}");
        M::decode(&self.reply[..]).expect("a message that decodes")
    }
}

/// `grpc_calls.py`. Killed on drop.
struct Python {
    _child: Child,
    stdin: ChildStdin,
    stdout: Lines<BufReader<ChildStdout>>,
    calls: usize,
    ended: HashMap<usize, Ended>,
}

impl Python {
    fn start() -> Self {
        let mut child = Command::new(python())
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/python/grpc_calls.py"))
            .env_remove("http_proxy")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a process");
        Self {
            stdin: child.stdin.take().expect("its stdin"),
            stdout: BufReader::new(child.stdout.take().expect("its stdout")).lines(),
            _child: child,
            calls: 0,
            ended: HashMap::new(),
        }
    }

    async fn say(&mut self, line: String) {
        self.stdin
            .write_all(line.as_bytes())
            .await
            .expect("a process that reads");
    }

    /// Starts a call and returns its number.
    async fn call(&mut self, target: &str, method: &str, message: &impl Message, options: Options) -> usize {
        let message = hex(&message.encode_to_vec());
        let deadline = options
            .deadline
            .map_or_else(String::new, |deadline| deadline.as_secs_f64().to_string());
        let compression = if options.gzip { "gzip" } else { "" };
        self.say(format!(
            "call\t{target}\t{method}\t{message}\t{deadline}\t{compression}\n"
        ))
        .await;
        self.calls += 1;
        self.calls - 1
    }

    async fn cancel(&mut self, call: usize) {
        self.say(format!("cancel\t{call}\n")).await;
    }

    /// What a call ended in.
    async fn ended(&mut self, call: usize) -> Ended {
        while !self.ended.contains_key(&call) {
            let line = within("the end of a call", self.stdout.next_line()).await;
            let line = line.expect("UTF-8").expect("a process that goes on");
            let fields: Vec<_> = line.split('\t').collect();
            let [number, code, details, reply, metadata] = fields[..] else {
                panic!("not five fields: {line}");
            };
            let metadata = metadata.split_terminator(' ').map(|field| {
                let (name, value) = field.split_once('=').expect("a name and a value");
                (name.to_owned(), unhex(value))
            });
            let ended = Ended {
                code: Code::from_i32(code.parse().expect("a number")),
                details: String::from_utf8(unhex(details)).expect("UTF-8"),
                reply: unhex(reply),
                metadata: metadata.collect(),
            };
            self.ended.insert(number.parse().expect("a number"), ended);
        }
        self.ended[&call].clone()
    }
}

#[derive(Clone, Copy, Default)]
struct Options {
    deadline: Option<Duration>,
    gzip: bool,
}

const PLAIN: Options = Options {
    deadline: None,
    gzip: false,
};

fn within_time(deadline: Duration) -> Options {
    Options {
        deadline: Some(deadline),
        ..PLAIN
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text
        .as_bytes()
        .chunks(2)
        .map(|digits| std::str::from_utf8(digits).expect("ASCII"));
    digits
        .map(|digits| u8::from_str_radix(digits, 16).expect("two digits"))
        .collect()
}

/// Three processes of the example.
struct Cluster {
    redis: RedisServer,
    nodes: [Node; 3],
}

impl Cluster {
    async fn start() -> Self {
        let redis = RedisServer::start();
        let node = async |name| {
            let flags = ["--listen", "127.0.0.1:0", "--node", name, "--redis", &redis.url()];
            Node::start("tonic", &flags).await
        };
        let nodes = [node("a").await, node("b").await, node("c").await];
        Self { redis, nodes }
    }

    fn target(&self, node: usize) -> &str {
        self.nodes[node].authority()
    }

    /// Waits until a computation has begun.
    async fn led(&self) {
        eventually("a leader", || !self.redis.cli(&["KEYS", "reports/lock:*"]).is_empty()).await;
    }

    /// Waits until this many processes wait for the one promise there is.
    async fn waiting(&self, processes: usize) {
        eventually("waiting processes", || {
            let channel = self.redis.cli(&["PUBSUB", "CHANNELS", "reports/notif:*"]);
            let subscribers = self.redis.cli(&["PUBSUB", "NUMSUB", &channel]);
            subscribers.lines().last() == Some(processes.to_string().as_str())
        })
        .await;
    }

    /// How many executions all nodes have seen, those of the probes, which no call shares, left out.
    async fn executions(&self, python: &mut Python) -> u64 {
        let mut all = 0;
        for node in 0..3 {
            let probe = RenderRequest {
                id: format!("probe of {}", self.target(node)),
                ..RenderRequest::default()
            };
            let call = python.call(self.target(node), RENDER, &probe, PLAIN).await;
            all += python.ended(call).await.reply::<RenderReply>().execution - 1;
        }
        all
    }
}

fn report(id: &str, work_ms: u32) -> RenderRequest {
    RenderRequest {
        id: id.to_owned(),
        work_ms,
        fail_code: 0,
        size: 1000,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ninety_calls_of_three_processes_are_one_execution() {
    let (cluster, mut python) = (Cluster::start().await, Python::start());
    let mut calls = Vec::new();
    for i in 0..90 {
        calls.push(
            python
                .call(cluster.target(i % 3), RENDER, &report("monthly", 1000), PLAIN)
                .await,
        );
    }
    // And once more when it is stored.
    for _ in ["collapsed", "stored"] {
        let mut replies = Vec::new();
        for call in calls {
            let ended = python.ended(call).await;
            assert_eq!(ended.metadata["x-cost"], b"1000");
            replies.push(ended.reply::<RenderReply>());
        }
        assert_eq!(replies[0].pdf.len(), 1000);
        assert!(replies.iter().all(|reply| *reply == replies[0]));
        calls = Vec::new();
        for node in 0..3 {
            calls.push(
                python
                    .call(cluster.target(node), RENDER, &report("monthly", 1000), PLAIN)
                    .await,
            );
        }
    }
    assert_eq!(cluster.executions(&mut python).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_do_not_wait_until_the_end_leave_alone() {
    let (cluster, mut python) = (Cluster::start().await, Python::start());
    let slow = report("slow", 3000);
    let impatient = within_time(Duration::from_secs(1));
    let led = python.call(cluster.target(0), RENDER, &slow, impatient).await;
    cluster.led().await;
    let followed = python.call(cluster.target(1), RENDER, &slow, impatient).await;
    let cancelled = python.call(cluster.target(1), RENDER, &slow, PLAIN).await;
    let mut patient = Vec::new();
    for i in 0..30 {
        let options = [PLAIN, within_time(Duration::from_secs(60))][i % 2];
        patient.push(python.call(cluster.target(i % 3), RENDER, &slow, options).await);
    }
    cluster.waiting(2).await;
    python.cancel(cancelled).await;
    assert_eq!(python.ended(cancelled).await.code, Code::Cancelled);
    for call in [led, followed] {
        assert_eq!(python.ended(call).await.code, Code::DeadlineExceeded);
    }
    for call in patient {
        let reply: RenderReply = python.ended(call).await.reply();
        assert_eq!((reply.node.as_str(), reply.execution), ("a", 1));
    }
    assert_eq!(cluster.executions(&mut python).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_that_is_cancelled_leaves_its_execution_to_the_others() {
    let (cluster, mut python) = (Cluster::start().await, Python::start());
    let slow = report("slow", 2000);
    let leader = python.call(cluster.target(0), RENDER, &slow, PLAIN).await;
    cluster.led().await;
    let mut staying = Vec::new();
    for i in 0..30 {
        staying.push(python.call(cluster.target(i % 3), RENDER, &slow, PLAIN).await);
    }
    cluster.waiting(2).await;
    python.cancel(leader).await;
    assert_eq!(python.ended(leader).await.code, Code::Cancelled);
    for call in staying {
        let reply: RenderReply = python.ended(call).await.reply();
        assert_eq!((reply.node.as_str(), reply.execution), ("a", 1));
    }
    assert_eq!(cluster.executions(&mut python).await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_goes_to_all_followers_and_to_no_later_call() {
    let (cluster, mut python) = (Cluster::start().await, Python::start());
    let missing = RenderRequest {
        fail_code: Code::NotFound as u32,
        ..report("missing", 2000)
    };
    let first = python.call(cluster.target(0), RENDER, &missing, PLAIN).await;
    cluster.led().await;
    let mut calls = vec![first];
    for i in 0..30 {
        calls.push(python.call(cluster.target(i % 3), RENDER, &missing, PLAIN).await);
    }
    for call in calls {
        let ended = python.ended(call).await;
        assert_eq!(ended.code, Code::NotFound);
        assert_eq!(ended.details, "report missing failed as asked");
        assert_eq!(ended.metadata["x-cost"], b"2000");
    }
    assert_eq!(cluster.executions(&mut python).await, 1);
    let later = python.call(cluster.target(1), RENDER, &missing, PLAIN).await;
    assert_eq!(python.ended(later).await.code, Code::NotFound);
    assert_eq!(cluster.redis.cli(&["KEYS", "reports:*missing*"]), "");
}

#[tokio::test(flavor = "multi_thread")]
async fn details_and_compressed_messages_are_understood() {
    let nodes = Nodes::pair().await;
    let targets: Vec<_> = nodes
        .servers
        .iter()
        .map(|server| server.address().to_string())
        .collect();
    let mut python = Python::start();
    let gzip = Options { gzip: true, ..PLAIN };
    let order = gated("compressed");
    let mut calls = Vec::new();
    for options in [PLAIN, gzip, PLAIN, gzip] {
        calls.push(python.call(&targets[0], MAKE, &order, options).await);
    }
    nodes.workshop.gate.reached_by(2).await;
    nodes.waiting(2).await;
    nodes.workshop.gate.open();
    let mut executions = Vec::new();
    for call in calls {
        let product: Product = python.ended(call).await.reply();
        assert_eq!((product.id.as_str(), product.content.len()), ("compressed", 100));
        executions.push(product.execution);
    }
    assert_eq!(executions[..2], executions[2..]);
    assert_ne!(executions[0], executions[1]);

    let failing = failing("precondition", Code::FailedPrecondition);
    let call = python.call(&targets[0], MAKE, &failing, PLAIN).await;
    let ended = python.ended(call).await;
    assert_eq!(ended.code, Code::FailedPrecondition);
    assert_eq!(ended.metadata["grpc-status-details-bin"], &failing.details[..]);
}

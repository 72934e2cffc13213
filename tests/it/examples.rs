//! The examples as a newcomer runs them.

mod command_lines;
mod quickstart;

use std::process::Output;
use std::time::{Duration, Instant};

use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader, Lines};
use tokio::net::TcpStream;
use tokio::process::{Child, ChildStdout, Command};

use crate::support::{HttpClient, Node, RedisServer, command, run_example, send_get, signal, within};

const ALL: [&str; 12] = [
    "axum",
    "custom_store",
    "deferred",
    "extended",
    "inspect",
    "live",
    "memoize",
    "otel",
    "outbound",
    "quickstart",
    "reverse_proxy",
    "tonic",
];
const ONE_CALL: &str = "1000 requests on 3 nodes: 1 upstream call";

/// A port on which nothing listens.
const NO_REDIS: &str = "redis://127.0.0.1:1";

/// What a program wrote, with its exit code.
struct Run {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Self {
        Self {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).expect("UTF-8"),
            stderr: String::from_utf8(output.stderr).expect("UTF-8"),
        }
    }
}

async fn run(example: &str, flags: &[&str]) -> Run {
    run_example(example, flags).await.into()
}

async fn finish(mut command: Command) -> Run {
    let output = within("the end of a process", command.output()).await;
    output.expect("its output").into()
}

/// The axum example, and what it says.
struct Axum {
    child: Child,
    says: Lines<BufReader<ChildStdout>>,
    authority: String,
}

impl Axum {
    async fn start() -> Self {
        let mut child = command("axum", &["--listen", "127.0.0.1:0"])
            .spawn()
            .expect("a process");
        let says = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        let mut axum = Self {
            child,
            says,
            authority: String::new(),
        };
        let line = axum.line().await.expect("a first line");
        let authority = line.strip_prefix("listening on http://").expect("an address");
        axum.authority = authority.to_owned();
        axum
    }

    /// The next line on its stdout.
    async fn line(&mut self) -> Option<String> {
        within("a line", self.says.next_line()).await.expect("UTF-8")
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.authority)
    }

    fn signal(&self, name: &str) {
        signal(self.child.id().expect("a process that lives"), name);
    }

    async fn end(self) -> Run {
        let output = within("the end of a process", self.child.wait_with_output()).await;
        output.expect("its output").into()
    }
}

/// The rows of quickstart's table: the handler's calls, and the two times in milliseconds.
fn rows(stdout: &str) -> Vec<(&str, [u64; 3])> {
    ["without the layer", "with the layer", "warm"]
        .map(|name| {
            let row = stdout.lines().find_map(|line| line.strip_prefix(name)).expect(name);
            let numbers: Vec<u64> = row.split_whitespace().filter_map(|word| word.parse().ok()).collect();
            (name, numbers.try_into().expect(name))
        })
        .into()
}

fn calls(stdout: &str) -> Vec<u64> {
    rows(stdout).iter().map(|(_, numbers)| numbers[0]).collect()
}

#[tokio::test]
async fn servers_stop_cleanly_when_asked_to() {
    for example in ["axum", "live", "tonic"] {
        for name in ["TERM", "INT"] {
            let mut node = Node::start(example, &["--listen", "127.0.0.1:0"]).await;
            // An open connection that its client uses no more does not keep it.
            let client = HttpClient::http2();
            client.get(&node.url("/now")).await.expect("an answer");
            node.signal(name);
            assert_eq!(node.ended().await.code(), Some(0), "{example}: {}", node.stderr());
            assert_eq!(node.stderr(), "", "{example}");
        }
    }
}

#[tokio::test]
async fn axum_answers_who_waits_before_it_stops() {
    let mut axum = Axum::start().await;
    let (client, url) = (HttpClient::http1(), axum.url("/report/42"));
    let answer = tokio::spawn(async move { client.get(&url).await });
    assert_eq!(axum.line().await.as_deref(), Some("rendering report 42"));
    axum.signal("TERM");
    let answer = answer.await.expect("no panic").expect("an answer");
    assert_eq!(answer.text(), "report 42\n");
    let end = axum.end().await;
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_second_signal_stops_a_server_at_once() {
    let mut axum = Axum::start().await;
    let _under_way = send_get(&axum.url("/report/42")).await;
    assert_eq!(axum.line().await.as_deref(), Some("rendering report 42"));
    axum.signal("INT");
    within("an end to listening", async {
        while TcpStream::connect(&axum.authority).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    axum.signal("INT");
    let asked_again = Instant::now();
    let end = axum.end().await;
    assert_eq!((end.code, end.stderr.as_str()), (Some(0), ""));
    // Rendering takes two seconds.
    assert!(asked_again.elapsed() < Duration::from_secs(1), "{asked_again:?}");
}

#[tokio::test]
async fn axum_renders_a_report_once_and_never_stores_the_time() {
    let mut axum = Axum::start().await;
    let client = HttpClient::http1();
    let urls = vec![axum.url("/report/42"); 20];
    for answer in client.get_all(&urls).await {
        assert_eq!(answer.expect("an answer").text(), "report 42\n");
    }
    let hit = client.get(&urls[0]).await.expect("an answer");
    assert_eq!((hit.text(), hit.header("age").len()), ("report 42\n", 1));
    assert_eq!(axum.line().await.as_deref(), Some("rendering report 42"));

    let rates = client.get(&axum.url("/rates")).await.expect("an answer");
    assert_eq!(rates.text(), "1 EUR = 1.08 USD\n");
    assert_eq!(axum.line().await.as_deref(), Some("looking up the rates"));

    let first = client.get(&axum.url("/now")).await.expect("an answer");
    let second = client.get(&axum.url("/now")).await.expect("an answer");
    assert_ne!(first.body, second.body);
    axum.signal("TERM");
    assert_eq!(axum.line().await, None);
}

#[tokio::test]
async fn memoize_and_custom_store_compute_once_for_a_hundred() {
    let memoize = run("memoize", &[]).await;
    assert_eq!((memoize.code, memoize.stderr.as_str()), (Some(0), ""));
    let last = "2 computations, 99 callers who waited for one, 1 who found the value stored";
    assert_eq!(memoize.stdout.lines().last(), Some(last));

    let custom = run("custom_store", &[]).await;
    assert_eq!((custom.code, custom.stderr.as_str()), (Some(0), ""));
    assert_eq!(
        custom.stdout,
        "computing, once\na hundred callers on two nodes were answered\n"
    );
}

#[tokio::test]
async fn a_reader_that_leaves_stops_no_example() {
    for (example, flags) in [
        ("axum", &["--help"][..]),
        ("custom_store", &[]),
        ("memoize", &[]),
        ("quickstart", &[]),
        ("tonic", &["--bogus"]),
    ] {
        let mut child = command(example, flags).spawn().expect("a process");
        drop((child.stdout.take(), child.stderr.take()));
        let status = within("the end of a process", child.wait()).await.expect("its status");
        let expected = if flags == ["--bogus"] { 2 } else { 0 };
        assert_eq!(status.code(), Some(expected), "{example}");
    }
}

#[tokio::test]
async fn a_server_goes_on_without_a_reader() {
    let Axum {
        mut child,
        says,
        authority,
    } = Axum::start().await;
    drop((says, child.stderr.take()));
    let answer = HttpClient::http1().get(&format!("http://{authority}/rates")).await;
    assert_eq!(answer.expect("an answer").status, 200);
    signal(child.id().expect("a process that lives"), "TERM");
    let status = within("the end of a process", child.wait()).await;
    assert_eq!(status.expect("its status").code(), Some(0));
}

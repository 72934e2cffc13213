//! The examples as a newcomer runs them.

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
const NOBODY: &str = "redis://127.0.0.1:1";

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
async fn every_example_says_how_to_use_it() {
    for example in ALL {
        for flags in [&["--help"][..], &["-h"]] {
            let run = run(example, flags).await;
            assert_eq!(run.code, Some(0), "{example}: {}", run.stderr);
            assert!(
                run.stdout.starts_with(&format!("Usage: {example}")),
                "{example}: {}",
                run.stdout
            );
            assert!(run.stdout.contains("--help "), "{example}: {}", run.stdout);
            assert_eq!(run.stderr, "", "{example}");
        }
    }
}

#[tokio::test]
async fn every_example_refuses_what_it_does_not_know() {
    for example in ALL {
        for (flags, word) in [
            (&["--bogus"][..], "--bogus"),
            (&["--bogus=1"], "--bogus"),
            (&["-b"], "-b"),
            (&["stray"], "stray"),
        ] {
            let run = run(example, flags).await;
            assert_eq!(run.code, Some(2), "{example} {flags:?}: {}", run.stderr);
            assert!(run.stderr.contains(word), "{example} {flags:?}: {}", run.stderr);
            assert!(run.stderr.contains("--help"), "{example} {flags:?}: {}", run.stderr);
            assert_eq!(run.stdout, "", "{example} {flags:?}");
        }
    }
}

#[tokio::test]
async fn wrong_and_missing_values_are_explained() {
    for (example, flags, words) in [
        ("axum", &["--listen"][..], &["--listen", "nothing"][..]),
        (
            "axum",
            &["--listen", "3000"],
            &["--listen", "127.0.0.1:8080", "\"3000\""],
        ),
        (
            "extended",
            &["--listen", "127.0.0.1:0"],
            &["--redis is missing", "share"],
        ),
        ("extended", &["--worker", "running"], &["--redis is missing"]),
        ("extended", &["--redis", NOBODY], &["--listen is missing"]),
        (
            "extended",
            &["--redis", NOBODY, "--listen", "127.0.0.1:0", "--worker", "running"],
            &["--listen", "--worker"],
        ),
        (
            "extended",
            &["--redis", NOBODY, "--worker", ""],
            &["--worker", "a word"],
        ),
        (
            "live",
            &["--listen", "3000"],
            &["--listen", "127.0.0.1:8080", "\"3000\""],
        ),
        ("live", &["--redis", "localhost"], &["--redis", "redis://", "localhost"]),
        ("live", &["--redis", "rediss://localhost"], &["--redis", "redis://127"]),
        ("live", &["--node", "1"], &["--node"]),
        ("tonic", &[], &["--listen is missing"]),
        ("tonic", &["--listen", "nowhere"], &["--listen", "nowhere"]),
        ("tonic", &["--listen", "127.0.0.1:99999"], &["--listen", "99999"]),
        ("tonic", &["--node", ""], &["--node", "name"]),
        (
            "tonic",
            &["--listen", "127.0.0.1:0", "--redis", "localhost"],
            &["--redis", "redis://", "localhost"],
        ),
        ("quickstart", &["--redis"], &["--redis", "nothing"]),
        (
            "quickstart",
            &["--redis", "http://localhost"],
            &["--redis", "redis://", "http://localhost"],
        ),
        ("quickstart", &["--redis", "redis://"], &["--redis"]),
        ("quickstart", &["--redis", "redis://host:port"], &["--redis"]),
    ] {
        let run = run(example, flags).await;
        assert_eq!(run.code, Some(2), "{example} {flags:?}: {}", run.stderr);
        for word in words {
            assert!(
                run.stderr.contains(word),
                "{example} {flags:?}: no {word} in {}",
                run.stderr
            );
        }
        assert_eq!(run.stdout, "", "{example} {flags:?}");
    }
}

#[tokio::test]
async fn a_wrong_redis_url_in_the_environment_is_explained_unless_a_flag_replaces_it() {
    let mut quickstart = command("quickstart", &[]);
    quickstart.env("REDIS_URL", "localhost");
    let run = finish(quickstart).await;
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("REDIS_URL"), "{}", run.stderr);

    let redis = RedisServer::start();
    let mut quickstart = command("quickstart", &["--redis", &redis.url()]);
    quickstart.env("REDIS_URL", "localhost");
    let run = finish(quickstart).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("its number").to_string();
    for example in ["axum", "live", "tonic"] {
        let run = run(example, &["--listen", &taken]).await;
        assert_eq!(run.code, Some(1), "{example}");
        assert!(run.stderr.contains(&taken), "{example}: {}", run.stderr);
    }
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
async fn quickstart_is_one_call_in_one_process() {
    let run = run("quickstart", &[]).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout.lines().last(), Some(ONE_CALL), "{}", run.stdout);
    assert_eq!(calls(&run.stdout), [1000, 1, 0]);
    for (name, [_, p50, p99]) in rows(&run.stdout) {
        assert!(p50 <= p99, "{name}: {p50} and {p99}");
        assert!(name == "warm" || p50 >= 500, "{name}: {p50}");
    }
    let widths = run.stdout.lines().filter(|line| line.ends_with(" ms"));
    let widths: Vec<usize> = widths.map(str::len).collect();
    assert_eq!(widths.len(), 3, "{}", run.stdout);
    assert!(widths.iter().all(|width| *width == widths[0]), "{}", run.stdout);
    for progress in ["without the layer: 100 200 ", " 900 1000 answered", "warm: 100 "] {
        assert!(run.stderr.contains(progress), "no {progress} in {}", run.stderr);
    }
}

#[tokio::test]
async fn quickstart_is_one_call_over_redis_as_often_as_it_runs() {
    let redis = RedisServer::start();
    for _ in 0..2 {
        let run = run("quickstart", &["--redis", &redis.url()]).await;
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(run.stdout.lines().last(), Some(ONE_CALL), "{}", run.stdout);
        assert_eq!(calls(&run.stdout), [1000, 1, 0]);
    }
    let mut quickstart = command("quickstart", &[]);
    quickstart.env("REDIS_URL", redis.url());
    let run = finish(quickstart).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout.lines().last(), Some(ONE_CALL), "{}", run.stdout);
    assert_eq!(redis.cli(&["KEYS", "quickstart:*"]).lines().count(), 3);
}

#[tokio::test]
async fn quickstart_without_the_redis_it_was_given_says_so_and_fails() {
    for by_flag in [true, false] {
        let mut quickstart = command("quickstart", if by_flag { &["--redis", NOBODY] } else { &[] });
        if !by_flag {
            quickstart.env("REDIS_URL", NOBODY);
        }
        let run = finish(quickstart).await;
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        let [without, with, warm] = calls(&run.stdout)[..] else {
            panic!("{}", run.stdout);
        };
        // Each node collapses its own. A request that a busy machine delivers after the response makes one more call, because
        // nothing is stored.
        assert_eq!(without, 1000);
        assert!((3..100).contains(&with) && (3..100).contains(&warm), "{}", run.stdout);
        let said = format!("1000 requests on 3 nodes: {with} upstream calls");
        assert_eq!(run.stdout.lines().last(), Some(&*said), "{}", run.stdout);
        for words in [
            "warning: no help from this Redis",
            "error: it should have been one call",
        ] {
            assert!(run.stderr.contains(words), "{}", run.stderr);
        }
    }
}

#[tokio::test]
async fn quickstart_does_not_tell_the_password() {
    let redis = RedisServer::start();
    redis.cli(&["CONFIG", "SET", "requirepass", "open sesame"]);
    for (password, code) in [("open%20sesame", 0), ("close%20sesame", 1)] {
        let url = format!("redis://:{password}@127.0.0.1:{}", redis.port());
        let run = run("quickstart", &["--redis", &url]).await;
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        let output = run.stdout + &run.stderr;
        assert!(!output.contains("sesame"), "{output}");
        let explained = output.contains("rejects the user name or password");
        assert_eq!(explained, code == 1, "{output}");
    }
}

#[tokio::test]
async fn quickstart_stops_when_asked_to() {
    for name in ["TERM", "INT"] {
        let mut quickstart = command("quickstart", &[]).spawn().expect("a process");
        // The first round is under way.
        let mut stderr = quickstart.stderr.take().expect("its stderr");
        let mut progress = [0; 7];
        within("progress", stderr.read_exact(&mut progress))
            .await
            .expect("progress");
        assert_eq!(&progress, b"without");
        signal(quickstart.id().expect("a process that lives"), name);
        let output = within("its end", quickstart.wait_with_output()).await.expect("output");
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).await.expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{rest}");
        assert!(rest.ends_with("error: stopped before the end\n"), "{rest}");
    }
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

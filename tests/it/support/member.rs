//! Programs in Python, as the page about the wire has them: [`Member`] and [`resolve_from_python`].

use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

use super::{RedisServer, python, run_python, within};

const PAGE: &str = include_str!("../../../src/docs/wire.md");

/// Obtains `TAG:ID` as the documented member does. What it computes is told to it line by line: the value, or `!` to
/// fail.
const CALL: &str = r#"
import sys
import redis

def compute():
    print("computing", flush=True)
    line = sys.stdin.readline().rstrip("\n")
    if line == "!":
        raise RuntimeError("as told")
    return line.encode()

url, tag, id, lease = sys.argv[1:]
value = obtain(redis.Redis.from_url(url), tag, id, compute, lease=int(lease))
print("value", value.decode(), flush=True)
"#;

/// Longer than a test, unless something is lost.
const LEASE: Duration = Duration::from_secs(20);

/// The program on the page that begins with this name.
fn documented(name: &str) -> &'static str {
    let mut programs = PAGE.split("```python\n").skip(1);
    let program = programs.find(|program| program.starts_with(&format!("# {name}")));
    let program = program.and_then(|program| program.split("```").next());
    program.unwrap_or_else(|| panic!("{name} is not on the page"))
}

/// A member in Python that asks for one value. Killed on drop.
pub(crate) struct Member {
    child: Child,
    stdin: ChildStdin,
    stdout: BufReader<ChildStdout>,
}

impl Member {
    pub(crate) fn start(redis: &RedisServer, tag: &str, id: &str) -> Self {
        Self::with_lease(redis, tag, id, LEASE)
    }

    pub(crate) fn with_lease(redis: &RedisServer, tag: &str, id: &str, lease: Duration) -> Self {
        let mut child = Command::new(python())
            .args(["-c", &format!("{}{CALL}", documented("member.py"))])
            .args([&redis.url(), tag, id, &lease.as_millis().to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("a Python");
        let stdin = child.stdin.take().expect("its stdin");
        let stdout = BufReader::new(child.stdout.take().expect("its stdout"));
        Self { child, stdin, stdout }
    }

    /// The next thing it says.
    async fn line(&mut self) -> String {
        let mut line = String::new();
        let read = within("a line of a member", self.stdout.read_line(&mut line)).await;
        if read.expect("UTF-8") == 0 {
            let mut stderr = String::new();
            let mut errors = self.child.stderr.take().expect("its stderr");
            errors.read_to_string(&mut stderr).await.expect("UTF-8");
            panic!("a member says nothing more:\n{stderr}");
        }
        line.trim_end_matches('\n').to_owned()
    }

    pub(crate) async fn is_computing(&mut self) {
        assert_eq!(self.line().await, "computing");
    }

    pub(crate) async fn computes(&mut self, value: &str) {
        let line = format!("{value}\n");
        self.stdin.write_all(line.as_bytes()).await.expect("its stdin");
    }

    pub(crate) async fn has(&mut self, value: &str) {
        assert_eq!(self.line().await, format!("value {value}"));
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("a process to kill");
    }

    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within("the end of a member", self.child.wait())
            .await
            .expect("its status")
    }
}

/// Resolves a promise with the documented worker.
pub(crate) async fn resolve_from_python(redis: &RedisServer, tag: &str, id: &str, value: &str) {
    run_python(documented("worker.py"), &[&redis.url(), tag, id, value]).await;
}

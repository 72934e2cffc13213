//! [`Node`]: an example program as a process of its own.

use std::path::PathBuf;
use std::process::{ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader, Lines};
use tokio::process::{Child, Command};

use super::{eventually, process, within};

/// A running example that listens. Killed on drop.
pub(crate) struct Node {
    child: Child,
    url: String,
    stdout: Arc<Mutex<String>>,
    stderr: Arc<Mutex<String>>,
}

impl Node {
    /// Starts `reverse_proxy` on a free port in front of `upstream`, with further flags.
    pub(crate) async fn reverse_proxy(upstream: &str, flags: &[&str]) -> Self {
        let mut all = vec!["--listen", "127.0.0.1:0", "--upstream", upstream];
        all.extend(flags);
        Self::start("reverse_proxy", &all).await
    }

    /// Starts an example and waits until it says where it listens.
    pub(crate) async fn start(example: &str, flags: &[&str]) -> Self {
        let mut child = command(example, flags).spawn().expect("a process");
        let (stdout_kept, stderr) = (Arc::default(), Arc::default());
        let lines = BufReader::new(child.stderr.take().expect("its stderr")).lines();
        tokio::spawn(keep(lines, Arc::clone(&stderr)));
        let mut stdout = BufReader::new(child.stdout.take().expect("its stdout")).lines();
        let url = within("the line that says where it listens", async {
            while let Ok(Some(line)) = stdout.next_line().await {
                if let Some(url) = line.strip_prefix("listening on ") {
                    return Some(url.to_owned());
                }
            }
            None
        })
        .await;
        let Some(url) = url else {
            let status = child.wait().await;
            panic!("{example} {flags:?} ended with {status:?}:\n{}", read(&stderr));
        };
        tokio::spawn(keep(stdout, Arc::clone(&stdout_kept)));
        Self {
            child,
            url,
            stdout: stdout_kept,
            stderr,
        }
    }

    /// The URL of a path on this node.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.url)
    }

    /// Its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id().expect("a process that runs")
    }

    /// Host and port.
    pub(crate) fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// What it wrote to stdout so far, after it said where it listens.
    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it wrote to stderr so far.
    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// What a `reverse_proxy` says of its layer at this moment.
    pub(crate) async fn stat(&self, name: &str) -> u64 {
        let stats = || {
            let stdout = self.stdout();
            let lines = stdout.lines().filter(|line| line.starts_with("Stats {"));
            lines.map(str::to_owned).collect::<Vec<_>>()
        };
        let before = stats().len();
        self.signal("USR1");
        eventually("its stats", || stats().len() > before).await;
        let stats = stats().pop().expect("a line");
        let (_, value) = stats.split_once(&format!(" {name}: ")).expect("a figure of this name");
        let digits = value.split(|c: char| !c.is_ascii_digit()).next();
        digits.and_then(|digits| digits.parse().ok()).expect("a number")
    }

    /// Kills it as a crash would, and waits until it is gone.
    pub(crate) async fn kill(&mut self) {
        self.child.kill().await.expect("a process to kill");
    }

    /// Freezes it: connections stay open, nothing answers.
    pub(crate) fn stop(&self) {
        self.signal("STOP");
    }

    /// Thaws it.
    pub(crate) fn cont(&self) {
        self.signal("CONT");
    }

    /// Waits until it has ended by itself.
    pub(crate) async fn ended(&mut self) -> ExitStatus {
        within("the end of a process", self.child.wait())
            .await
            .expect("its status")
    }

    /// Sends it a signal, `TERM` for instance.
    pub(crate) fn signal(&self, name: &str) {
        process::signal(self.child.id().expect("a process that lives"), name);
    }
}

/// Runs an example until it ends.
pub(crate) async fn run_example(example: &str, flags: &[&str]) -> Output {
    let output = command(example, flags).output();
    within("the end of a process", output).await.expect("its output")
}

/// An example to run, with its outputs to read. Killed on drop.
pub(crate) fn command(example: &str, flags: &[&str]) -> Command {
    let program = program(example);
    assert!(
        program.exists(),
        "{} is missing; build it: cargo build --examples --all-features",
        program.display()
    );
    let mut command = Command::new(program);
    command
        .args(flags)
        .env_remove("RUST_LOG")
        .env_remove("REDIS_URL")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

/// Examples stand beside `deps`, where this test program is.
fn program(example: &str) -> PathBuf {
    let test = std::env::current_exe().expect("the path of the test program");
    let profile = test.parent().and_then(|deps| deps.parent()).expect("its folder");
    let name = format!("{example}{}", std::env::consts::EXE_SUFFIX);
    profile.join("examples").join(name)
}

async fn keep(mut lines: Lines<BufReader<impl AsyncRead + Unpin>>, kept: Arc<Mutex<String>>) {
    while let Ok(Some(line)) = lines.next_line().await {
        let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_str(&line);
        kept.push('\n');
    }
}

fn read(kept: &Mutex<String>) -> String {
    kept.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

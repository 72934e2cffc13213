//! [`Sentinels`]: a master, its replica and the sentinels that watch over them.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use std::{iter, thread};

use super::redis::{Resp, free_port, program};
use super::{PATIENCE, RedisServer, process};

/// The name under which the sentinels know the master.
pub(crate) const MASTER: &str = "mymaster";

/// One master, one replica and three sentinels, two of which have to agree. All killed on drop.
pub(crate) struct Sentinels {
    pub(crate) servers: Vec<RedisServer>,
    pub(crate) sentinels: Vec<Sentinel>,
}

impl Sentinels {
    /// Starts all of them and waits until each sentinel knows all others.
    pub(crate) fn start() -> Self {
        let master = RedisServer::start();
        let port = master.port().to_string();
        let replica = RedisServer::start_with(&["--replicaof", "127.0.0.1", &port]);
        let ports: Vec<_> = iter::repeat_with(free_port).take(3).collect();
        let watch = |own: usize| {
            let others = ports.iter().enumerate().filter(|(n, _)| *n != own);
            let others =
                others.map(|(n, port)| format!("sentinel known-sentinel {MASTER} 127.0.0.1 {port} {}\n", name_of(n)));
            let watched = format!(
                "sentinel myid {}\n\
                 sentinel monitor {MASTER} 127.0.0.1 {port} 2\n\
                 sentinel down-after-milliseconds {MASTER} 500\n\
                 sentinel failover-timeout {MASTER} 3000\n\
                 sentinel known-replica {MASTER} 127.0.0.1 {}\n",
                name_of(own),
                replica.port(),
            );
            watched + &others.collect::<String>()
        };
        let spawned: Vec<_> = (0..ports.len()).map(|n| Sentinel::spawn(ports[n], &watch(n))).collect();
        let all = Self {
            servers: vec![master, replica],
            sentinels: spawned,
        };
        all.sentinels.iter().for_each(Sentinel::ready);
        let deadline = Instant::now() + PATIENCE;
        while !all.is_complete() {
            assert!(Instant::now() < deadline, "the sentinels do not see each other");
            thread::sleep(Duration::from_millis(10));
        }
        all
    }

    /// A replica that has caught up, and sentinels that see it: only then can one of them promote it.
    fn is_complete(&self) -> bool {
        let synced = self.servers[1].cli(&["ROLE"]).contains("connected");
        let seen = |sentinel: &Sentinel| {
            let replicas = sentinel.cli(&["SENTINEL", "REPLICAS", MASTER]);
            let others = sentinel.cli(&["SENTINEL", "SENTINELS", MASTER]);
            replicas.contains("master-link-status\nok") && !others.contains("disconnected")
        };
        synced && self.sentinels.iter().all(seen)
    }

    pub(crate) fn urls(&self) -> Vec<String> {
        self.sentinels.iter().map(Sentinel::url).collect()
    }

    /// Has the sentinels promote the replica while the master lives.
    pub(crate) fn fail_over(&self) {
        assert_eq!(self.sentinels[0].cli(&["SENTINEL", "FAILOVER", MASTER]), "OK");
    }

    /// Whether the second server has become the master, and all sentinels say so.
    pub(crate) fn has_failed_over(&self) -> bool {
        let port = self.servers[1].port().to_string();
        let ask = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER];
        let named = self.sentinels.iter().all(|s| s.cli(&ask).ends_with(&port));
        named && self.servers[1].cli(&["ROLE"]).starts_with("master")
    }
}

fn name_of(sentinel: usize) -> String {
    format!("{:040x}", sentinel + 1)
}

/// One sentinel process. Killed on drop.
pub(crate) struct Sentinel {
    child: Child,
    port: u16,
    dir: PathBuf,
}

impl Sentinel {
    /// Starts one with these lines of configuration, and waits until it answers.
    pub(crate) fn start(configuration: &str) -> Self {
        let sentinel = Self::spawn(free_port(), configuration);
        sentinel.ready();
        sentinel
    }

    fn spawn(port: u16, configuration: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("memolock-it-sentinel-{}-{port}", std::process::id()));
        fs::create_dir_all(&dir).expect("a folder for a sentinel");
        let file = dir.join("sentinel.conf");
        let configuration = format!("port {port}\nbind 127.0.0.1\ndir {}\n{configuration}", dir.display());
        fs::write(&file, configuration).expect("a configuration for a sentinel");
        let child = Command::new(program())
            .arg(&file)
            .arg("--sentinel")
            .stdin(Stdio::null())
            .stdout(File::create(dir.join("log")).expect("a log file for a sentinel"))
            .spawn()
            .unwrap_or_else(|e| panic!("a sentinel cannot be started ({e}); tests/run.sh installs it"));
        Self { child, port, dir }
    }

    fn ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        // A sentinel that wants a password answers too.
        while Resp::connect(self.port).is_err() {
            let log = || fs::read_to_string(self.dir.join("log")).unwrap_or_default();
            assert!(
                Instant::now() < deadline,
                "a sentinel does not answer; its log says:\n{}",
                log()
            );
            thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Runs a command and prints the reply as [`RedisServer::cli`] does.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        Resp::connect(self.port)
            .and_then(|mut resp| resp.command(args))
            .unwrap_or_else(|e| panic!("{args:?}: {e}"))
    }

    /// Freezes it: connections stay open, nothing answers.
    pub(crate) fn stop(&self) {
        process::signal(self.child.id(), "STOP");
    }
}

impl Drop for Sentinel {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

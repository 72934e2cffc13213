//! [`RedisServer`]: a redis-server of the test's own; [`Monitor`]: what clients say to it.

use std::collections::hash_map::RandomState;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::hash::{BuildHasher, Hasher};
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio, id};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tower_memolock::RedisStore;

use super::{PATIENCE, process};

/// A redis-server on a free port that keeps nothing on disk. Killed on drop.
pub(crate) struct RedisServer {
    child: Child,
    port: u16,
    dir: PathBuf,
    options: Vec<String>,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// Starts one with further options, `--maxmemory` and `1mb` for instance.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        Self::start_as(|| options.iter().map(ToString::to_string).collect())
    }

    /// Starts one with options that are drawn anew where it does not start: between finding a free port and using it, another
    /// program may take it.
    pub(super) fn start_as(options: impl Fn() -> Vec<String>) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("memolock-it-{}-{count}", id()));
        fs::create_dir_all(&dir).expect("a folder for redis-server");
        for _ in 0..5 {
            let (port, options) = (free_port(), options());
            if let Some(child) = spawn(port, &dir, &options) {
                return Self {
                    child,
                    port,
                    dir,
                    options,
                };
            }
        }
        panic!("redis-server did not start; its log says:\n{}", log(&dir));
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// A store over it.
    pub(crate) async fn store(&self) -> RedisStore {
        RedisStore::connect(&self.url()).await.expect("a store")
    }

    /// Stores of two nodes over it.
    pub(crate) async fn two_stores(&self) -> [RedisStore; 2] {
        [self.store().await, self.store().await]
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Kills it at once, as a machine that loses power.
    pub(crate) fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Starts it again after [`kill`](Self::kill), with what it keeps in its folder.
    pub(crate) fn restart(&mut self) {
        self.restart_empty();
    }

    /// Kills it if it is alive, and starts an empty one on the same port.
    pub(crate) fn restart_empty(&mut self) {
        self.kill();
        match spawn(self.port, &self.dir, &self.options) {
            Some(child) => self.child = child,
            None => panic!("redis-server did not start again; its log says:\n{}", log(&self.dir)),
        }
    }

    /// Freezes it: connections stay open, nothing answers.
    pub(crate) fn stop(&self) {
        process::signal(self.child.id(), "STOP");
    }

    /// Thaws it.
    pub(crate) fn cont(&self) {
        process::signal(self.child.id(), "CONT");
    }

    /// Runs a command on a connection of its own and prints the reply: nothing for nil, members on lines.
    ///
    /// # Panics
    ///
    /// When the server answers with an error, or not at all.
    pub(crate) fn cli(&self, args: &[&str]) -> String {
        self.try_cli(args).unwrap_or_else(|e| panic!("{args:?}: {e}"))
    }

    /// The keys that are there, apart from those that say what was invalidated.
    pub(crate) fn keys(&self) -> Vec<String> {
        let keys = self.cli(&["KEYS", "*"]);
        let keys = keys.lines().filter(|key| !key.contains("/gen:"));
        keys.map(str::to_owned).collect()
    }

    /// The keys of stored values, without locks and what is on its way.
    pub(crate) fn stored(&self) -> Vec<String> {
        let is_value = |key: &String| !["/lock:", "/part:"].iter().any(|infix| key.contains(infix));
        self.keys().into_iter().filter(is_value).collect()
    }

    /// Like [`cli`](Self::cli), where the server may answer with an error or be gone.
    pub(crate) fn try_cli(&self, args: &[&str]) -> std::io::Result<String> {
        Resp::connect(self.port)?.command(args)
    }

    /// How often each command was called since the last [`reset_commandstats`](Self::reset_commandstats), commands
    /// inside scripts included, as `INFO commandstats` has it.
    pub(crate) fn commandstats(&self) -> BTreeMap<String, u64> {
        let info = self.cli(&["INFO", "commandstats"]);
        info.lines().filter_map(command_calls).collect()
    }

    pub(crate) fn reset_commandstats(&self) {
        self.cli(&["CONFIG", "RESETSTAT"]);
    }

    /// Starts to record the commands of all clients.
    pub(crate) fn monitor(&self) -> Monitor {
        Monitor::start(self)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.kill();
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// A port that no program listens on.
pub(super) fn free_port() -> u16 {
    free_port_in(5_000..12_000)
}

/// One of these that this process has not been given before. They are beneath those that the system gives to connections, so that none of these has it while a server
/// is down that starts again there.
pub(super) fn free_port_in(ports: Range<u16>) -> u16 {
    static GIVEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    loop {
        let random = RandomState::new().build_hasher().finish();
        let offset = u16::try_from(random % u64::from(ports.end - ports.start)).expect("a small number");
        let port = ports.start + offset;
        let is_free = TcpListener::bind(("127.0.0.1", port)).is_ok();
        if is_free && GIVEN.lock().expect("ports").insert(port) {
            return port;
        }
    }
}

fn spawn(port: u16, dir: &Path, options: &[String]) -> Option<Child> {
    let program = program();
    let log_file = File::create(dir.join("log")).expect("a log file for redis-server");
    let port_text = port.to_string();
    let mut child = Command::new(&program)
        .args(["--port", &port_text, "--bind", "127.0.0.1", "--daemonize", "no"])
        .args(["--save", "", "--appendonly", "no", "--maxclients", "10000"])
        .arg("--dir")
        .arg(dir)
        .args(options)
        .stdin(Stdio::null())
        .stdout(log_file)
        .stderr(Stdio::null())
        .spawn()
        .unwrap_or_else(|e| panic!("{program} cannot be started ({e}); tests/run.sh installs it"));
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Ok(Some(_)) = child.try_wait() {
            return None;
        }
        // Another server on this port would answer too, but ours would have ended then.
        let pid = Resp::connect(port).and_then(|mut resp| resp.command(&["INFO", "server"]));
        let ours = format!("process_id:{}\r", child.id());
        if pid.is_ok_and(|info| info.contains(&ours)) {
            return Some(child);
        }
        assert!(
            Instant::now() < deadline,
            "redis-server does not answer; its log says:\n{}",
            log(dir)
        );
        thread::sleep(Duration::from_millis(5));
    }
}

/// The server to test with: `MEMOLOCK_REDIS_SERVER`, a Valkey for instance, or what is installed.
pub(super) fn program() -> String {
    std::env::var("MEMOLOCK_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

fn log(dir: &Path) -> String {
    fs::read_to_string(dir.join("log")).unwrap_or_default()
}

/// `cmdstat_get:calls=7,usec=..` as `("get", 7)`.
fn command_calls(line: &str) -> Option<(String, u64)> {
    let (name, figures) = line.strip_prefix("cmdstat_")?.split_once(':')?;
    let calls = figures.strip_prefix("calls=")?.split(',').next()?;
    Some((name.to_owned(), calls.parse().ok()?))
}

/// Records what clients send, in the order in which the server runs it; what scripts do is left out.
pub(crate) struct Monitor {
    port: u16,
    resp: Resp,
}

impl Monitor {
    fn start(server: &RedisServer) -> Self {
        let mut resp = Resp::connect(server.port).expect("a connection to monitor");
        assert_eq!(resp.command(&["MONITOR"]).expect("MONITOR"), "OK");
        Self {
            port: server.port,
            resp,
        }
    }

    /// The commands so far, as lists of arguments, command names in upper case.
    pub(crate) fn commands(mut self) -> Vec<Vec<String>> {
        const MARK: &str = "monitored until here";
        let mut marker = Resp::connect(self.port).expect("a connection to mark the end");
        marker.command(&["ECHO", MARK]).expect("ECHO");
        let mut commands = Vec::new();
        loop {
            let line = self.resp.reply().expect("MONITOR goes on");
            let Some(args) = monitored(&line) else {
                continue;
            };
            if args.iter().any(|a| a == MARK) {
                return commands;
            }
            commands.push(args);
        }
    }
}

/// `1339518083.107412 [0 127.0.0.1:60866] "get" "x"` as `["GET", "x"]`; `None` for a script's.
fn monitored(line: &str) -> Option<Vec<String>> {
    let (source, args) = line.split_once("] ")?;
    if source.ends_with(" lua") {
        return None;
    }
    let args = args.trim_matches('"').split("\" \"");
    let mut args: Vec<String> = args.map(str::to_owned).collect();
    args[0].make_ascii_uppercase();
    Some(args)
}

/// A connection that speaks RESP 2, one command at a time.
pub(super) struct Resp {
    stream: BufReader<TcpStream>,
}

impl Resp {
    pub(super) fn connect(port: u16) -> std::io::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream: BufReader::new(stream),
        })
    }

    pub(super) fn command(&mut self, args: &[&str]) -> std::io::Result<String> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend_from_slice(format!("${}\r\n{arg}\r\n", arg.len()).as_bytes());
        }
        self.stream.get_mut().write_all(&request)?;
        self.reply()
    }

    fn reply(&mut self) -> std::io::Result<String> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let line = line.trim_end();
        let Some((kind, rest)) = line.split_at_checked(1) else {
            return Err(std::io::ErrorKind::UnexpectedEof.into());
        };
        let length = rest.parse::<usize>();
        match (kind, length) {
            ("+" | ":", _) => Ok(rest.to_owned()),
            ("$", Ok(length)) => {
                let mut bytes = vec![0; length + 2];
                std::io::Read::read_exact(&mut self.stream, &mut bytes)?;
                bytes.truncate(length);
                Ok(String::from_utf8_lossy(&bytes).into_owned())
            }
            ("*", Ok(length)) => {
                let members: Result<Vec<_>, _> = (0..length).map(|_| self.reply()).collect();
                Ok(members?.join("\n"))
            }
            ("$" | "*", Err(_)) => Ok(String::new()),
            _ => Err(std::io::Error::other(line.to_owned())),
        }
    }
}

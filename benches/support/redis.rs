//! [`RedisServer`]: a redis-server of the bench's own; [`Monitor`]: how many commands it is sent.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use redis::aio::MultiplexedConnection;

/// A redis-server on a free port that keeps nothing on disk. Killed on drop.
pub(crate) struct RedisServer {
    process: Child,
    port: u16,
}

impl RedisServer {
    /// Starts one and waits until it answers.
    ///
    /// # Panics
    ///
    /// Where there is no `redis-server` on the path.
    pub(crate) fn start() -> Self {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let process = Command::new(program())
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|e| panic!("this bench needs redis-server on the PATH, which cannot be started: {e}"));
        let mut server = Self { process, port };
        server.wait();
        server
    }

    fn wait(&mut self) {
        let deadline = Instant::now() + Duration::from_secs(10);
        let client = redis::Client::open(self.url()).expect("a URL");
        loop {
            if let Ok(Some(status)) = self.process.try_wait() {
                panic!("redis-server did not start: {status}");
            }
            let pong = client
                .get_connection()
                .and_then(|mut c| redis::cmd("PING").exec(&mut c));
            match pong {
                Ok(()) => return,
                Err(error) => assert!(Instant::now() < deadline, "redis-server does not answer: {error}"),
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The number of its process.
    pub(crate) fn process(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Starts to count commands, which takes the server some time for each.
    pub(crate) fn monitor(&self) -> Monitor {
        let lines = TcpStream::connect(("127.0.0.1", self.port)).expect("a connection to monitor");
        let mut monitor = Monitor {
            lines: BufReader::new(lines),
        };
        monitor.say("MONITOR");
        assert_eq!(monitor.line(), "+OK");
        monitor
    }

    /// A connection as redis-rs makes it, without Nagle's delay.
    pub(crate) async fn connect(&self) -> MultiplexedConnection {
        self.client()
            .get_multiplexed_async_connection()
            .await
            .expect("a connection")
    }

    pub(crate) fn client(&self) -> redis::Client {
        let info: redis::ConnectionInfo = self.url().parse().expect("a URL");
        let tcp = info.tcp_settings().clone().set_nodelay(true);
        redis::Client::open(info.set_tcp_settings(tcp)).expect("a URL")
    }
}

/// Counts the commands that clients send: a script is one, whatever it runs, and heartbeats are none.
pub(crate) struct Monitor {
    lines: BufReader<TcpStream>,
}

impl Monitor {
    /// The number of commands so far.
    pub(crate) fn count(mut self, server: &RedisServer) -> usize {
        const MARK: &str = "monitored-until-here";
        let mut client = server.client().get_connection().expect("a connection to mark the end");
        redis::cmd("ECHO").arg(MARK).exec(&mut client).expect("ECHO");
        let mut count = 0;
        loop {
            let line = self.line();
            let Some((source, command)) = line.split_once("] ") else {
                continue;
            };
            if command.contains(MARK) {
                return count;
            }
            // A new connection introduces itself: that of the mark, for instance.
            let is_overhead = ["\"PING\"", "\"HELLO\"", "\"CLIENT\""]
                .iter()
                .any(|name| command.starts_with(name));
            count += usize::from(!source.ends_with(" lua") && !is_overhead);
        }
    }

    fn say(&mut self, line: &str) {
        let written = self.lines.get_mut().write_all(format!("{line}\r\n").as_bytes());
        written.expect("a server that listens");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).expect("MONITOR goes on");
        line.trim_end().to_owned()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The server to measure with: `MEMOLOCK_REDIS_SERVER`, a Valkey for instance, or what is installed.
fn program() -> String {
    std::env::var("MEMOLOCK_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

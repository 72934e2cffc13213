//! A `redis-server` that lives as long as a test.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};

use redis::aio::MultiplexedConnection;

use super::eventually;
use crate::store::{RedisStore, RedisStoreBuilder};

/// The process. Dropping this kills it.
pub(in crate::store::redis) struct Server {
    port: u16,
    args: Vec<String>,
    process: Child,
}

impl Server {
    pub(in crate::store::redis) async fn start() -> Self {
        Self::with_args(&[]).await
    }

    pub(in crate::store::redis) async fn with_args(args: &[&str]) -> Self {
        let args: Vec<_> = args.iter().map(ToString::to_string).collect();
        let port = free_port();
        let process = spawn(port, &args);
        let server = Self { port, args, process };
        server.ready().await;
        server
    }

    /// The URL, with `userinfo` (`user:password@`) in front of the host.
    pub(in crate::store::redis) fn url_for(&self, userinfo: &str) -> String {
        format!("redis://{userinfo}127.0.0.1:{}", self.port)
    }

    pub(in crate::store::redis) fn url(&self) -> String {
        self.url_for("")
    }

    pub(in crate::store::redis) async fn store(&self) -> RedisStore {
        RedisStore::connect(&self.url()).await.unwrap()
    }

    pub(in crate::store::redis) fn builder(&self) -> RedisStoreBuilder {
        RedisStore::builder(self.url())
    }

    /// A plain connection, with which a test sees what the store has in Redis.
    pub(in crate::store::redis) async fn raw(&self) -> MultiplexedConnection {
        let client = redis::Client::open(self.url()).unwrap();
        client.get_multiplexed_async_connection().await.unwrap()
    }

    /// Runs a command, given as words.
    pub(in crate::store::redis) async fn run<T: redis::FromRedisValue>(&self, command: &str) -> T {
        let mut words = command.split(' ');
        let mut cmd = redis::cmd(words.next().unwrap());
        words.for_each(|word| {
            cmd.arg(word);
        });
        cmd.query_async(&mut self.raw().await).await.unwrap()
    }

    /// How often Redis has executed a command.
    pub(in crate::store::redis) async fn executed(&self, command: &str) -> usize {
        let (stats, name) = (
            self.run::<String>("INFO commandstats").await,
            format!("cmdstat_{command}:calls="),
        );
        let line = stats.lines().find_map(|line| line.strip_prefix(&name));
        line.map_or(0, |line| line.split(',').next().unwrap().parse().unwrap())
    }

    pub(in crate::store::redis) fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(in crate::store::redis) async fn restart(&mut self) {
        self.process = spawn(self.port, &self.args);
        self.ready().await;
    }

    /// Stops the process, which keeps its sockets open: the kernel accepts connections, and Redis does not answer.
    pub(in crate::store::redis) fn freeze(&self) {
        self.signal("-STOP");
    }

    pub(in crate::store::redis) fn thaw(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let pid = self.process.id().to_string();
        let status = Command::new("kill").args([signal, &pid]).status().unwrap();
        assert!(status.success());
    }

    /// On how many connections the kernel has bytes that the process has yet to read.
    pub(in crate::store::redis) fn unread(&self) -> usize {
        let port = format!(":{:04X}", self.port);
        let sockets = std::fs::read_to_string("/proc/net/tcp").unwrap();
        // number, local address, remote address, state, bytes to send and to read
        let unread = |socket: &&str| {
            let fields: Vec<_> = socket.split_whitespace().collect();
            fields[1].ends_with(&port) && fields[3] == "01" && !fields[4].ends_with(":00000000")
        };
        sockets.lines().skip(1).filter(unread).count()
    }

    async fn ready(&self) {
        let client = redis::Client::open(self.url()).unwrap();
        eventually(async || {
            let connection = client.get_multiplexed_async_connection().await;
            let ping = redis::cmd("PING");
            match ping.query_async::<redis::Value>(&mut connection.ok()?).await {
                // A server that asks for a password is ready too.
                Err(error) if error.is_io_error() => None,
                _ => Some(()),
            }
        })
        .await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A port that no program listens on. It is beneath those that the system gives to connections, so that none of these
/// has it while a server is down that starts again there.
pub(in crate::store::redis) fn free_port() -> u16 {
    loop {
        let random = RandomState::new().build_hasher().finish();
        let port = u16::try_from(5_000 + random % 7_000).expect("a small number");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

fn spawn(port: u16, args: &[String]) -> Child {
    Command::new(program())
        .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
        .args(["--save", "", "--appendonly", "no"])
        .args(args)
        .stdout(Stdio::null())
        .spawn()
        .expect("redis-server has to be installed")
}

/// The server to test with: `MEMOLOCK_REDIS_SERVER`, a Valkey for instance, or what is installed.
fn program() -> String {
    std::env::var("MEMOLOCK_REDIS_SERVER").unwrap_or_else(|_| "redis-server".to_owned())
}

//! [`RedisServer`]: a redis-server of the bench's own.

use std::net::TcpListener;
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

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
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

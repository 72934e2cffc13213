//! [`Server`]: a redis-server of the program's own.

use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A redis-server on a free port that keeps nothing on disk. Killed on drop.
pub(crate) struct Server {
    process: Child,
    port: u16,
}

impl Server {
    /// Starts one and waits until it answers.
    pub(crate) fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        drop(listener);
        let process = Command::new("redis-server")
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no", "--loglevel", "warning"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("this program needs redis-server on the PATH: {error}"));
        let server = Self { process, port };
        let deadline = Instant::now() + Duration::from_secs(10);
        while server.run("PING").is_err() {
            assert!(Instant::now() < deadline, "redis-server does not answer");
            std::thread::sleep(Duration::from_millis(10));
        }
        server
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// Forgets all keys.
    pub(crate) fn clear(&self) {
        self.run("FLUSHALL").expect("an empty Redis");
    }

    fn run(&self, command: &str) -> redis::RedisResult<()> {
        let client = redis::Client::open(self.url())?;
        redis::cmd(command).exec(&mut client.get_connection()?)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

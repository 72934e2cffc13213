//! A node as a process of its own: what it is told, and what it says.
//!
//! It writes a line to stdout for everything that the page should know, and ends once its stdin does, which is when the
//! process that started it is gone, however that came about.

use std::io::Read;
use std::net::SocketAddr;
use std::pin::pin;
use std::process::Stdio;
use std::sync::Arc;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;
use tower::BoxError;
use tower_memolock::RedisStore;

use super::board::Board;
use super::fleet::Killed;
use super::node::{self, Told};
use support::println;

/// Is node `number`.
pub(crate) async fn be_node(number: usize, redis: &str) -> Result<(), BoxError> {
    std::thread::spawn(|| {
        let mut stdin = std::io::stdin().lock();
        while stdin.read(&mut [0; 64]).is_ok_and(|read| read > 0) {}
        std::process::exit(0);
    });
    let store = RedisStore::connect(redis).await?;
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
    println!("up {}", listener.local_addr()?);
    let tell = |told| match told {
        Told::Called(lane) => println!("called {lane}"),
        Told::Answered { lane, ok } => println!("answered {lane} {ok}"),
    };
    Ok(node::serve(listener, number, store, tell).await?)
}

/// Runs node `number` as a process until that is killed, here or by another program.
pub(crate) async fn run(number: usize, redis: &str, board: &Arc<Board>, killed: &Killed) -> Result<(), BoxError> {
    let mut command = Command::new(std::env::current_exe()?);
    command
        .args(["--node", &number.to_string()])
        // Not an argument, because every user of this machine can read those, and there may be a password in it.
        .env("REDIS_URL", redis)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true);
    // Ctrl-C is for this process, which sees to its nodes.
    #[cfg(unix)]
    command.process_group(0);
    let mut killed = pin!(killed.wait());
    let mut child = command.spawn()?;
    let pid = child.id();
    let _stdin = child.stdin.take();
    let stdout = child.stdout.take().ok_or("no stdout")?;
    let mut lines = BufReader::new(stdout).lines();
    loop {
        tokio::select! {
            line = lines.next_line() => match line? {
                Some(line) => hear(number, pid, &line, board),
                None => break,
            },
            () = &mut killed => {
                child.start_kill()?;
                break;
            }
        }
    }
    // What it said last still counts.
    while let Ok(Some(line)) = lines.next_line().await {
        hear(number, pid, &line, board);
    }
    child.wait().await?;
    Ok(())
}

fn hear(number: usize, pid: Option<u32>, line: &str, board: &Board) {
    let mut words = line.split(' ');
    match (words.next(), words.next(), words.next()) {
        (Some("up"), Some(address), None) => {
            if let Ok(address) = address.parse() {
                board.is_up(number, address, pid);
            }
        }
        (Some("called"), Some(lane), None) => {
            if let Ok(lane) = lane.parse() {
                board.told(number, Told::Called(lane));
            }
        }
        (Some("answered"), Some(lane), Some(ok)) => {
            if let Ok(lane) = lane.parse() {
                board.told(number, Told::Answered { lane, ok: ok == "true" });
            }
        }
        _ => {}
    }
}

//! A server in the test's own process. It says what a test has it say, at the moment that the test chooses.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufRead, AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::store::redis::conn::address::Endpoint;
use crate::store::redis::conn::task::Task;

/// A command, word by word.
pub(in crate::store::redis) type Words = Vec<String>;

/// What the server says to a command: what a server at work would where this is `None`. It hangs up on an empty text.
type Script = dyn Fn(&[String]) -> Option<String> + Send + Sync;

/// Which commands are meant.
type Choice = dyn Fn(&[String]) -> bool + Send + Sync;

/// The server. Dropping this ends it, with all its connections.
pub(in crate::store::redis) struct ScriptedServer {
    port: u16,
    play: Arc<Play>,
    _task: Task,
}

struct Play {
    script: Box<Script>,
    holds: Mutex<Vec<Arc<Hold>>>,
    heard: Mutex<Vec<Words>>,
}

/// Commands whose answers are held back.
pub(in crate::store::redis) struct Hold {
    is_held: Box<Choice>,
    /// Has a permit for each command that has come.
    asked: Semaphore,
    /// Has no permit until the answers may go.
    gate: Semaphore,
}

impl ScriptedServer {
    pub(in crate::store::redis) async fn start(
        script: impl Fn(&[String]) -> Option<String> + Send + Sync + 'static,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let play = Arc::new(Play {
            script: Box::new(script),
            holds: Mutex::default(),
            heard: Mutex::default(),
        });
        Self {
            port: listener.local_addr().unwrap().port(),
            play: Arc::clone(&play),
            _task: Task::spawn(async move {
                let mut connections = JoinSet::new();
                while let Ok((stream, _)) = listener.accept().await {
                    connections.spawn(serve(stream, Arc::clone(&play)));
                }
            }),
        }
    }

    pub(in crate::store::redis) fn endpoint(&self) -> Endpoint {
        ("127.0.0.1".to_owned(), self.port)
    }

    pub(in crate::store::redis) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Holds back the answers to these commands from here on. What a connection asks later waits behind them.
    pub(in crate::store::redis) fn hold(
        &self,
        is_held: impl Fn(&[String]) -> bool + Send + Sync + 'static,
    ) -> Arc<Hold> {
        let hold = Arc::new(Hold {
            is_held: Box::new(is_held),
            asked: Semaphore::new(0),
            gate: Semaphore::new(0),
        });
        self.play.holds.lock().unwrap().push(Arc::clone(&hold));
        hold
    }

    /// The commands so far, one a line.
    pub(in crate::store::redis) fn all_heard(&self) -> Words {
        self.play
            .heard
            .lock()
            .unwrap()
            .iter()
            .map(|words| words.join(" "))
            .collect()
    }

    /// How many of the commands so far were like this.
    pub(in crate::store::redis) fn heard(&self, is_like: impl Fn(&[String]) -> bool) -> usize {
        self.play
            .heard
            .lock()
            .unwrap()
            .iter()
            .filter(|words| is_like(words))
            .count()
    }
}

impl Hold {
    /// Resolves once such a command has come, one more with each call.
    pub(in crate::store::redis) async fn asked(&self) {
        self.asked.acquire().await.unwrap().forget();
    }

    /// Lets the answers go.
    pub(in crate::store::redis) fn answer(&self) {
        self.gate.add_permits(1000);
    }
}

/// The text as one string of a reply.
pub(in crate::store::redis) fn bulk(text: &str) -> String {
    format!("${}\r\n{text}\r\n", text.len())
}

/// An array of these replies.
pub(in crate::store::redis) fn array(replies: &[String]) -> String {
    format!("*{}\r\n{}", replies.len(), replies.concat())
}

/// What a server says of itself.
pub(in crate::store::redis) fn hello(role: &str) -> String {
    let fields = ["version", "7.0.15", "mode", "standalone", "role", role];
    array(&fields.map(bulk))
}

async fn serve(stream: TcpStream, play: Arc<Play>) {
    let mut stream = BufReader::new(stream);
    while let Some(words) = read(&mut stream).await {
        play.heard.lock().unwrap().push(words.clone());
        let holds = play.holds.lock().unwrap().clone();
        if let Some(hold) = holds.iter().find(|hold| (hold.is_held)(&words)) {
            hold.asked.add_permits(1);
            hold.gate.acquire().await.unwrap().forget();
        }
        let answer = (play.script)(&words).unwrap_or_else(|| usual(&words));
        if answer.is_empty() || stream.write_all(answer.as_bytes()).await.is_err() {
            return;
        }
    }
}

/// What a server at work says.
fn usual(words: &[String]) -> String {
    let name = words[0].to_ascii_lowercase();
    match (name.as_str(), words.get(1)) {
        ("ping", Some(word)) => bulk(word),
        ("ping", None) => "+PONG\r\n".to_owned(),
        ("hello", _) => hello("master"),
        ("get", _) => "$-1\r\n".to_owned(),
        ("eval" | "evalsha", _) => ":1\r\n".to_owned(),
        ("subscribe" | "ssubscribe" | "unsubscribe" | "sunsubscribe", Some(channel)) => {
            format!(">3\r\n{}{}:1\r\n", bulk(&name), bulk(channel))
        }
        _ => "+OK\r\n".to_owned(),
    }
}

/// The next command. `None` at the end.
async fn read(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<Words> {
    let count = number(stream).await?;
    let mut words = Vec::with_capacity(count);
    for _ in 0..count {
        let mut word = vec![0; number(stream).await? + 2];
        stream.read_exact(&mut word).await.ok()?;
        word.truncate(word.len() - 2);
        words.push(String::from_utf8_lossy(&word).into_owned());
    }
    Some(words)
}

/// The number in the next line, behind its first letter.
async fn number(stream: &mut (impl AsyncBufRead + Unpin)) -> Option<usize> {
    let mut line = String::new();
    stream.read_line(&mut line).await.ok()?;
    line.get(1..)?.trim_end().parse().ok()
}

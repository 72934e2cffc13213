//! [`Demo`]: the nodes; [`Listener`]: what a member hears that subscribes to everything.

use std::sync::{Arc, Mutex, PoisonError};

use futures_util::StreamExt;
use tokio::task::JoinHandle;

use crate::support::{Answer, HttpClient, Node, RedisServer, eventually, within};

/// What was published: a channel and a payload.
pub(super) type Message = (String, String);

/// Processes of the demo that share one Redis.
pub(super) struct Demo {
    pub(super) redis: RedisServer,
    pub(super) nodes: Vec<Node>,
    client: HttpClient,
}

impl Demo {
    pub(super) async fn start(nodes: usize) -> Self {
        let mut demo = Self {
            // With nothing about its memory to warn of.
            redis: RedisServer::start_with(&["--maxmemory", "256mb", "--maxmemory-policy", "volatile-lru"]),
            nodes: Vec::new(),
            client: HttpClient::http1(),
        };
        for _ in 0..nodes {
            let flags = ["--listen", "127.0.0.1:0", "--redis", &demo.redis.url()];
            demo.nodes.push(Node::start("extended", &flags).await);
        }
        demo
    }

    /// Hears from here on whatever is published for the waiters.
    pub(super) async fn listen(&self) -> Listener {
        Listener::start(&self.redis).await
    }

    /// Asks one node, in the background.
    pub(super) fn ask(&self, node: usize, path: &str) -> JoinHandle<Answer> {
        let (client, url) = (self.client.clone(), self.nodes[node].url(path));
        tokio::spawn(async move { client.get(&url).await.expect("an answer") })
    }

    /// Asks all nodes in turn, so many times, in the background.
    pub(super) fn ask_all(&self, path: &str, clients: usize) -> Asked {
        let nodes = (0..self.nodes.len()).cycle().take(clients);
        Asked(nodes.map(|node| self.ask(node, path)).collect())
    }

    /// How many lines of this beginning and end the nodes have written: one for each work that began.
    pub(super) fn begun(&self, start: &str, end: &str) -> usize {
        let written = self.nodes.iter().map(Node::stdout);
        let lines = written.map(|text| {
            text.lines()
                .filter(|l| l.starts_with(start) && l.ends_with(end))
                .count()
        });
        lines.sum()
    }

    /// Waits until all nodes, or so many processes, listen for `ID` under `TAG`.
    pub(super) async fn listening(&self, tag: &str, id: &str, processes: usize) {
        let channel = format!("{tag}/notif:{id}");
        eventually("processes that listen", || {
            let subscribers = self.redis.cli(&["PUBSUB", "NUMSUB", &channel]);
            subscribers.ends_with(&format!("\n{processes}"))
        })
        .await;
    }

    /// What is left of a key's time in milliseconds; negative where there is none.
    pub(super) fn pttl(&self, key: &str) -> i64 {
        self.redis.cli(&["PTTL", key]).parse().expect("a number")
    }

    pub(super) fn exists(&self, key: &str) -> bool {
        self.redis.cli(&["EXISTS", key]) == "1"
    }
}

/// Clients that wait.
pub(super) struct Asked(Vec<JoinHandle<Answer>>);

impl Asked {
    /// Waits for all, and checks that each gets `value` to the letter.
    pub(super) async fn agree_on(self, value: &str) {
        for answer in self.0 {
            let answer = within("an answer", answer).await.expect("no panic");
            assert_eq!((answer.status, answer.text()), (200, value));
            assert_eq!(answer.header("content-type"), ["text/plain; charset=utf-8"]);
        }
    }
}

/// A member that subscribes to the promises of all tags.
pub(super) struct Listener {
    messages: Arc<Mutex<Vec<Message>>>,
    task: JoinHandle<()>,
}

impl Listener {
    async fn start(redis: &RedisServer) -> Self {
        let client = redis::Client::open(redis.url()).expect("a URL");
        let mut pubsub = client.get_async_pubsub().await.expect("a connection");
        pubsub.psubscribe("*/notif:*").await.expect("a subscription");
        let messages = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&messages);
        let task = tokio::spawn(async move {
            let mut stream = pubsub.into_on_message();
            while let Some(message) = stream.next().await {
                let payload = String::from_utf8(message.get_payload_bytes().to_vec()).expect("UTF-8");
                let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
                kept.push((message.get_channel_name().to_owned(), payload));
            }
        });
        Self { messages, task }
    }

    /// Checks that it heard exactly these, each once, in whatever order.
    pub(super) async fn heard(self, mut expected: Vec<Message>) {
        let messages = || self.messages.lock().unwrap_or_else(PoisonError::into_inner).clone();
        eventually("the last message", || messages().len() >= expected.len()).await;
        let mut heard = messages();
        heard.sort();
        expected.sort();
        assert_eq!(heard, expected);
        self.task.abort();
    }
}

/// What is published of a value, once.
pub(super) fn promise(tag: &str, id: &str, value: &str) -> Vec<Message> {
    vec![(format!("{tag}/notif:{id}"), value.to_owned())]
}

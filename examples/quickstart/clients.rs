//! The clients: all requests at once, over HTTP/2.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tower::BoxError;

use crate::nodes::Nodes;

/// An HTTP/2 server takes 200 requests at once on one connection, unless it says otherwise.
const PER_CONNECTION: usize = 150;

/// How long each request of one round took, shortest first.
pub(crate) struct Round(Vec<Duration>);

impl Round {
    pub(crate) fn percentile(&self, percent: usize) -> Duration {
        let at = (self.0.len() * percent).div_ceil(100);
        self.0.get(at.saturating_sub(1)).copied().unwrap_or_default()
    }
}

/// Sends `count` requests for `path` at once, spread over the nodes, and waits for all of them.
pub(crate) async fn ask_all(name: &str, nodes: &Nodes, path: &str, count: usize) -> Result<Round, BoxError> {
    eprint!("{name}: ");
    let mut requests = JoinSet::new();
    let per_node = count.div_ceil(nodes.addresses.len());
    for (node, address) in nodes.addresses.iter().enumerate() {
        let share = per_node.min(count - node * per_node);
        let clients: Vec<_> = (0..share.div_ceil(PER_CONNECTION)).map(|_| client()).collect();
        for i in 0..share {
            let client = clients[i % clients.len()].clone();
            let url = format!("http://{address}{path}");
            requests.spawn(async move { ask(&client, &url).await });
        }
    }
    let (mut times, mut bodies) = (Vec::with_capacity(count), HashSet::new());
    while let Some(answer) = requests.join_next().await {
        let (time, body) = answer??;
        times.push(time);
        bodies.insert(body);
        if times.len() % (count / 10).max(1) == 0 {
            eprint!("{} ", times.len());
        }
    }
    eprintln!("answered");
    if bodies.len() != 1 {
        return Err(format!("{} different bodies came back for one path", bodies.len()).into());
    }
    times.sort_unstable();
    Ok(Round(times))
}

type HttpClient = Client<HttpConnector, Empty<Bytes>>;

fn client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).http2_only(true).build(connector)
}

async fn ask(client: &HttpClient, url: &str) -> Result<(Duration, Bytes), BoxError> {
    let started = Instant::now();
    let response = client.request(Request::get(url).body(Empty::new())?).await?;
    if response.status() != StatusCode::OK {
        return Err(format!("{url} answered {}", response.status()).into());
    }
    let body = response.into_body().collect().await?.to_bytes();
    Ok((started.elapsed(), body))
}

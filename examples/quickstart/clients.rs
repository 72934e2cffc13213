//! The clients: all requests at once, over HTTP/2.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tower::BoxError;

use support::{eprint, eprintln};

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

/// One client for each request of a round, with enough connections for all of them.
pub(crate) struct Clients(Vec<(HttpClient, SocketAddr)>);

impl Clients {
    /// `count` clients, spread over the nodes.
    pub(crate) fn new(nodes: &[SocketAddr], count: usize) -> Self {
        let per_connection = PER_CONNECTION * nodes.len();
        let connections: Vec<_> = (0..count.div_ceil(per_connection)).map(|_| client()).collect();
        let of = |i: usize| (connections[i / per_connection].clone(), nodes[i % nodes.len()]);
        Self((0..count).map(of).collect())
    }

    /// Asks for `path` with all clients at once, and waits for all answers.
    pub(crate) async fn ask(&self, name: &str, path: &str) -> Result<Round, BoxError> {
        eprint!("{name}: ");
        let mut requests = JoinSet::new();
        for (client, node) in &self.0 {
            let (client, url) = (client.clone(), format!("http://{node}{path}"));
            requests.spawn(async move { ask(&client, &url).await });
        }
        let (mut times, mut bodies) = (Vec::with_capacity(self.0.len()), HashSet::new());
        while let Some(answer) = requests.join_next().await {
            let (time, body) = answer??;
            times.push(time);
            bodies.insert(body);
            if times.len() % (self.0.len() / 10).max(1) == 0 {
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
}

type HttpClient = Client<HttpConnector, Empty<Bytes>>;

/// One connection to each node that it asks.
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

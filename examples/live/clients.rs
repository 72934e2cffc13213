//! The clients: real requests over HTTP/2, and a second try at another node where one has died.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::http::{HeaderMap, Method, Request};
use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::time::{sleep, timeout};
use tower::BoxError;

use super::board::Board;
use super::errand::{Errand, Way};
use super::node::{FAIL, LANE, WORK};
use super::outcome::Outcome;

/// How long a client waits for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a client waits where there is none.
const PAUSE: Duration = Duration::from_millis(100);

/// Where an invalidation holds already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Invalidated {
    Everywhere,
    /// On this node; Redis will tell the others.
    On(usize),
}

/// All clients: they share a connection to each node.
#[derive(Clone)]
pub(crate) struct Clients {
    http: Client<HttpConnector, Empty<Bytes>>,
    board: Arc<Board>,
}

impl Clients {
    pub(crate) fn new(board: Arc<Board>) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Self {
            http: Client::builder(TokioExecutor::new()).http2_only(true).build(connector),
            board,
        }
    }

    /// Sends all of these at once, each from a client of its own.
    pub(crate) fn send(&self, errands: Vec<Errand>) {
        for errand in errands {
            let clients = self.clone();
            tokio::spawn(async move { clients.run(errand).await });
        }
    }

    async fn run(&self, errand: Errand) {
        match timeout(PATIENCE, self.answer(&errand)).await {
            Ok((outcome, status)) => self.board.answered(errand.lane, outcome, Some(status)),
            Err(_) => self.board.answered(errand.lane, Outcome::Lost, None),
        }
    }

    /// What the first node answers that lives long enough.
    async fn answer(&self, errand: &Errand) -> (Outcome, u16) {
        let mut died = None;
        loop {
            let (node, address) = self.node(errand, died).await;
            let url = format!("http://{address}{}", errand.path);
            if let Ok(answer) = self.ask(&url, errand).await {
                return answer;
            }
            died = Some(node);
        }
    }

    /// A node that is up, once there is one.
    async fn node(&self, errand: &Errand, mut died: Option<usize>) -> (usize, SocketAddr) {
        loop {
            if let Some(found) = self.board.node_for(errand.lane, died) {
                return found;
            }
            sleep(PAUSE).await;
            // It may be back by now, and the only one.
            died = None;
        }
    }

    async fn ask(&self, url: &str, errand: &Errand) -> Result<(Outcome, u16), BoxError> {
        let mut request = Request::get(url)
            .header(LANE, errand.lane)
            .header(WORK, errand.work.as_millis().to_string());
        if errand.fails {
            request = request.header(FAIL, "1");
        }
        if errand.way == Way::Private {
            request = request.header("cache-control", "no-store");
        }
        let (status, headers, _) = self.exchange(request.body(Empty::new())?).await?;
        Ok((Outcome::of(&headers), status))
    }

    /// Asks one node to invalidate a report. The text says what went wrong.
    pub(crate) async fn invalidate(&self, id: &str) -> Result<Invalidated, String> {
        let (node, address) = self.board.node_for(0, None).ok_or("all nodes are down")?;
        let request = Request::builder().method(Method::POST);
        let url = format!("http://{address}/invalidate/{id}");
        let request = request.uri(url).body(Empty::new()).map_err(|e| e.to_string())?;
        match timeout(PATIENCE, self.exchange(request)).await {
            Ok(Ok((204, ..))) => Ok(Invalidated::Everywhere),
            Ok(Ok((202, ..))) => Ok(Invalidated::On(node)),
            Ok(Ok((_, _, body))) => Err(String::from_utf8_lossy(&body).into_owned()),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err("no answer".to_owned()),
        }
    }

    async fn exchange(&self, request: Request<Empty<Bytes>>) -> Result<(u16, HeaderMap, Bytes), BoxError> {
        let (head, body) = self.http.request(request).await?.into_parts();
        Ok((head.status.as_u16(), head.headers, body.collect().await?.to_bytes()))
    }
}

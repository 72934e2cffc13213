//! A tonic server whose expensive method is memoized: however many clients call `Render` with the same request, on
//! however many of these servers, it runs once; body and trailing metadata reach all of them.
//!
//! ```text
//! cargo run --example tonic -- --listen 127.0.0.1:50051 --redis redis://127.0.0.1
//! ```
//!
//! gRPC calls are POSTs, which the layer leaves alone unless told otherwise: here, that `Render` may be repeated
//! without harm, and that two calls are the same if their messages are. `Watch` streams, and is never memoized.
//!
//! `memolock.demo.v1.rs` is what tonic-prost-build makes of `proto/reports.proto`.

#[path = "../support/mod.rs"]
mod support;

mod demo {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated")]
    include!("memolock.demo.v1.rs");
}

use std::net::SocketAddr;
use std::pin::Pin;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use demo::reports_server::{Reports, ReportsServer};
use demo::{RenderReply, RenderRequest};
use futures_util::stream::{self, Stream, StreamExt};
use http::{HeaderName, Method};
use http_body::Frame;
use http_body_util::BodyExt;
// A `println!` that does not panic when nobody reads.
use support::{Args, overdue, println, read_args, shutdown};
use tokio::net::TcpListener;
use tonic::body::Body;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Code, Request, Response, Status};
use tower::BoxError;
use tower::util::MapResponseLayer;
use tower_memolock::middleware::{BodyKey, KeyExtractor, UriKey};
use tower_memolock::{MemoLockLayer, MemoryStore, RedisStore, Store};

const RENDER: &str = "/memolock.demo.v1.Reports/Render";

const USAGE: &str = "\
Usage: tonic --listen ADDR [OPTIONS]

Serves memolock.demo.v1.Reports; the method Render is memoized for ten seconds.

  --listen ADDR   where to listen; port 0 takes a free one
  --redis URL     share with other servers through this Redis; without it, within this process
  --node NAME     what this server calls itself in its replies   [default: the address]
  --help          this text";

struct Options {
    listen: SocketAddr,
    redis: Option<String>,
    node: Option<String>,
}

/// The service itself knows nothing of the layer.
struct Renderer {
    node: Arc<str>,
    executions: AtomicU64,
    /// How many replies `Watch` has made.
    watched: AtomicU64,
}

fn reply(node: &str, request: RenderRequest, execution: u64) -> RenderReply {
    RenderReply {
        id: request.id,
        node: node.to_owned(),
        execution,
        pdf: vec![b'%'; request.size as usize].into(),
    }
}

async fn work(request: &RenderRequest) {
    tokio::time::sleep(Duration::from_millis(request.work_ms.into())).await;
}

#[tonic::async_trait]
impl Reports for Renderer {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<RenderReply, Status>> + Send>>;

    async fn render(&self, request: Request<RenderRequest>) -> Result<Response<RenderReply>, Status> {
        let request = request.into_inner();
        let execution = self.executions.fetch_add(1, Ordering::SeqCst) + 1;
        work(&request).await;
        let cost = Cost(request.work_ms);
        if request.fail_code != 0 {
            let code = i32::try_from(request.fail_code).map_or(Code::Unknown, Code::from_i32);
            let mut status = Status::new(code, format!("report {} failed as asked", request.id));
            status.metadata_mut().insert("x-cost", cost.0.into());
            return Err(status);
        }
        let mut response = Response::new(reply(&self.node, request, execution));
        response.extensions_mut().insert(cost);
        Ok(response)
    }

    async fn watch(&self, request: Request<RenderRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let first = self.watched.fetch_add(3, Ordering::SeqCst) + 1;
        let node = Arc::clone(&self.node);
        let replies = stream::iter(first..first + 3).then(move |execution| {
            let (node, request) = (Arc::clone(&node), request.clone());
            async move {
                work(&request).await;
                Ok(reply(&node, request, execution))
            }
        });
        Ok(Response::new(Box::pin(replies)))
    }
}

/// What a call cost, in milliseconds of work. Travels as trailing metadata.
#[derive(Clone, Copy)]
struct Cost(u32);

/// tonic lets a method set trailing metadata only on errors, so that of a success is added beneath the layer.
fn trailing_cost(response: http::Response<Body>) -> http::Response<Body> {
    let Some(Cost(cost)) = response.extensions().get().copied() else {
        return response;
    };
    response.map(|body| {
        Body::new(body.map_frame(move |frame| match frame.into_trailers() {
            Ok(mut trailers) => {
                trailers.insert("x-cost", cost.into());
                Frame::trailers(trailers)
            }
            Err(frame) => frame,
        }))
    })
}

async fn serve(options: Options, store: impl Store) -> Result<(), BoxError> {
    let listener = TcpListener::bind(options.listen)
        .await
        .map_err(|e| format!("cannot listen on {}: {e}", options.listen))?;
    let address = listener.local_addr()?;
    let (stop, overdue) = (shutdown(), overdue());
    println!("listening on http://{address}");

    let renderer = Renderer {
        node: options.node.unwrap_or_else(|| address.to_string()).into(),
        executions: AtomicU64::new(0),
        watched: AtomicU64::new(0),
    };
    // The servers have different addresses and do the same work, so the address is left out of the key. The fields
    // say what the message, and the reply, are encoded in.
    let head = UriKey::new()
        .without_authority()
        .headers(["content-type", "grpc-encoding", "grpc-accept-encoding"].map(HeaderName::from_static));
    let key = BodyKey::over(head).when(|request: &http::Request<Body>| request.uri().path() == RENDER);
    let layer = MemoLockLayer::new(store, "reports")
        .methods([Method::POST])
        .key(key)
        .ttl(Duration::from_secs(10));
    let leaving = layer.clone();
    let stop = async move {
        stop.await;
        // Whoever waits on another server takes over now.
        leaving.shutdown().await;
    };
    let server = Server::builder()
        .layer(layer.clone())
        .layer(MapResponseLayer::new(trailing_cost))
        .add_service(ReportsServer::new(renderer))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener).with_nodelay(Some(true)), stop);
    tokio::select! {
        result = server => result?,
        () = overdue => {}
    }
    // What is computed for nobody any more may come to its end.
    let _ = tokio::time::timeout(Duration::from_secs(2), layer.drained()).await;
    Ok(())
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = read_args(USAGE, |args| {
        let (mut listen, mut redis, mut node) = (None, None, None);
        while let Some(flag) = args.next()? {
            match flag {
                "--listen" => listen = Some(args.address()?),
                "--redis" => redis = Some(args.redis_url()?),
                "--node" => node = Some(args.text("a name")?),
                _ => return Err(args.unknown()),
            }
        }
        let listen = listen.ok_or_else(|| Args::missing("--listen", "an address"))?;
        Ok(Options { listen, redis, node })
    });
    let result = match options.redis.clone() {
        Some(url) => match RedisStore::connect(&url).await {
            Ok(store) => serve(options, store).await,
            Err(error) => Err(error.into()),
        },
        None => serve(options, MemoryStore::new()).await,
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            support::print_error(&*error);
            ExitCode::FAILURE
        }
    }
}

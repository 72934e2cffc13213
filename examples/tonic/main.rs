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
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use demo::reports_server::{Reports, ReportsServer};
use demo::{RenderReply, RenderRequest};
use futures_util::{Stream, stream};
use http::{HeaderName, Method};
use http_body::Frame;
use http_body_util::BodyExt;
use support::{Args, read_args, shutdown};
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
    node: String,
    executions: AtomicU64,
}

impl Renderer {
    fn reply(&self, request: RenderRequest, execution: u64) -> RenderReply {
        RenderReply {
            id: request.id,
            node: self.node.clone(),
            execution,
            pdf: vec![b'%'; request.size as usize].into(),
        }
    }
}

#[tonic::async_trait]
impl Reports for Renderer {
    type WatchStream = Pin<Box<dyn Stream<Item = Result<RenderReply, Status>> + Send>>;

    async fn render(&self, request: Request<RenderRequest>) -> Result<Response<RenderReply>, Status> {
        let request = request.into_inner();
        let execution = self.executions.fetch_add(1, Ordering::SeqCst) + 1;
        tokio::time::sleep(Duration::from_millis(request.work_ms.into())).await;
        let cost = Cost(request.work_ms);
        if request.fail_code != 0 {
            let code = Code::from_i32(request.fail_code.try_into().unwrap_or(Code::Unknown as i32));
            let mut status = Status::new(code, format!("report {} failed as asked", request.id));
            status.metadata_mut().insert("x-cost", cost.0.into());
            return Err(status);
        }
        let mut response = Response::new(self.reply(request, execution));
        response.extensions_mut().insert(cost);
        Ok(response)
    }

    async fn watch(&self, request: Request<RenderRequest>) -> Result<Response<Self::WatchStream>, Status> {
        let request = request.into_inner();
        let replies: Vec<_> = (1..=3).map(|n| Ok(self.reply(request.clone(), n))).collect();
        Ok(Response::new(Box::pin(stream::iter(replies))))
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
    println!("listening on http://{address}");

    let renderer = Renderer {
        node: options.node.unwrap_or_else(|| address.to_string()),
        executions: AtomicU64::new(0),
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
    Server::builder()
        .layer(layer)
        .layer(MapResponseLayer::new(trailing_cost))
        .add_service(ReportsServer::new(renderer))
        .serve_with_incoming_shutdown(TcpIncoming::from(listener), shutdown())
        .await?;
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

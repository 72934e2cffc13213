//! The service.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::stream::{self, Stream, StreamExt};
use http_body::Frame;
use http_body_util::BodyExt;
use tonic::body::Body;
use tonic::{Code, Request, Response, Status};

use super::demo::reports_server::Reports;
use super::demo::{RenderReply, RenderRequest};

/// Makes reports. It knows nothing of the layer.
pub(crate) struct Renderer {
    node: Arc<str>,
    executions: AtomicU64,
    /// How many replies `Watch` has made.
    watched: AtomicU64,
}

impl Renderer {
    /// A node that calls itself `node` in its replies.
    pub(crate) fn new(node: String) -> Self {
        Self {
            node: node.into(),
            executions: AtomicU64::new(0),
            watched: AtomicU64::new(0),
        }
    }
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

/// Adds what a call cost to the trailing metadata of a success; tonic lets a method set it only on errors.
pub(crate) fn trailing_cost(response: http::Response<Body>) -> http::Response<Body> {
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

//! [`Workshop`]: a gRPC service that does what its orders say, and counts.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt};
use tonic::metadata::{MetadataMap, MetadataValue};
use tonic::{Code, Request, Response, Status, Streaming};

use super::proto::workshop_server;
use super::proto::{Order, Product};
use crate::support::Gate;

/// The metadata of which a product tells.
const TOLD: [&str; 3] = ["authorization", "grpc-timeout", "x-tenant"];

/// The service; it knows nothing of the layer.
pub(super) struct Workshop {
    executions: AtomicUsize,
    pub(super) gate: Gate,
}

impl Workshop {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            executions: AtomicUsize::new(0),
            gate: Gate::new(),
        })
    }

    /// How often its methods have run.
    pub(super) fn executions(&self) -> usize {
        self.executions.load(Ordering::SeqCst)
    }

    fn execute(&self) -> usize {
        self.executions.fetch_add(1, Ordering::SeqCst) + 1
    }

    async fn carry_out(&self, request: Request<Order>) -> Result<Response<Product>, Status> {
        let execution = self.execute();
        let seen = seen(request.metadata());
        let order = request.into_inner();
        if order.gated {
            self.gate.pass().await;
        }
        if order.fail_code != 0 {
            let code = i32::try_from(order.fail_code).map_or(Code::Unknown, Code::from_i32);
            let message = format!("order {}: as asked, 100 %\n", order.id);
            let mut status = Status::with_details(code, message, order.details);
            status.metadata_mut().insert("x-execution", execution.into());
            return Err(status);
        }
        let mut response = Response::new(product(&order, execution, seen));
        let metadata = response.metadata_mut();
        metadata.append("x-mark", MetadataValue::from_static("first"));
        metadata.append("x-mark", MetadataValue::from_static("second"));
        metadata.append_bin("x-mark-bin", MetadataValue::from_bytes(&[0, 255, 10]));
        if !order.cache_control.is_empty() {
            metadata.insert("cache-control", order.cache_control.parse().expect("a value"));
        }
        Ok(response)
    }
}

fn seen(metadata: &MetadataMap) -> Vec<String> {
    let told = TOLD.iter().filter_map(|name| Some((name, metadata.get(*name)?)));
    told.map(|(name, value)| format!("{name}: {}", value.to_str().expect("ASCII")))
        .collect()
}

fn product(order: &Order, execution: usize, seen: Vec<String>) -> Product {
    Product {
        id: order.id.clone(),
        execution: execution as u64,
        content: Bytes::from(vec![b'%'; order.size as usize]),
        seen,
    }
}

type Products = Pin<Box<dyn Stream<Item = Result<Product, Status>> + Send>>;

#[tonic::async_trait]
impl workshop_server::Workshop for Workshop {
    type ProgressStream = Products;
    type TalkStream = Products;

    async fn make(&self, request: Request<Order>) -> Result<Response<Product>, Status> {
        self.carry_out(request).await
    }

    async fn brief(&self, request: Request<Order>) -> Result<Response<Product>, Status> {
        self.carry_out(request).await
    }

    async fn plain(&self, request: Request<Order>) -> Result<Response<Product>, Status> {
        self.carry_out(request).await
    }

    async fn progress(&self, request: Request<Order>) -> Result<Response<Products>, Status> {
        let order = request.into_inner();
        let execution = self.execute();
        let gate = self.gate.clone();
        let products = stream::iter(0..order.count).then(move |_| {
            let (gate, order) = (gate.clone(), order.clone());
            async move {
                gate.pass().await;
                Ok(product(&order, execution, Vec::new()))
            }
        });
        Ok(Response::new(Box::pin(products)))
    }

    async fn collect(&self, request: Request<Streaming<Order>>) -> Result<Response<Product>, Status> {
        let mut orders = request.into_inner();
        let mut ids = Vec::new();
        while let Some(order) = orders.message().await? {
            ids.push(order.id);
        }
        let order = Order {
            id: ids.join(" "),
            ..Order::default()
        };
        Ok(Response::new(product(&order, self.execute(), Vec::new())))
    }

    async fn talk(&self, request: Request<Streaming<Order>>) -> Result<Response<Products>, Status> {
        let execution = self.execute();
        let orders = request.into_inner();
        let products = orders.map(move |order| Ok(product(&order?, execution, Vec::new())));
        Ok(Response::new(Box::pin(products)))
    }
}

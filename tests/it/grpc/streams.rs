//! Calls that stream, which the layer leaves alone.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::stream;
use http_body::Frame;
use http_body_util::{BodyExt, StreamBody};
use tokio::sync::mpsc;
use tonic::Streaming;
use tonic::service::Routes;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_check_response::ServingStatus;
use tonic_health::pb::health_client::HealthClient;
use tonic_health::server::HealthReporter;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;
use tonic_reflection::pb::v1::{ServerReflectionRequest, ServerReflectionResponse};
use tower_memolock::middleware::GrpcMethod;
use tower_memolock::{MemoryStore, Stats};

use super::fixture::{MAKE, Nodes, PROGRESS, Server, Workshop, layer, order, routes};
use super::proto::Order;
use super::raw::message;
use crate::support::within;

const NAME: &str = "memolock.test.v1.Workshop";

async fn next<T>(stream: &mut Streaming<T>) -> Option<T> {
    within("a message", stream.message()).await.expect("no failure")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_first_message_arrives_before_the_last_is_made() {
    let nodes = Nodes::pair().await;
    for execution in 1..=2 {
        let mut client = nodes.clients[0].clone();
        let order = Order {
            count: 3,
            ..order("live")
        };
        let stream = within("a stream", client.progress(order)).await.expect("a stream");
        let mut stream = stream.into_inner();
        for _ in 0..3 {
            nodes.workshop.gate.let_go(1);
            let product = next(&mut stream).await.expect("a product");
            assert_eq!((product.id.as_str(), product.execution), ("live", execution));
        }
        assert_eq!(next(&mut stream).await, None);
    }
    assert_eq!(nodes.layers[0].handle().stats(), Stats::default());
}

/// The layer was given a method that streams: nothing is stored of it, and leaders do not notice.
#[tokio::test(flavor = "multi_thread")]
async fn a_method_that_streams_and_is_named_streams_all_the_same() {
    let store = MemoryStore::new();
    let nodes = Nodes::start([layer(store).method(GrpcMethod::new(PROGRESS))]).await;
    for execution in 1..=2 {
        let mut client = nodes.clients[0].clone();
        let order = Order {
            count: 2,
            ..order("live")
        };
        let stream = within("a stream", async {
            nodes.workshop.gate.let_go(1);
            client.progress(order).await
        });
        let mut stream = stream.await.expect("a stream").into_inner();
        for left in [1, 0] {
            let product = next(&mut stream).await.expect("a product");
            assert_eq!(product.execution, execution);
            nodes.workshop.gate.let_go(left);
        }
        assert_eq!(next(&mut stream).await, None);
        nodes.settled().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_streams_gets_one_product_of_all() {
    let nodes = Nodes::pair().await;
    for execution in 1..=2 {
        let mut client = nodes.clients[0].clone();
        let orders = stream::iter(["a", "b", "c"].map(order));
        let product = within("a product", client.collect(orders))
            .await
            .expect("a product")
            .into_inner();
        assert_eq!((product.id.as_str(), product.execution), ("a b c", execution));
    }
    assert_eq!(nodes.layers[0].handle().stats(), Stats::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_sides_talk_in_turn() {
    let nodes = Nodes::pair().await;
    let mut client = nodes.clients[0].clone();
    let (say, said) = mpsc::channel(1);
    let said = stream::unfold(said, |mut said| async { said.recv().await.map(|order| (order, said)) });
    let stream = within("a stream", client.talk(said)).await.expect("a stream");
    let mut stream = stream.into_inner();
    for id in ["first", "second", "third"] {
        say.send(order(id)).await.expect("a server that listens");
        assert_eq!(next(&mut stream).await.expect("a product").id, id);
    }
    drop(say);
    assert_eq!(next(&mut stream).await, None);
    assert_eq!(nodes.layers[0].handle().stats(), Stats::default());
}

/// A server with health and reflection beside the workshop, all beneath one layer.
async fn observed() -> (Server, Arc<Workshop>, HealthReporter) {
    let workshop = Workshop::new();
    let (reporter, health) = tonic_health::server::health_reporter();
    reporter
        .set_service_status(NAME, tonic_health::ServingStatus::Serving)
        .await;
    let reflection = tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(include_bytes!("workshop.bin"))
        .build_v1()
        .expect("a descriptor");
    let routes: Routes = routes(&workshop).add_service(health).add_service(reflection);
    let server = Server::tonic(layer(MemoryStore::new()), routes).await;
    (server, workshop, reporter)
}

#[tokio::test(flavor = "multi_thread")]
async fn health_is_told_as_it_is() {
    let (server, _workshop, reporter) = observed().await;
    let mut client = HealthClient::new(server.channel().await);
    let request = HealthCheckRequest {
        service: NAME.to_owned(),
    };
    let mut watched = within("a stream", client.watch(request.clone()))
        .await
        .expect("a stream")
        .into_inner();
    for (reported, status) in [
        (None, ServingStatus::Serving),
        (Some(tonic_health::ServingStatus::NotServing), ServingStatus::NotServing),
        (Some(tonic_health::ServingStatus::Serving), ServingStatus::Serving),
    ] {
        if let Some(reported) = reported {
            reporter.set_service_status(NAME, reported).await;
        }
        assert_eq!(next(&mut watched).await.expect("a status").status(), status);
        let checked = within("a status", client.check(request.clone())).await;
        assert_eq!(checked.expect("a status").into_inner().status(), status);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn reflection_describes_what_is_memoized() {
    let (server, _workshop, _reporter) = observed().await;
    let mut client = ServerReflectionClient::new(server.channel().await);
    let ask = |message| ServerReflectionRequest {
        host: String::new(),
        message_request: Some(message),
    };
    let asked = [
        ask(MessageRequest::ListServices(String::new())),
        ask(MessageRequest::FileContainingSymbol(NAME.to_owned())),
    ];
    let answers = within("a stream", client.server_reflection_info(stream::iter(asked))).await;
    let mut answers = answers.expect("a stream").into_inner();
    let mut answered = async || -> Option<ServerReflectionResponse> { next(&mut answers).await };
    let Some(MessageResponse::ListServicesResponse(list)) = answered().await.and_then(|a| a.message_response) else {
        panic!("no list of services");
    };
    let names: Vec<_> = list.service.into_iter().map(|service| service.name).collect();
    assert!(names.iter().any(|name| name == NAME), "{names:?}");
    let Some(MessageResponse::FileDescriptorResponse(file)) = answered().await.and_then(|a| a.message_response) else {
        panic!("no descriptor");
    };
    assert_eq!(file.file_descriptor_proto.len(), 1);
    assert!(answered().await.is_none());
}

/// A client may send its message and leave the stream open for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_ends_later_is_answered_when_it_has_ended() {
    let nodes = Nodes::pair().await;
    let raw = nodes.servers[0].raw().await;
    let (end, parts) = mpsc::channel::<Bytes>(1);
    let parts = stream::unfold(parts, |mut parts| async {
        parts.recv().await.map(|part| (Ok(Frame::data(part)), parts))
    });
    let call = raw.start(MAKE, &[], StreamBody::new(parts));
    end.send(message(&order("open"))).await.expect("a server that listens");
    drop(end);
    let response = within("a response", call).await.expect("no panic").expect("a response");
    let body = within("a body", response.into_body().collect()).await.expect("a body");
    assert_eq!(body.trailers().expect("trailers")["grpc-status"], "0");
}

//! Calls that their clients reset, one after another.

use std::net::SocketAddr;

use hyper::body::Incoming;
use hyper::client::conn::http2::{SendRequest, handshake};
use tokio::task::JoinHandle;

use super::*;

async fn connect(address: SocketAddr) -> SendRequest<Full<Bytes>> {
    let stream = TcpStream::connect(address).await.expect("a connection");
    let handshake = handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (client, connection) = handshake.await.expect("HTTP/2");
    tokio::spawn(async move { drop(connection.await) });
    client
}

async fn body(answered: JoinHandle<hyper::Result<Response<Incoming>>>) -> Bytes {
    let answered = within("an answer", answered).await.expect("no panic");
    let response = answered.expect("a response");
    response.into_body().collect().await.expect("a body").to_bytes()
}

#[tokio::test]
async fn calls_that_are_reset_on_one_connection_do_not_pile_up_beneath_the_layer() {
    const MOST: usize = 8;
    let layer = layer().limits(Limits::new().max_orphaned(MOST).max_in_flight(200));
    let (gate, running) = (Gate::new(), Running::default());
    let inner = {
        let (gate, running) = (gate.clone(), running.clone());
        service_fn(move |_| {
            let (gate, running) = (gate.clone(), running.clone());
            async move {
                let _call = running.begin();
                gate.pass().await;
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from("answered"))))
            }
        })
    };
    let service = layer.layer(inner);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("its number");
    let server = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            let server = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let service = TowerToHyperService::new(service.clone());
            let serving = server.serve_connection(TokioIo::new(stream), service);
            tokio::spawn(async move { drop(serving.await) });
        }
    });
    let client = connect(address).await;
    let ask = |path: String| {
        let mut client = client.clone();
        let request = Request::get(format!("http://{address}{path}")).body(Full::<Bytes>::default());
        tokio::spawn(async move { client.send_request(request.expect("a request")).await })
    };
    let honest: Vec<_> = (0..20).map(|_| ask("/honest".to_owned())).collect();
    gate.reached_by(1).await;
    for i in 0..500 {
        let reset = ask(format!("/{i}"));
        gate.reached_by(i + 2).await;
        reset.abort();
        // One honest call, one call that is not reset yet, and what it takes the server to hear of the last resets.
        let bound = MOST + 2 + 20;
        assert!(running.count() <= bound, "{} calls after {i} resets", running.count());
    }
    let gone = async {
        while running.count() > MOST + 1 {
            sleep(Duration::from_millis(5)).await;
        }
    };
    within("the cancelled calls to end", gone).await;
    gate.open();
    for answered in honest {
        assert_eq!(body(answered).await, "answered");
    }
    assert_eq!(gate.reached(), 501, "the honest calls are one");
    server.abort();
}

//! [`serve`]: a hyper server that stops cleanly.

use std::convert::Infallible;
use std::io;
use std::time::Duration;

use bytes::Buf;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tower::{BoxError, Service};

use support::shutdown;

/// How long requests under way may take once the program was asked to stop.
const GRACE: Duration = Duration::from_secs(10);

/// How many fields a head may have, in both directions. hyper's own limit of 100 is not HTTP's; what the layer shares
/// is bounded by their size.
pub(crate) const MAX_FIELDS: usize = 1024;

/// Serves HTTP/1 and HTTP/2 until `stop` resolves, then lets requests under way finish. Ctrl-C, SIGTERM or ten seconds
/// cut them off.
pub(crate) async fn serve<S, B>(listener: TcpListener, service: S, stop: impl Future<Output = ()>)
where
    S: Service<Request<Incoming>, Response = Response<B>, Error = Infallible>,
    S: Clone + Send + 'static,
    S::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Buf + Send,
    B::Error: Into<BoxError>,
{
    let mut server = auto::Builder::new(TokioExecutor::new());
    server.http1().timer(TokioTimer::new()).max_headers(MAX_FIELDS);
    server.http2().timer(TokioTimer::new());
    let service = TowerToHyperService::new(service);
    let connections = GracefulShutdown::new();
    let mut stop = std::pin::pin!(stop);

    loop {
        let stream = tokio::select! {
            stream = accept(&listener) => stream,
            () = &mut stop => break,
        };
        let connection = server.serve_connection(TokioIo::new(stream), service.clone());
        let connection = connections.watch(connection.into_owned());
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(error, "a connection ended early");
            }
        });
    }

    drop(listener);
    tokio::select! {
        () = connections.shutdown() => {}
        () = shutdown() => tracing::warn!("stopped at once"),
        () = tokio::time::sleep(GRACE) => tracing::warn!("requests were cut off"),
    }
}

async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await.and_then(prepare) {
            Ok(stream) => return stream,
            Err(error) => {
                tracing::warn!(
                    error = &error as &dyn std::error::Error,
                    "could not accept a connection"
                );
                // Out of file descriptors, most likely: the next attempt would fail as fast.
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    }
}

fn prepare((stream, _): (TcpStream, std::net::SocketAddr)) -> io::Result<TcpStream> {
    stream.set_nodelay(true)?;
    Ok(stream)
}

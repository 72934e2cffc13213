//! [`Listening`]: the admin service on an address of its own.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use http::header::HOST;
use http::uri::Authority;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tower::{ServiceExt, service_fn};
use tower_memolock::{Admin, MemoLockLayer};

use crate::own::Asker;
use crate::rewrite::Target;
use crate::server;

/// The service, and where it listens.
pub(crate) struct Listening {
    admin: Admin<Incoming>,
    listener: TcpListener,
}

impl Listening {
    /// `target` is where the layer's requests go: one for a URL goes there, too.
    pub(crate) async fn on(address: SocketAddr, layer: &MemoLockLayer, target: Target) -> Result<Self, String> {
        let listener = TcpListener::bind(address).await;
        let listener = listener.map_err(|e| format!("cannot listen on {address}: {e}"))?;
        let admin = Admin::new().layer_behind(layer, move |request| target.rewrite(request));
        Ok(Self { admin, listener })
    }

    pub(crate) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    pub(crate) async fn serve(self) {
        let admin = self.admin;
        let service = service_fn(move |request| answer(admin.clone(), request));
        // It is of use until the end.
        server::serve(self.listener, service, pending()).await;
    }
}

async fn answer(admin: Admin<Incoming>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    match is_for_loopback(&request) {
        true => admin.oneshot(request).await,
        false => {
            let text = "this is for 127.0.0.1, [::1] and localhost";
            Ok(Asker::of(&request).tell(StatusCode::MISDIRECTED_REQUEST, text))
        }
    }
}

/// Whether the request names this machine. A name that another site lets point to it (DNS rebinding) would be the same
/// origin to the browser.
fn is_for_loopback<B>(request: &Request<B>) -> bool {
    let named = || request.headers().get(HOST)?.to_str().ok()?.parse().ok();
    let authority = request.uri().authority().cloned().or_else(named);
    authority.is_some_and(|authority: Authority| {
        let host = authority.host();
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        ip.is_ok() || host.eq_ignore_ascii_case("localhost")
    })
}

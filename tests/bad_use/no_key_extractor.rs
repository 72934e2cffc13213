//! says: found `u32`
//! says: to implement `KeyExtractor<

use std::convert::Infallible;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use tower::{Layer, Service, service_fn};
use tower_memolock::{MemoLockLayer, MemoryStore};

fn serve<S: Service<Request<Full<Bytes>>>>(_: S) {}

fn main() {
    let handler = service_fn(async |_: Request<Full<Bytes>>| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
    serve(MemoLockLayer::new(MemoryStore::new(), "report").key(7_u32).layer(handler));
}

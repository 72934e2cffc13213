//! says: `Rc<()>` cannot be sent between threads safely
//! says: to implement `Service<

use std::convert::Infallible;
use std::rc::Rc;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tower::{Layer, Service, service_fn};
use tower_memolock::{MemoLockLayer, MemoryStore};

fn serve<S: Service<Request<Full<Bytes>>>>(_: S) {}

fn main() {
    let handler = service_fn(async |_: Request<Full<Bytes>>| {
        let local = Rc::new(());
        let body = Full::<Bytes>::default().map_frame(move |frame| {
            let _ = &local;
            frame
        });
        Ok::<_, Infallible>(Response::new(body))
    });
    serve(MemoLockLayer::new(MemoryStore::new(), "report").layer(handler));
}

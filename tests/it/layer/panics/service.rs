//! An inner service that panics wherever it has code: when it is called, polled, cloned, and dropped.

use super::*;

/// What panics, in the first call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    Ready,
    Call,
    Future,
    Frame,
    LaterFrame,
    EndStream,
    SizeHint,
    DropBody,
    DropBodyAfterError,
    DropError,
    DropBodyError,
    DropService,
    DropFuture,
}

const ALL: [Where; 13] = [
    Where::Ready,
    Where::Call,
    Where::Future,
    Where::Frame,
    Where::LaterFrame,
    Where::EndStream,
    Where::SizeHint,
    Where::DropBody,
    Where::DropBodyAfterError,
    Where::DropError,
    Where::DropBodyError,
    Where::DropService,
    Where::DropFuture,
];

fn blow(here: bool, what: Where) {
    // Not while one goes on already, or the program would be over.
    assert!(!here || std::thread::panicking(), "{what:?} panics");
}

struct Fragile {
    at: Where,
    calls: Arc<AtomicUsize>,
    /// Whether this is the instance that was called first.
    first: bool,
}

impl Fragile {
    fn new(at: Where) -> Self {
        Self {
            at,
            calls: Arc::default(),
            first: false,
        }
    }
}

impl Clone for Fragile {
    fn clone(&self) -> Self {
        Self {
            at: self.at,
            calls: Arc::clone(&self.calls),
            first: false,
        }
    }
}

impl Drop for Fragile {
    fn drop(&mut self) {
        blow(self.first && self.at == Where::DropService, self.at);
    }
}

impl Service<Request<Full<Bytes>>> for Fragile {
    type Response = Response<FragileBody>;
    type Error = FragileError;
    type Future = FragileFuture;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), FragileError>> {
        let first = self.calls.load(Ordering::SeqCst) == 0;
        if first && self.at == Where::Ready {
            self.calls.fetch_add(1, Ordering::SeqCst);
            blow(true, self.at);
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Full<Bytes>>) -> FragileFuture {
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        let (at, first) = (self.at, call == 1);
        self.first = first;
        blow(first && at == Where::Call, at);
        if first && at == Where::DropError {
            return FragileFuture(Some(Err(FragileError(at, true))), at, first);
        }
        let body = FragileBody {
            at,
            first,
            call,
            left: 3,
        };
        let mut response = Response::new(body);
        let field = "max-age=60".parse().expect("a value");
        response.headers_mut().insert("cache-control", field);
        FragileFuture(Some(Ok(response)), at, first)
    }
}

#[derive(Debug)]
struct FragileError(Where, bool);

impl std::fmt::Display for FragileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("fragile")
    }
}

impl std::error::Error for FragileError {}

impl Drop for FragileError {
    fn drop(&mut self) {
        blow(self.1, self.0);
    }
}

struct FragileFuture(Option<Result<Response<FragileBody>, FragileError>>, Where, bool);

impl Future for FragileFuture {
    type Output = Result<Response<FragileBody>, FragileError>;

    fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
        blow(self.2 && self.1 == Where::Future, self.1);
        self.0.take().map_or(Poll::Pending, Poll::Ready)
    }
}

impl Drop for FragileFuture {
    fn drop(&mut self) {
        blow(self.2 && self.1 == Where::DropFuture, self.1);
    }
}

struct FragileBody {
    at: Where,
    first: bool,
    call: usize,
    left: usize,
}

impl Body for FragileBody {
    type Data = Bytes;
    type Error = FragileError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, FragileError>>> {
        let at = self.at;
        blow(self.first && at == Where::Frame, at);
        blow(self.first && at == Where::LaterFrame && self.left < 3, at);
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        if self.first && matches!(at, Where::DropBodyError | Where::DropBodyAfterError) && self.left == 0 {
            return Poll::Ready(Some(Err(FragileError(at, at == Where::DropBodyError))));
        }
        Poll::Ready(Some(Ok(Frame::data(self.call.to_string().into()))))
    }

    fn is_end_stream(&self) -> bool {
        blow(self.first && self.at == Where::EndStream, self.at);
        false
    }

    fn size_hint(&self) -> SizeHint {
        blow(self.first && self.at == Where::SizeHint, self.at);
        SizeHint::default()
    }
}

impl Drop for FragileBody {
    fn drop(&mut self) {
        let drops = matches!(self.at, Where::DropBody | Where::DropBodyAfterError);
        blow(self.first && drops, self.at);
    }
}

#[tokio::test(start_paused = true)]
async fn an_inner_service_that_panics_anywhere_costs_its_own_client_at_most() {
    for stream in [StreamFollowers::Off, StreamFollowers::Process] {
        for at in ALL {
            let store = MemoryStore::new();
            let inner = Fragile::new(at);
            let layer = MemoLockLayer::new(store, "t").stream_followers(stream);
            let service = layer.clone().layer(inner.clone());
            let begun = Instant::now();
            let clients = (0..5).map(|_| {
                let service = service.clone();
                tokio::spawn(async move {
                    let request = Request::get("/").body(Full::default()).expect("a request");
                    let response = match service.oneshot(request).await {
                        Ok(response) => response,
                        // As a server would.
                        Err(error) => return drop(error),
                    };
                    if let Ok(whole) = response.into_body().collect().await {
                        let whole = whole.to_bytes();
                        assert!(whole == "111" || whole == "222", "{whole:?}");
                    }
                })
            });
            let ended = within("an end for all clients", join_all(clients)).await;
            let panicked = ended.iter().filter(|client| client.is_err()).count();
            assert!(panicked <= 1, "{at:?} {stream:?}: {panicked} clients");
            assert!(
                begun.elapsed() < Duration::from_secs(1),
                "{at:?} {stream:?}: {:?}",
                begun.elapsed()
            );
            settle().await;
            let stats = layer.handle().stats();
            let left = (stats.waiting, stats.in_flight, stats.recorded_bytes);
            assert_eq!(left, (0, 0, 0), "{at:?} {stream:?}");
            // And it is as good as new.
            let request = Request::get("/").body(Full::default()).expect("a request");
            let response = service.clone().oneshot(request).await.expect("a response");
            response.into_body().collect().await.expect("a body");
            let calls = inner.calls.load(Ordering::SeqCst);
            assert!(calls <= 2, "{at:?} {stream:?}: {calls} calls");
        }
    }
}

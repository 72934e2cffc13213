//! [`SlowLink`]: a way to a server that takes its time, byte for byte.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

/// How much passes in one piece.
const PIECE: usize = 16 * 1024;

/// A proxy that passes so many bytes a second in each direction of each connection. Gone on drop.
pub(crate) struct SlowLink {
    port: u16,
    shared: Arc<Shared>,
    _acceptor: JoinSet<()>,
}

struct Shared {
    upstream: u16,
    bytes_per_second: usize,
    /// How many bytes one connection still brings to the client before it falls silent.
    left: watch::Sender<usize>,
    passed: AtomicUsize,
}

impl SlowLink {
    /// Starts one in front of the server on this port.
    pub(crate) async fn start(upstream: u16, bytes_per_second: usize) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        let shared = Arc::new(Shared {
            upstream,
            bytes_per_second,
            left: watch::Sender::new(usize::MAX),
            passed: AtomicUsize::new(0),
        });
        let mut acceptor = JoinSet::new();
        let for_all = Arc::clone(&shared);
        acceptor.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                connections.spawn(pass(stream, Arc::clone(&for_all)));
            }
        });
        Self {
            port,
            shared,
            _acceptor: acceptor,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Lets this many more bytes through to clients, on all connections together, and nothing after them.
    pub(crate) fn silence_after(&self, bytes: usize) {
        self.shared.left.send_replace(self.passed() + bytes);
    }

    /// How many bytes have come from the server.
    pub(crate) fn passed(&self) -> usize {
        self.shared.passed.load(Ordering::SeqCst)
    }
}

async fn pass(client: TcpStream, shared: Arc<Shared>) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", shared.upstream)).await else {
        return;
    };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    tokio::join!(
        copy(from_client, to_server, &shared, false),
        copy(from_server, to_client, &shared, true),
    );
}

async fn copy(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    shared: &Shared,
    down: bool,
) -> Option<()> {
    let mut piece = vec![0; PIECE];
    let mut due = Instant::now();
    loop {
        let read = from.read(&mut piece).await.ok().filter(|read| *read > 0)?;
        // What nothing was sent for is not made up for later.
        due = due.max(Instant::now()) + Duration::from_secs_f64(read as f64 / shared.bytes_per_second as f64);
        sleep_until(due).await;
        if down {
            let passed = shared.passed.fetch_add(read, Ordering::SeqCst) + read;
            let _ = shared.left.subscribe().wait_for(|left| *left >= passed).await;
        }
        to.write_all(&piece[..read]).await.ok()?;
    }
}

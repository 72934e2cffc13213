//! [`RedisLink`]: the way to Redis, which can be frozen and cut without a hand on the server itself.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::board::Board;

/// After so long without an answer, a client has given its connection up.
const FROZEN_FOR: Duration = Duration::from_secs(30);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    Open,
    /// Connections stay, and nothing passes.
    Frozen,
    /// Connections break, and so do new ones.
    Cut,
    /// There is no Redis at the other end.
    Gone,
}

impl Link {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Frozen => "frozen",
            Self::Cut => "cut",
            Self::Gone => "gone",
        }
    }
}

/// A TCP proxy in front of a Redis.
pub(crate) struct RedisLink {
    link: watch::Sender<Link>,
    address: SocketAddr,
    _accepting: JoinSet<()>,
}

impl RedisLink {
    pub(crate) async fn start(server: String, board: &Arc<Board>) -> io::Result<Self> {
        let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).await?;
        let address = listener.local_addr()?;
        let (link, watched) = watch::channel(Link::Open);
        let mut accepting = JoinSet::new();
        accepting.spawn(accept(listener, server.into(), watched, Arc::clone(board)));
        Ok(Self {
            link,
            address,
            _accepting: accepting,
        })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    pub(crate) fn set(&self, link: Link) {
        self.link.send_replace(link);
    }
}

async fn accept(listener: TcpListener, server: Arc<str>, link: watch::Receiver<Link>, board: Arc<Board>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((client, _)) => {
                    connections.spawn(carry(client, Arc::clone(&server), link.clone(), Arc::clone(&board)));
                }
                // Too many open files, for instance: that passes.
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Carries one connection until one side ends it, or the link is cut.
async fn carry(client: TcpStream, server: Arc<str>, link: watch::Receiver<Link>, board: Arc<Board>) {
    let mut cut = link.clone();
    let both_ways = async {
        until_open(&mut link.clone()).await?;
        let connected = TcpStream::connect(&*server).await;
        board.redis(connected.is_ok());
        let server = connected?;
        client.set_nodelay(true)?;
        server.set_nodelay(true)?;
        let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
        tokio::select! {
            result = pass(from_client, to_server, link.clone()) => result,
            result = pass(from_server, to_client, link) => result,
        }
    };
    tokio::select! {
        _ = both_ways => {}
        _ = cut.wait_for(|link| *link == Link::Cut) => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut link: watch::Receiver<Link>,
) -> io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let read = from.read(&mut buffer).await?;
        if read == 0 {
            return Ok(());
        }
        until_open(&mut link).await?;
        to.write_all(&buffer[..read]).await?;
    }
}

/// Waits while nothing passes, and fails where that takes longer than a client waits.
async fn until_open(link: &mut watch::Receiver<Link>) -> io::Result<()> {
    let open = link.wait_for(|link| *link == Link::Open);
    match timeout(FROZEN_FOR, open).await {
        Ok(Ok(_)) => Ok(()),
        _ => Err(io::ErrorKind::TimedOut.into()),
    }
}

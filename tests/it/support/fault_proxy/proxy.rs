//! [`FaultProxy`] as a test holds it.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;

use super::connection;
use super::rule::{Fault, Injection, Rules, Target};

/// What a connection is for. Told by what it says first: `HELLO 3` or a subscription, or anything else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plane {
    Commands,
    Notifications,
}

/// What becomes of the bytes on a kind of connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Link {
    /// They flow.
    Open,
    /// They wait, in both directions, until the link is open again. New connections are accepted and wait too.
    Silent,
    /// Connections are reset, old ones and new ones. With this on both planes no node listens at all.
    Refused,
}

/// How a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cut {
    /// As at the end of a program.
    Fin,
    /// As after a crash of the machine.
    Reset,
}

/// What all connections share.
pub(super) struct Shared {
    pub(super) upstream: u16,
    pub(super) links: watch::Sender<[Link; 2]>,
    pub(super) cuts: broadcast::Sender<(Plane, Cut)>,
    /// Told when messages that are held back are to be let go.
    pub(super) healed: watch::Sender<usize>,
    rules: Mutex<Rules>,
    opened: [AtomicUsize; 2],
    live: [AtomicUsize; 2],
}

impl Shared {
    pub(super) fn rules(&self) -> MutexGuard<'_, Rules> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection as long as the result lives.
    pub(super) fn count(self: &Arc<Self>, plane: Plane) -> Counted {
        self.opened[plane as usize].fetch_add(1, Ordering::SeqCst);
        self.live[plane as usize].fetch_add(1, Ordering::SeqCst);
        Counted(Arc::clone(self), plane)
    }
}

pub(super) struct Counted(Arc<Shared>, Plane);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.live[self.1 as usize].fetch_sub(1, Ordering::SeqCst);
    }
}

/// A proxy in front of a Redis server. Gone on drop, with all its connections.
pub(crate) struct FaultProxy {
    port: u16,
    shared: Arc<Shared>,
    _acceptor: JoinSet<()>,
}

impl FaultProxy {
    /// Starts one in front of the server on this port, which does not have to be there yet. Everything flows.
    pub(crate) async fn start(upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("its number").port();
        let shared = Arc::new(Shared {
            upstream,
            links: watch::Sender::new([Link::Open; 2]),
            cuts: broadcast::Sender::new(64),
            healed: watch::Sender::new(0),
            rules: Mutex::default(),
            opened: Default::default(),
            live: Default::default(),
        });
        let mut acceptor = JoinSet::new();
        acceptor.spawn(accept(listener, port, Arc::clone(&shared)));
        Self {
            port,
            shared,
            _acceptor: acceptor,
        }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// Orders a fault, until [`heal`](Self::heal). Of several orders that concern a message, the first is carried out.
    pub(crate) fn inject(&self, target: Target, fault: Fault) -> Injection {
        self.shared.rules().add(target, fault)
    }

    /// Ends all faults and opens all links. What was cut stays cut, and what was muted mute.
    pub(crate) fn heal(&self) {
        self.shared.rules().clear();
        self.shared.links.send_replace([Link::Open; 2]);
        self.shared.healed.send_modify(|times| *times += 1);
    }

    /// Sets what becomes of the bytes on all connections of this kind.
    pub(crate) fn link(&self, plane: Plane, link: Link) {
        self.shared.links.send_modify(|links| links[plane as usize] = link);
    }

    /// The same for both kinds.
    pub(crate) fn links(&self, link: Link) {
        self.shared.links.send_replace([link; 2]);
    }

    /// Ends all connections of this kind. New ones are welcome.
    pub(crate) fn cut(&self, plane: Plane, cut: Cut) {
        // An error says that there is no connection.
        let _ = self.shared.cuts.send((plane, cut));
    }

    /// How many connections of this kind there have been.
    pub(crate) fn opened(&self, plane: Plane) -> usize {
        self.shared.opened[plane as usize].load(Ordering::SeqCst)
    }

    /// How many connections of this kind there are.
    pub(crate) fn live(&self, plane: Plane) -> usize {
        self.shared.live[plane as usize].load(Ordering::SeqCst)
    }
}

async fn accept(mut listener: TcpListener, port: u16, shared: Arc<Shared>) {
    let mut links = shared.links.subscribe();
    let mut connections = JoinSet::new();
    let closed = |links: &[Link; 2]| *links == [Link::Refused; 2];
    loop {
        tokio::select! {
            biased;
            () = connection::until(&mut links, closed) => {
                drop(listener);
                connection::until(&mut links, |links| !closed(links)).await;
                listener = TcpListener::bind(("127.0.0.1", port)).await.expect("the same port again");
            }
            accepted = listener.accept() => {
                if let Ok((stream, _)) = accepted {
                    connections.spawn(connection::run(stream, Arc::clone(&shared)));
                }
            }
        }
        while connections.try_join_next().is_some() {}
    }
}

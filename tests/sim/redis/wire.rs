//! [`Wire`]: one connection, as the server sees it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, ReadHalf, WriteHalf, duplex, split};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::yield_now;
use tokio::time::Instant;

use super::{RedisServer, way};
use crate::link::{Cut, Link};
use crate::sim::Sim;

pub(crate) struct Wire {
    pub(crate) node: usize,
    pub(crate) link: Arc<Link>,
    pub(crate) database: usize,
    pub(crate) resp3: bool,
    /// Nothing passes any more, and no side knows.
    pub(crate) silence: Arc<AtomicBool>,
    /// What has arrived and was not carried out.
    pub(crate) arrived: Vec<u8>,
    /// What is sent at the end of the turn.
    pub(crate) said: Vec<Vec<u8>>,
    pub(crate) to_client: UnboundedSender<Vec<u8>>,
    /// When what was sent last arrives there, and back here.
    last_there: Instant,
    pub(crate) last_back: Instant,
}

impl Wire {
    pub(crate) fn is_silent(&self) -> bool {
        self.silence.load(Ordering::Relaxed)
    }
}

/// A connection of a node to the server.
pub(crate) fn connect(sim: &Arc<Sim>, link: &Arc<Link>) -> io::Result<DuplexStream> {
    if link.cut() == Some(Cut::Refused) || sim.server(0).is_down {
        sim.made("wire: refused");
        return Err(io::ErrorKind::ConnectionRefused.into());
    }
    let room = sim.rng().pick(&[60, 1000, 1 << 16]);
    let (ours, theirs) = duplex(room);
    let (reader, writer) = split(theirs);
    let (to_client, from_server) = unbounded_channel();
    let mut server = sim.redis();
    let number = server.next;
    server.next += 1;
    let wire = Wire {
        node: link.node(),
        link: Arc::clone(link),
        database: 0,
        resp3: false,
        silence: Arc::new(AtomicBool::new(link.cut().is_some())),
        arrived: Vec::new(),
        said: Vec::new(),
        to_client,
        last_there: Instant::now(),
        last_back: Instant::now(),
    };
    server.wires.insert(number, wire);
    drop(server);
    sim.made("wire: connected");
    sim.trace
        .say(format_args!("node {} connects, wire {number}", link.node()));
    tokio::spawn(listen(Arc::clone(sim), number, reader));
    tokio::spawn(speak(Arc::clone(sim), from_server, writer));
    Ok(ours)
}

/// Has what the client writes arrive, piece by piece and in order.
async fn listen(sim: Arc<Sim>, number: u64, mut reader: ReadHalf<DuplexStream>) {
    let mut piece = vec![0; 4096];
    loop {
        let read = reader.read(&mut piece).await.unwrap_or(0);
        let bytes = piece[..read].to_vec();
        let way = way(&sim);
        let mut server = sim.redis();
        let Some(wire) = server.wires.get_mut(&number) else {
            return;
        };
        let at = wire.last_there.max(Instant::now() + way);
        wire.last_there = at;
        if read > 0 && sim.rng().chance(sim.knobs().lost_requests) {
            sim.made("wire: broke before a command");
            server.break_off(&sim, number);
            return;
        }
        drop(server);
        let this = Arc::clone(&sim);
        sim.net.at(at, move || {
            let mut server = this.redis();
            if bytes.is_empty() {
                return server.close(&this, number);
            }
            let Some(wire) = server.wires.get_mut(&number).filter(|wire| !wire.is_silent()) else {
                return;
            };
            wire.arrived.extend(bytes);
            drop(server);
            RedisServer::take_up(&this, number);
        });
        if read == 0 {
            return;
        }
    }
}

/// Writes what the server says, in pieces, until the connection ends.
async fn speak(sim: Arc<Sim>, mut said: UnboundedReceiver<Vec<u8>>, mut writer: WriteHalf<DuplexStream>) {
    while let Some(bytes) = said.recv().await {
        let most = sim.rng().pick(&[3, 40, 1 << 16]);
        for piece in bytes.chunks(most) {
            if writer.write_all(piece).await.is_err() {
                return;
            }
            yield_now().await;
        }
    }
    let _ = writer.shutdown().await;
}

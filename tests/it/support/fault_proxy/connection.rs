//! One connection: which reply belongs to which command, and what the orders make of it.

use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{broadcast, watch};
use tokio::time::{Instant, sleep_until};

use super::frame::Frame;
use super::proxy::{Cut, Link, Plane, Shared};
use super::rule::{Fault, Injection};

/// A command whose reply has not passed yet.
struct Asked {
    /// How many replies it has: a subscription to several channels has one for each.
    replies: usize,
    /// Its replies are push messages.
    is_subscription: bool,
    fault: Option<(Fault, Injection)>,
}

/// What the node is sent, in order.
struct Outbox {
    due: VecDeque<(Instant, Bytes)>,
    held: Option<Bytes>,
    muted: bool,
    /// Close once everything is sent.
    closing: bool,
}

impl Outbox {
    fn push(&mut self, bytes: Bytes) {
        self.push_after(Duration::ZERO, bytes);
    }

    fn push_after(&mut self, delay: Duration, bytes: Bytes) {
        if self.muted || self.closing {
            return;
        }
        let due = Instant::now() + delay;
        let due = self.due.back().map_or(due, |(before, _)| due.max(*before));
        self.due.push_back((due, bytes));
    }

    fn let_go(&mut self) {
        if let Some(bytes) = self.held.take() {
            self.push(bytes);
        }
    }

    /// Sends a message as the fault has it.
    fn carry_out(&mut self, frame: &Frame, fault: Fault) {
        let bytes = frame.0.clone();
        match fault {
            Fault::Drop => {}
            Fault::Duplicate => {
                self.push(bytes.clone());
                self.push(bytes);
            }
            Fault::Reorder if self.held.is_none() => self.held = Some(bytes),
            Fault::Reorder => {
                self.push(bytes);
                self.let_go();
            }
            Fault::Delay(delay) => self.push_after(delay, bytes),
            Fault::Truncate => {
                self.push(bytes.slice(..bytes.len() / 2));
                self.closing = true;
            }
            Fault::Corrupt => self.push(frame.corrupted().0),
            Fault::Mute => self.muted = true,
            Fault::Answer(instead) => self.push(instead),
        }
    }

    async fn next(&mut self) -> Option<Bytes> {
        let Some((due, _)) = self.due.front() else {
            if self.closing {
                return None;
            }
            return pending().await;
        };
        sleep_until(*due).await;
        self.due.pop_front().map(|(_, bytes)| bytes)
    }
}

pub(super) async fn run(mut client: TcpStream, shared: Arc<Shared>) {
    let cuts = shared.cuts.subscribe();
    let links = shared.links.subscribe();
    let _ = client.set_nodelay(true);
    let mut buffer = BytesMut::new();
    let Ok(Some(first)) = read(&mut client, &mut buffer).await else {
        return;
    };
    let plane = plane(&first);
    let _counted = shared.count(plane);
    let mut session = Session {
        plane,
        shared: &shared,
        asked: VecDeque::new(),
        outbox: Outbox {
            due: VecDeque::new(),
            held: None,
            muted: false,
            closing: false,
        },
    };
    let cut = tokio::select! {
        biased;
        cut = until_cut(plane, cuts, links.clone()) => cut,
        _ = session.serve(&mut client, first, buffer, links) => Cut::Fin,
    };
    if cut == Cut::Reset {
        let _ = client.set_zero_linger();
    }
}

fn plane(first: &Frame) -> Plane {
    let words = first.words();
    let name = words.first().map(|name| name.to_ascii_uppercase());
    match name.as_deref() {
        Some(b"HELLO") if words.get(1).is_some_and(|version| version == "3") => Plane::Notifications,
        Some(b"SUBSCRIBE" | b"PSUBSCRIBE" | b"SSUBSCRIBE") => Plane::Notifications,
        _ => Plane::Commands,
    }
}

async fn until_cut(
    plane: Plane,
    mut cuts: broadcast::Receiver<(Plane, Cut)>,
    mut links: watch::Receiver<[Link; 2]>,
) -> Cut {
    let ordered = async {
        loop {
            match cuts.recv().await {
                Ok((at, cut)) if at == plane => return cut,
                Ok(_) => {}
                Err(_) => return Cut::Reset,
            }
        }
    };
    tokio::select! {
        cut = ordered => cut,
        () = until(&mut links, |links| links[plane as usize] == Link::Refused) => Cut::Reset,
    }
}

/// The next whole message; `None` at the end of the stream.
async fn read(stream: &mut TcpStream, buffer: &mut BytesMut) -> io::Result<Option<Frame>> {
    loop {
        if let Some(frame) = Frame::take(buffer)? {
            return Ok(Some(frame));
        }
        if stream.read_buf(buffer).await? == 0 {
            return Ok(None);
        }
    }
}

struct Session<'a> {
    plane: Plane,
    shared: &'a Shared,
    asked: VecDeque<Asked>,
    outbox: Outbox,
}

impl Session<'_> {
    /// Passes everything on until one of the sides ends.
    async fn serve(
        &mut self,
        client: &mut TcpStream,
        first: Frame,
        mut from_client: BytesMut,
        mut links: watch::Receiver<[Link; 2]>,
    ) -> io::Result<()> {
        let index = self.plane as usize;
        let open = |links: &[Link; 2]| links[index] == Link::Open;
        until(&mut links, open).await;
        let mut server = TcpStream::connect(("127.0.0.1", self.shared.upstream)).await?;
        server.set_nodelay(true)?;
        let mut from_server = BytesMut::new();
        let mut healed = self.shared.healed.subscribe();
        self.command(&mut server, first).await?;
        loop {
            until(&mut links, open).await;
            tokio::select! {
                biased;
                _ = links.changed() => {}
                _ = healed.changed() => self.outbox.let_go(),
                bytes = self.outbox.next() => match bytes {
                    Some(bytes) => client.write_all(&bytes).await?,
                    None => return Ok(()),
                },
                frame = read(client, &mut from_client) => match frame? {
                    Some(frame) => self.command(&mut server, frame).await?,
                    None => return Ok(()),
                },
                frame = read(&mut server, &mut from_server), if !self.outbox.closing => match frame? {
                    Some(frame) => self.answer(frame),
                    // What the server said last still belongs to the node.
                    None => self.outbox.closing = true,
                },
            }
        }
    }

    /// Passes a command on, unless it is to be answered here.
    async fn command(&mut self, server: &mut TcpStream, frame: Frame) -> io::Result<()> {
        let words = frame.words();
        let fault = self.shared.rules().for_reply(self.plane, &words);
        let is_subscription = words.first().is_some_and(|name| {
            let name = name.to_ascii_uppercase();
            name.ends_with(b"SUBSCRIBE")
        });
        let replies = if is_subscription { words.len() - 1 } else { 1 };
        let planted = matches!(fault, Some((Fault::Answer(_), _)));
        self.asked.push_back(Asked {
            replies,
            is_subscription,
            fault,
        });
        if !planted {
            server.write_all(&frame.0).await?;
        }
        self.plant();
        Ok(())
    }

    /// Sends the answers of our own that are next.
    fn plant(&mut self) {
        while let Some(Asked {
            fault: Some((Fault::Answer(bytes), injection)),
            ..
        }) = self.asked.front()
        {
            self.outbox.push(bytes.clone());
            injection.add();
            self.asked.pop_front();
        }
    }

    fn answer(&mut self, frame: Frame) {
        let fault = if self.plane == Plane::Notifications && is_message(&frame) {
            self.shared.rules().for_message(self.plane, &frame)
        } else {
            self.answered(&frame)
        };
        match fault {
            Some((fault, injection)) => {
                self.outbox.carry_out(&frame, fault);
                injection.add();
            }
            None => self.outbox.push(frame.0),
        }
        self.plant();
    }

    /// Takes the reply's command off the list and says what is to become of the reply.
    fn answered(&mut self, frame: &Frame) -> Option<(Fault, Injection)> {
        let asked = self.asked.front_mut()?;
        if frame.is_push() && !asked.is_subscription {
            // The server ended a subscription by itself.
            return None;
        }
        asked.replies = asked.replies.saturating_sub(1);
        let fault = asked.fault.clone();
        if asked.replies == 0 || frame.is_error() {
            self.asked.pop_front();
        }
        fault
    }
}

/// Waits until the links are so.
pub(super) async fn until(links: &mut watch::Receiver<[Link; 2]>, so: impl Fn(&[Link; 2]) -> bool) {
    // An error says that the proxy is gone, and then this task is as well.
    let _ = links.wait_for(so).await;
}

/// Whether a client was told of something that was published.
fn is_message(frame: &Frame) -> bool {
    let kind = frame.words().into_iter().next();
    matches!(frame.0.first(), Some(b'>' | b'*')) && kind.is_some_and(|kind| kind.ends_with(b"message"))
}

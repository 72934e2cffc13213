//! The simulated Redis answers as a real one does, to the byte: what nodes have said to it is said once more to a redis-server, in
//! the same order, and every connection hears the same there.
//!
//! A real one tells the time of day, and it has a number for each connection and a version: those are left out. Nothing ends by
//! its time meanwhile on either side.

use std::collections::BTreeMap;
use std::fmt;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::time::timeout;

use crate::plan::{Class, Op, Plan};
use crate::redis::Taped;
use crate::rng::Rng;
use crate::run::{in_a_runtime, started_in};
use crate::sim::Sim;
use crate::trace::Tracing;

/// How much of a plan is compared, in milliseconds: less than the shortest that anything lasts.
const UNTIL: u64 = 900;

/// How many plans are.
const PLANS: usize = 24;

/// How often a plan is said to a redis-server that has no time for it.
const TRIES: u64 = 30;

/// What was compared.
pub(crate) struct Compared {
    commands: usize,
    scripts: usize,
    messages: usize,
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            commands,
            scripts,
            messages,
        } = self;
        write!(
            f,
            "redis-server says the same: {commands} commands, {scripts} scripts among them, and {messages} messages"
        )
    }
}

/// Compares both. `None` where there is no redis-server.
pub(crate) fn compare() -> Result<Option<Compared>, String> {
    let Some(server) = RealServer::start() else {
        return Ok(None);
    };
    let mut compared = Compared {
        commands: 0,
        scripts: 0,
        messages: 0,
    };
    let mut scripts = BTreeMap::<Vec<u8>, usize>::new();
    for plan in (0..).filter_map(plan).take(PLANS) {
        let tape = record(&plan, Duration::from_millis(UNTIL));
        for taped in &tape {
            match taped {
                Taped::Asked(_, words) => {
                    compared.commands += 1;
                    if words[0] == b"EVALSHA" {
                        *scripts.entry(words[1].clone()).or_default() += 1;
                    }
                }
                Taped::Said(_, bytes) => compared.messages += usize::from(bytes[0] == b'>'),
                Taped::Closed(_) | Taped::Evicted(..) | Taped::Flushed => {}
            }
        }
        server
            .replay_in_time(&tape)
            .map_err(|wrong| format!("seed {}: {wrong}", plan.seed))?;
    }
    compared.scripts = scripts.len();
    Ok(Some(compared))
}

/// What nodes say to the simulated Redis in that time, and what it says to them.
fn record(plan: &Plan, time: Duration) -> Vec<Taped> {
    in_a_runtime(async {
        let sim = Sim::new(plan.knobs, Rng::new(plan.luck).fork(2), Tracing::Off);
        sim.redis().tape.start();
        let running = started_in(Arc::clone(&sim), plan, None);
        let _ = timeout(time, running).await;
        sim.redis().tape.take()
    })
}

/// One of what a server does without time, and in a short while.
fn plan(seed: u64) -> Option<Plan> {
    let mut plan = Plan::new(seed, Some(4), true);
    let is_it = plan.settings.near.is_some() && matches!(plan.class, Class::Healthy | Class::Messages | Class::Losses);
    plan.ops
        .retain(|(_, op)| !matches!(op, Op::StoreCrash { .. } | Op::Busy { .. }));
    for (at, op) in &mut plan.ops {
        *at /= 5;
        if let Op::Ask { cost, .. } = op {
            *cost = 1 + *cost / 20;
        }
    }
    plan.ops.retain(|(at, _)| *at < UNTIL);
    is_it.then_some(plan)
}

/// A redis-server of its own. Killed on drop.
struct RealServer {
    child: Child,
    socket: PathBuf,
}

impl RealServer {
    fn start() -> Option<Self> {
        let socket = std::env::temp_dir().join(format!("memolock-sim-{}.sock", std::process::id()));
        let mut command = Command::new("redis-server");
        command.args(["--port", "0", "--save", "", "--unixsocket"]).arg(&socket);
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut server = Self {
            child: child.ok()?,
            socket,
        };
        // It says nowhere that it listens now.
        while UnixStream::connect(&server.socket).is_err() {
            if !matches!(server.child.try_wait(), Ok(None)) {
                return None;
            }
            std::thread::yield_now();
        }
        Some(server)
    }

    /// As [`replay`](Self::replay), as often as it takes until that is done in less than the time after which something there would end.
    fn replay_in_time(&self, tape: &[Taped]) -> Result<(), String> {
        for _ in 1..TRIES {
            let begun = Instant::now();
            let replayed = self.replay(tape);
            if replayed.is_ok() || begun.elapsed() < Duration::from_millis(UNTIL) {
                return replayed;
            }
        }
        self.replay(tape)
    }

    /// Says it all once more. What is wrong, where something else is heard.
    fn replay(&self, tape: &[Taped]) -> Result<(), String> {
        let mut admin = RealWire::connect(self);
        admin.ask(&[b"FLUSHALL".to_vec()]);
        admin.ask(&[b"SCRIPT".to_vec(), b"FLUSH".to_vec()]);
        let mut wires = BTreeMap::<u64, RealWire>::new();
        let mut heard = BTreeMap::<u64, Vec<Vec<u8>>>::new();
        for taped in tape {
            match taped {
                Taped::Asked(wire, words) => wires.entry(*wire).or_insert_with(|| RealWire::connect(self)).ask(words),
                Taped::Said(wire, bytes) => heard.entry(*wire).or_default().push(bytes.clone()),
                Taped::Closed(wire) => {
                    if let Some(wire) = wires.get_mut(wire) {
                        wire.quit();
                    }
                }
                Taped::Evicted(database, key) => {
                    admin.ask(&[b"SELECT".to_vec(), database.to_string().into_bytes()]);
                    admin.ask(&[b"DEL".to_vec(), key.clone()]);
                }
                Taped::Flushed => admin.ask(&[b"FLUSHALL".to_vec()]),
            }
        }
        for (number, wire) in &mut wires {
            wire.quit();
            let simulated = heard.remove(number).unwrap_or_default();
            let frames: Vec<_> = simulated.iter().map(|frame| masked(frame)).collect();
            let real: Vec<_> = wire.frames.iter().map(|frame| masked(frame)).collect();
            let same = frames
                .iter()
                .zip(&real)
                .take_while(|(one, other)| one == other || is_unknown(one))
                .count();
            if same < frames.len().max(real.len()) {
                let text = |frames: &[Vec<u8>]| frames.get(same).map(|frame| frame.escape_ascii().to_string());
                return Err(format!(
                    "on connection {number} the simulated Redis says {:?} where redis-server says {:?}, to {:?}",
                    text(&frames),
                    text(&real),
                    wire.asked.iter().rev().take(2).collect::<Vec<_>>()
                ));
            }
        }
        Ok(())
    }
}

impl Drop for RealServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_file(&self.socket);
    }
}

/// A connection to it.
struct RealWire {
    stream: UnixStream,
    unread: Vec<u8>,
    frames: Vec<Vec<u8>>,
    asked: Vec<String>,
    has_quit: bool,
}

impl RealWire {
    fn connect(server: &RealServer) -> Self {
        let stream = UnixStream::connect(&server.socket).expect("a connection to redis-server");
        let patience = Some(Duration::from_secs(20));
        stream.set_read_timeout(patience).expect("a socket");
        Self {
            stream,
            unread: Vec::new(),
            frames: Vec::new(),
            asked: Vec::new(),
            has_quit: false,
        }
    }

    /// Says a command, and reads up to its answer.
    fn ask(&mut self, words: &[Vec<u8>]) {
        let mut command = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            command.extend(format!("${}\r\n", word.len()).into_bytes());
            command.extend([word, &b"\r\n"[..]].concat());
        }
        self.asked
            .push(words.iter().map(|word| word.escape_ascii().to_string() + " ").collect());
        self.stream.write_all(&command).expect("redis-server reads");
        let is_confirmed = words[0].to_ascii_uppercase().ends_with(b"SUBSCRIBE");
        loop {
            let frame = self.frame();
            let is_it = match frame.starts_with(b">") {
                false => true,
                true => is_confirmed && frame.windows(9).any(|part| part == b"subscribe"),
            };
            self.frames.push(frame);
            if is_it {
                return;
            }
        }
    }

    /// Hears what it was told so far, and ends.
    fn quit(&mut self) {
        if !std::mem::replace(&mut self.has_quit, true) {
            self.ask(&[b"PING".to_vec(), b"the end".to_vec()]);
            self.frames.pop();
            let _ = self.stream.shutdown(std::net::Shutdown::Both);
        }
    }

    fn frame(&mut self) -> Vec<u8> {
        loop {
            if let Some(end) = end_of_frame(&self.unread, 0) {
                return self.unread.drain(..end).collect();
            }
            let mut piece = [0; 65_536];
            let read = self.stream.read(&mut piece).unwrap_or(0);
            assert!(
                read > 0,
                "redis-server answers: {:?}, {:?}",
                self.asked,
                self.unread.escape_ascii().to_string()
            );
            self.unread.extend(&piece[..read]);
        }
    }
}

/// Where an answer ends that begins there, if all of it is here.
fn end_of_frame(bytes: &[u8], at: usize) -> Option<usize> {
    let line = bytes.get(at..)?.windows(2).position(|window| window == b"\r\n")?;
    let number = std::str::from_utf8(&bytes[at + 1..at + line])
        .ok()
        .and_then(|text| text.parse::<i64>().ok());
    let (next, number) = (at + line + 2, number.unwrap_or(0).max(0) as usize);
    let parts = match bytes[at] {
        b'$' if bytes[at + 1] == b'-' => 0,
        b'$' => return Some(next + number + 2).filter(|end| *end <= bytes.len()),
        b'*' | b'>' => number,
        b'%' => 2 * number,
        _ => 0,
    };
    (0..parts).try_fold(next, |at, _| end_of_frame(bytes, at))
}

/// Whether the simulated server does not know the command: it is one of those that are tried at the start.
fn is_unknown(frame: &[u8]) -> bool {
    frame.starts_with(b"-ERR unknown command")
}

/// The same without the time of day, a connection's number and the version.
fn masked(frame: &[u8]) -> Vec<u8> {
    let is_hello = frame.windows(5).any(|part| part == b"proto");
    let is_left = frame.starts_with(b":") && frame.len() > 5;
    if is_hello || is_left {
        let letters = frame.iter().filter(|byte| !byte.is_ascii_digit() && **byte != b'.');
        return letters.copied().collect();
    }
    let mut masked = Vec::new();
    let mut rest = frame;
    while let Some(first) = rest.first() {
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        // What was softly invalidated says when.
        let is_soft = rest.len() > 25 && rest.starts_with(&[0xd5, b'M', b'L', b'S']) && rest[16] == 2;
        let (skipped, sign) = match (digits, is_soft) {
            (13.., _) => (digits, b'#'),
            (_, true) => (25, b'~'),
            _ => (1, *first),
        };
        masked.push(sign);
        rest = &rest[skipped..];
    }
    masked
}

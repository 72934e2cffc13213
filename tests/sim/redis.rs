//! A Redis server of the simulation, for the real client: commands and answers pass as bytes over streams in memory, which
//! are slow, come in pieces, stand still and break.
//!
//! None of the simulators that there are would serve: `turmoil` has sockets, but no Redis, and what it would take over is
//! a queue that is here already and that the other runs share.

mod caller;
mod channels;
mod keys;
mod near;
mod parts;
mod past;
mod resp;
mod scripts;
mod tape;
mod tracking;
mod turn;
mod wire;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::caller::Caller;
use self::keys::{Keys, last_of};
pub(crate) use self::past::Past;
use self::resp::{Answer, take_command};
use self::scripts::{effect, millis};
pub(crate) use self::tape::{Tape, Taped};
use self::tracking::Tracking;
use self::turn::Turns;
use self::wire::Wire;
pub(crate) use self::wire::connect;
use crate::sim::{DATABASES, Sim};

#[derive(Default)]
pub(crate) struct RedisServer {
    databases: [Keys; DATABASES],
    /// The hashes of the scripts that it has seen.
    scripts: BTreeSet<String>,
    wires: BTreeMap<u64, Wire>,
    channels: BTreeMap<Vec<u8>, BTreeSet<u64>>,
    tracking: Tracking,
    turns: Turns,
    /// What its keys have had, where near copies are checked against that.
    pub(crate) past: Option<Past>,
    /// What is said and done, where that is compared with a real one.
    pub(crate) tape: Tape,
    next: u64,
}

/// Which connections of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plane {
    Both,
    /// Those for notifications.
    Notices,
}

impl RedisServer {
    fn keys(&self, caller: &Caller) -> &Keys {
        &self.databases[caller.database]
    }

    fn keys_mut(&mut self, caller: &Caller) -> &mut Keys {
        &mut self.databases[caller.database]
    }

    /// Whether it has granted that node a lock under such an address.
    pub(crate) fn has_granted(&self, database: usize, node: usize, lock: &str) -> bool {
        self.databases[database].is_held(node, lock)
    }

    /// Everything that is kept is gone, and all connections that are told of changes hear that.
    pub(crate) fn forget(&mut self, sim: &Arc<Sim>) {
        self.databases.iter_mut().for_each(Keys::clear);
        self.tape.flushed();
        if let Some(past) = &mut self.past {
            past.forget();
        }
        for wire in self.tracking.wires() {
            sim.made("tracking: all told of all keys");
            self.send(sim, wire, &tracking::invalidate(Answer::Nothing));
        }
    }

    pub(crate) fn evict(&mut self, sim: &Arc<Sim>, database: usize, is_it: impl Fn(&str) -> bool) {
        for key in self.databases[database].evict(is_it) {
            self.tape.evicted(database, &key);
            self.note_changes(sim);
            if self.tape.is_on() {
                self.end_turn(sim);
            }
        }
    }

    /// It dies: connections end, and not even scripts are known to the next one.
    pub(crate) fn die(&mut self, sim: &Arc<Sim>) {
        self.tracking.clear();
        self.forget(sim);
        self.scripts.clear();
        let numbers: Vec<_> = self.wires.keys().copied().collect();
        numbers.into_iter().for_each(|wire| self.close(sim, wire));
    }

    /// The locks that are held, and the channels that connections listen on.
    pub(crate) fn leftovers(&self) -> (usize, usize) {
        (self.databases.iter().map(Keys::locks).sum(), self.listened())
    }

    /// Carries out a command, and answers.
    fn carry_out(&mut self, caller: &Caller, words: &[Vec<u8>]) {
        let name = words[0].to_ascii_uppercase();
        caller.sim.trace.say(format_args!(
            "{} of node {} is done: {}",
            String::from_utf8_lossy(&name),
            caller.node,
            shortened(&words[1..]),
        ));
        let answer = match (&name[..], &words[1..]) {
            (b"SUBSCRIBE", [channel]) => return self.subscribe(caller, channel),
            (b"UNSUBSCRIBE", [channel]) => return self.unsubscribe(caller, channel),
            (b"PING", []) => Answer::Text("PONG"),
            (b"PING", [word]) => Answer::bytes(word),
            (b"SELECT", [number]) => {
                let wire = self.wires.get_mut(&caller.wire);
                wire.expect("a wire").database = usize::from(number == b"1");
                Answer::Okay
            }
            (b"HELLO", [version]) => {
                self.wires.get_mut(&caller.wire).expect("a wire").resp3 = version == b"3";
                self.hello(caller)
            }
            (b"CLIENT", [tracking, on, bcast, rest @ ..])
                if [&tracking[..], on, bcast] == [&b"TRACKING"[..], b"ON", b"BCAST"] =>
            {
                let prefixes: Vec<_> = rest.chunks_exact(2).map(|pair| pair[1].clone()).collect();
                caller.sim.made("tracking: asked for");
                self.tracking.start(caller.wire, &prefixes);
                Answer::Okay
            }
            (b"EVAL", [text, count, rest @ ..]) => {
                let text = String::from_utf8_lossy(text);
                let hash = ::redis::Script::new(&text).get_hash().to_owned();
                self.scripts.insert(hash.clone());
                self.run(caller, &hash, count, rest)
            }
            (b"EVALSHA", [hash, count, rest @ ..]) => {
                let hash = String::from_utf8_lossy(hash).into_owned();
                match self.scripts.contains(&hash) {
                    true => self.run(caller, &hash, count, rest),
                    false => Answer::Error("NOSCRIPT No matching script. Please use EVAL."),
                }
            }
            (_, rest) => self.plain(caller, &name, rest),
        };
        self.note_changes(&caller.sim);
        self.answer(caller, &answer);
    }

    /// What it says of itself.
    fn hello(&self, caller: &Caller) -> Answer {
        let wire = &self.wires[&caller.wire];
        let text = |name: &str, value: &str| (Answer::bytes(name), Answer::bytes(value));
        let number = |name: &str, value: i64| (Answer::bytes(name), Answer::Number(value));
        Answer::Map(vec![
            text("server", "redis"),
            text("version", "7.2.0"),
            number("proto", if wire.resp3 { 3 } else { 2 }),
            number("id", caller.wire as i64),
            text("mode", "standalone"),
            text("role", "master"),
            (Answer::bytes("modules"), Answer::Several(Vec::new())),
        ])
    }

    fn run(&mut self, caller: &Caller, hash: &str, count: &[u8], rest: &[Vec<u8>]) -> Answer {
        let count = millis(count).as_millis() as usize;
        let (keys, args) = rest.split_at(count);
        self.keys_mut(caller).lapse(keys);
        match effect(hash) {
            Some(effect) => effect(self, caller, keys, args),
            None => {
                caller
                    .sim
                    .wrong(|| format!("the simulated Redis does not know the script {hash}"));
                Answer::Error("ERR an unknown script")
            }
        }
    }

    /// Commands about keys.
    fn plain(&mut self, caller: &Caller, name: &[u8], words: &[Vec<u8>]) -> Answer {
        let since = (caller.sim.moment(), caller.node);
        let all = self.keys_mut(caller);
        all.lapse(words.get(..1).unwrap_or_default());
        let bytes = |text: Option<&[u8]>| text.map_or(Answer::Nothing, Answer::bytes);
        match (name, words) {
            (b"GET", [key]) => bytes(all.get(key)),
            (b"SET", [key, text, word, _, time]) => {
                let is_there = all.get(key).is_some();
                if is_there == (word == b"NX") {
                    return Answer::Nothing;
                }
                if word == b"NX" {
                    caller.sim.made("lock: granted");
                }
                all.set(key, text.clone(), millis(time), since);
                Answer::Okay
            }
            (b"SET", [key, text, _, time]) => {
                all.set(key, text.clone(), millis(time), since);
                Answer::Okay
            }
            (b"PTTL", [key]) => Answer::Number(all.left(key)),
            (b"PEXPIRE", [key, time]) => Answer::Number(all.expire(key, millis(time))),
            (b"DEL", [key]) => {
                if key.windows(5).any(|part| part == b"/gen:") && !key.starts_with(b"memolock") {
                    caller.invalidated(key);
                }
                Answer::Number(all.delete(key))
            }
            (b"ZREVRANGE", [key, ..]) => last_of(&all.members(key)),
            (b"ZSCORE", [key, member]) => {
                let score = all.score(key, member).map(|score| score.to_string());
                bytes(score.as_ref().map(String::as_bytes))
            }
            (b"PUBLISH", [channel, payload]) => Answer::Number(self.publish(caller, channel, payload)),
            // Of those that are tried at the start, it need not know what they answer.
            _ => Answer::Error("ERR unknown command"),
        }
    }

    fn answer(&mut self, caller: &Caller, answer: &Answer) {
        let knobs = caller.sim.knobs();
        if caller.sim.rng().chance(knobs.lost_answers) {
            caller.sim.made("wire: broke before an answer");
            return self.break_off(&caller.sim, caller.wire);
        }
        self.send(&caller.sim, caller.wire, answer);
    }

    /// The connection ends.
    fn break_off(&mut self, sim: &Sim, wire: u64) {
        sim.history().trouble(sim.now());
        self.close(sim, wire);
    }

    fn close(&mut self, sim: &Sim, number: u64) {
        if let Some(wire) = self.wires.remove(&number) {
            // The end stands behind all that was said before.
            sim.net.at(wire.last_back, move || drop(wire));
        }
        self.tracking.stop(number);
        self.tape.closed(number);
        for wires in self.channels.values_mut() {
            wires.remove(&number);
        }
    }

    /// All connections of a node end, or fall silent for ever, or those for notifications do.
    pub(crate) fn cut(&mut self, sim: &Sim, node: usize, silent: bool, plane: Plane) {
        let of_it = self.wires.iter_mut();
        let of_it = of_it.filter(|(_, wire)| wire.node == node && (plane == Plane::Both || wire.resp3));
        let numbers: Vec<_> = of_it
            .map(|(number, wire)| {
                wire.silence.store(true, Ordering::Relaxed);
                *number
            })
            .collect();
        if !silent {
            numbers.into_iter().for_each(|wire| self.close(sim, wire));
        }
    }

    /// What is said on the connections of a node for notifications gets there no sooner than that.
    pub(crate) fn hold(&mut self, node: usize, until: Instant) {
        let of_it = self.wires.values_mut().filter(|wire| wire.node == node && wire.resp3);
        of_it.for_each(|wire| wire.last_back = wire.last_back.max(until));
    }

    /// What has arrived is carried out, unless the server stands still.
    fn take_up(sim: &Arc<Sim>, number: u64) {
        let stands_still_until = sim.server(0).stands_still_until;
        if let Some(until) = stands_still_until.filter(|until| *until > Instant::now()) {
            let this = Arc::clone(sim);
            return sim.net.at(until, move || Self::take_up(&this, number));
        }
        loop {
            let mut server = sim.redis();
            let Some(wire) = server.wires.get_mut(&number) else {
                return;
            };
            let Some(words) = take_command(&mut wire.arrived) else {
                return;
            };
            let caller = Caller {
                sim: Arc::clone(sim),
                node: wire.node,
                wire: number,
                database: wire.database,
            };
            wire.link.count();
            server.tape.asked(number, &words);
            server.carry_out(&caller, &words);
            if server.tape.is_on() {
                // A turn of its own for each command.
                server.end_turn(sim);
            }
        }
    }
}

/// One way over the network, which is far longer now and then.
/// The beginnings of words.
fn shortened(words: &[Vec<u8>]) -> String {
    let words = words
        .iter()
        .map(|word| word[..word.len().min(60)].escape_ascii().to_string());
    words.collect::<Vec<_>>().join(" ")
}

fn way(sim: &Sim) -> Duration {
    let (way, knobs) = (sim.way(), sim.knobs());
    if !sim.rng().chance(knobs.late) {
        return way;
    }
    sim.made("wire: late");
    sim.history().trouble(sim.now());
    way + Duration::from_millis(sim.rng().between(1, 2 * crate::plan::COMMAND_TIMEOUT))
}

//! [`Turns`]: the turns of the server's event loop. What is said in one is sent at its end: answers, and behind them which keys
//! have changed.
//!
//! Commands that arrive in one turn share it. A turn takes no time, or some: then an answer to a later command stands in front
//! of what an earlier one has changed.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::time::Instant;

use super::{RedisServer, way};
use crate::redis::resp::Answer;
use crate::sim::Sim;

/// So many turns in a thousand take a while, where there are near copies, and how long at most, in milliseconds.
const SLOW: (u64, u64) = (50, 4);

/// The most that a message is late, in milliseconds.
const LATE: u64 = 180;

#[derive(Default)]
pub(crate) struct Turns {
    is_open: bool,
    /// It is busy with something else until then.
    busy_until: Option<Instant>,
    /// Whether a client was told that the server lives.
    has_answered_ping: bool,
}

impl RedisServer {
    /// The turn under way, or the next one, goes on until then.
    pub(crate) fn busy(&mut self, until: Instant) {
        self.turns.busy_until = Some(until);
    }

    /// Says an answer or news, behind all that was said before on that connection.
    pub(crate) fn send(&mut self, sim: &Arc<Sim>, number: u64, answer: &Answer) {
        let Some(wire) = self.wires.get_mut(&number).filter(|wire| !wire.is_silent()) else {
            return;
        };
        let mut bytes = Vec::new();
        answer.write(wire.resp3, &mut bytes);
        self.tape.said(number, &bytes);
        wire.said.push(bytes);
        self.turns.has_answered_ping |= wire.resp3 && matches!(answer, Answer::Bytes(_));
        self.open(sim);
    }

    /// What has changed is told at the end of this turn.
    pub(crate) fn note_changes(&mut self, sim: &Arc<Sim>) {
        for database in 0..self.databases.len() {
            for key in self.databases[database].take_changed() {
                self.tracking.changed(&key);
                if let Some(past) = &mut self.past {
                    let (value, ends) = self.databases[database].version(&key);
                    past.note((database, &key), value, ends);
                    if let Some(ends) = ends {
                        Self::expire_at(sim, (database, key), ends);
                    }
                }
            }
        }
        if self.tracking.has_news() {
            self.open(sim);
        }
    }

    /// Has a key end some time after its time is over, unless a command comes across it before.
    fn expire_at(sim: &Arc<Sim>, (database, key): (usize, Vec<u8>), ends: Instant) {
        let at = ends + Duration::from_millis(sim.rng().below(110));
        let this = Arc::clone(sim);
        sim.net.at(at, move || {
            let mut server = this.redis();
            server.databases[database].lapse(&[key]);
            server.note_changes(&this);
        });
    }

    fn open(&mut self, sim: &Arc<Sim>) {
        if std::mem::replace(&mut self.turns.is_open, true) {
            return;
        }
        let now = Instant::now();
        let mut end = self.turns.busy_until.unwrap_or(now).max(now);
        if self.past.is_some() && !self.tape.is_on() && sim.rng().chance(SLOW.0) {
            end = end.max(now + Duration::from_millis(sim.rng().between(1, SLOW.1)));
        }
        let this = Arc::clone(sim);
        sim.net.at(end, move || this.redis().end_turn(&this));
    }

    pub(crate) fn end_turn(&mut self, sim: &Arc<Sim>) {
        self.turns.is_open = false;
        let has_answered = std::mem::take(&mut self.turns.has_answered_ping);
        for (number, news) in self.tracking.news() {
            sim.made("tracking: told of keys");
            if has_answered {
                sim.made("tracking: told of keys behind an answer");
            }
            if let Some(wire) = self.wires.get_mut(&number).filter(|wire| !wire.is_silent()) {
                let mut bytes = Vec::new();
                news.write(wire.resp3, &mut bytes);
                self.tape.said(number, &bytes);
                wire.said.push(bytes);
            }
        }
        let numbers: Vec<_> = self.wires.iter().filter(|(_, wire)| !wire.said.is_empty()).collect();
        let numbers: Vec<_> = numbers.into_iter().map(|(number, _)| *number).collect();
        for number in numbers {
            self.deliver(sim, number);
        }
    }

    fn deliver(&mut self, sim: &Arc<Sim>, number: u64) {
        let Some(wire) = self.wires.get_mut(&number) else {
            return;
        };
        for bytes in std::mem::take(&mut wire.said) {
            let at = wire.last_back.max(Instant::now() + way(sim));
            let at = if wire.resp3 && bytes[0] == b'>' {
                at + late(sim)
            } else {
                at
            };
            wire.last_back = at;
            let (to_client, silence) = (wire.to_client.clone(), Arc::clone(&wire.silence));
            sim.net.at(at, move || {
                if !silence.load(Ordering::Relaxed) {
                    // A client that is gone reads nothing.
                    let _ = to_client.send(bytes);
                }
            });
        }
    }
}

/// How much longer a message takes, and all that is behind it.
fn late(sim: &Sim) -> Duration {
    if !sim.rng().chance(sim.knobs().late_notices / 20) {
        return Duration::ZERO;
    }
    sim.made("notice: late");
    sim.history().trouble(sim.now());
    Duration::from_millis(sim.rng().between(1, LATE))
}

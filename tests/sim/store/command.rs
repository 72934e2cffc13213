//! How a command reaches the server, and its answer the node, if they do.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};
use tower_memolock::{StoreError, StoreErrorKind};

use super::SimStore;
use crate::link::Cut;
use crate::plan::COMMAND_TIMEOUT;
use crate::server::{Sender, Server};

/// What becomes of a command.
struct Fate {
    there: Duration,
    back: Duration,
    request_lost: bool,
    answer_lost: bool,
}

impl SimStore {
    fn fate(&self, name: &str) -> Fate {
        let (sim, knobs) = (&self.sim, self.sim.knobs());
        let (mut there, mut back) = (sim.way(), sim.way());
        let mut rng = sim.rng();
        let request_lost = rng.chance(knobs.lost_requests) || self.link.cut().is_some();
        let lost_answers = match name {
            "generation" | "standing" => knobs.lost_answers.max(knobs.lost_generations),
            _ => knobs.lost_answers,
        };
        let answer_lost = rng.chance(lost_answers);
        let is_late = rng.chance(knobs.late);
        if is_late {
            let late = Duration::from_millis(rng.between(1, 2 * COMMAND_TIMEOUT));
            let way = if rng.chance(500) { &mut there } else { &mut back };
            *way += late;
        }
        drop(rng);
        if request_lost || answer_lost || is_late {
            sim.history().trouble(sim.now());
            sim.made(match (request_lost, answer_lost) {
                (true, _) => "command: lost",
                (false, true) => "command: its answer lost",
                (false, false) => "command: late",
            });
        }
        Fate {
            there,
            back,
            request_lost,
            answer_lost,
        }
    }

    /// Sends a command, which does `act` at the server, and waits for the answer as long as a node waits.
    pub(super) async fn command<T: Send + 'static>(
        &self,
        name: &'static str,
        from: Sender,
        act: impl FnOnce(&mut Server, &Sender) -> T + Send + 'static,
    ) -> Result<T, StoreError> {
        if !self.link.is_alive() {
            return std::future::pending().await;
        }
        self.link.count();
        if self.link.cut() == Some(Cut::Refused) {
            self.sim.made("command: not connected");
            self.sim.history().trouble(self.sim.now());
            return Err(StoreError::new(StoreErrorKind::Unavailable));
        }
        let (sim, node, fate) = (&self.sim, self.link.node(), self.fate(name));
        sim.trace.say(format_args!(
            "node {node} sends {name} {}/{}",
            self.database, from.address
        ));
        let (answer, answered) = oneshot::channel();
        if !fate.request_lost {
            let mut arrival = Instant::now() + fate.there;
            if !sim.knobs().disorder {
                arrival = self.link.arrival(arrival);
            }
            self.arrive(arrival, name, from, fate, act, answer);
        } else {
            drop(answer);
        }
        let answered = async {
            match answered.await {
                Ok(answer) => answer,
                // It will never come.
                Err(_) => std::future::pending().await,
            }
        };
        let answer = timeout(Duration::from_millis(COMMAND_TIMEOUT), answered).await;
        let answer = answer.unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Timeout)));
        if let Err(error) = &answer {
            sim.made("command: failed");
            sim.history().trouble(sim.now());
            sim.trace
                .say(format_args!("node {node} has no answer to {name}: {error}"));
        }
        answer
    }

    fn arrive<T: Send + 'static>(
        &self,
        at: Instant,
        name: &'static str,
        from: Sender,
        fate: Fate,
        act: impl FnOnce(&mut Server, &Sender) -> T + Send + 'static,
        answer: oneshot::Sender<Result<T, StoreError>>,
    ) {
        let (this, sim) = (self.clone(), Arc::clone(&self.sim));
        self.sim.net.at(at, move || {
            let mut server = sim.server(this.database);
            // A server that stands still takes it up later.
            if let Some(until) = server.stands_still_until.filter(|until| *until > Instant::now()) {
                drop(server);
                return this.arrive(until, name, from, fate, act, answer);
            }
            let result = match server.is_down {
                true => Err(StoreError::new(StoreErrorKind::Unavailable)),
                false => Ok(act(&mut server, &from)),
            };
            drop(server);
            let node = from.node;
            sim.trace.say(format_args!(
                "{name} of node {node} is done: {}/{}",
                this.database, from.address
            ));
            if fate.answer_lost || !this.link.is_open() {
                return;
            }
            let mut back = Instant::now() + fate.back;
            if !sim.knobs().disorder {
                back = this.link.answer(back);
            }
            sim.net.at(back, move || drop(answer.send(result)));
        });
    }
}

//! [`carry_out`]: one plan, and what came of it.

use std::time::Duration;

use tokio::sync::mpsc::UnboundedReceiver;
use tokio::time::{Instant, sleep, sleep_until, timeout};

use crate::history::{History, Summary};
use crate::node::Node;
use crate::plan::{Computation, Fault, Harm, Plan, Step, Victim};
use crate::support::{self, FaultProxy, RedisServer, Target};
use crate::{BOUND, NODES};

/// How long after the last fault identical requests may still cost more than one computation.
const RECOVERY: Duration = Duration::from_secs(10);

/// The keys from here on are for [`Round::collapses_again`].
const PROBES: usize = 1000;

/// What is computed where the plan does not say.
const SHORT: Computation = Computation {
    cost: Duration::from_millis(50),
    ttl: Duration::from_secs(10),
    fails: false,
};

/// Carries out a plan on a new cluster.
///
/// # Errors
///
/// Says what must not be.
pub(crate) async fn carry_out(plan: &Plan) -> Result<Summary, String> {
    let mut round = Round::start(plan).await;
    let start = Instant::now();
    for (at, step) in &plan.steps {
        round.until(start + *at).await;
        round.take(*step).await;
    }
    let over = round.repairs.iter().map(|(due, _)| *due).max();
    round.until(over.unwrap_or(start)).await;
    round.all_answered().await?;
    round.collapses_again().await?;
    round.history.check(BOUND)
}

/// The cluster of one round.
struct Round {
    redis: RedisServer,
    redis_state: Health,
    /// The way from each node to Redis.
    proxies: Vec<FaultProxy>,
    nodes: [Option<Node>; NODES],
    near: [bool; NODES],
    history: History,
    invalidated: UnboundedReceiver<usize>,
    /// How many orders were given.
    orders: usize,
    /// What has to be mended, and when.
    repairs: Vec<(Instant, Repair)>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Health {
    Alive,
    Paused,
    Dead,
}

#[derive(Debug, Clone, Copy)]
enum Repair {
    StartNode(usize),
    ResumeNode(usize),
    StartRedis,
    ResumeRedis,
    HealProxy(usize),
}

impl Round {
    async fn start(plan: &Plan) -> Self {
        let redis = RedisServer::start();
        let mut proxies = Vec::new();
        for _ in 0..NODES {
            proxies.push(FaultProxy::start(redis.port()).await);
        }
        let (history, invalidated) = History::new();
        let near = plan.near;
        let nodes = std::array::from_fn(|n| Some(Node::start(n, &proxies[n].url(), near[n], &history)));
        Self {
            redis,
            redis_state: Health::Alive,
            proxies,
            nodes,
            near,
            history,
            invalidated,
            orders: 0,
            repairs: Vec::new(),
        }
    }

    /// Goes on until then: mends what is due, and asks everywhere for what has just been invalidated.
    async fn until(&mut self, then: Instant) {
        loop {
            let due = self.repairs.iter().map(|(due, _)| *due).min();
            let next = due.map_or(then, |due| due.min(then));
            tokio::select! {
                biased;
                () = sleep_until(next) => {}
                Some(key) = self.invalidated.recv() => {
                    for node in 0..NODES {
                        self.get(node, key, &SHORT).await;
                    }
                    continue;
                }
            }
            let now = Instant::now();
            let due: Vec<_> = self.repairs.extract_if(.., |(due, _)| *due <= now).collect();
            for (_, repair) in due {
                self.repair(repair);
            }
            if now >= then {
                return;
            }
        }
    }

    async fn take(&mut self, step: Step) {
        match step {
            Step::Get { node, key, computation } => self.get(node, key, &computation).await,
            Step::Invalidate { node, key } => {
                self.orders += 1;
                if let Some(target) = &mut self.nodes[node] {
                    self.history.expect(self.orders, node);
                    target.invalidate(self.orders, key).await;
                }
            }
            Step::Fault(fault) => self.break_something(fault).await,
        }
    }

    async fn get(&mut self, node: usize, key: usize, computation: &Computation) {
        self.orders += 1;
        if let Some(target) = &mut self.nodes[node] {
            self.history.expect(self.orders, node);
            target.get(self.orders, key, computation).await;
        }
    }

    async fn break_something(&mut self, fault: Fault) {
        let mut mend = |repair, after| self.repairs.push((Instant::now() + after, repair));
        let alive = self.redis_state == Health::Alive;
        match fault {
            Fault::KillNode(n, time) => {
                if let Some(mut node) = self.nodes[n].take() {
                    node.kill().await;
                    self.history.excuse(n);
                    mend(Repair::StartNode(n), time);
                }
            }
            Fault::PauseNode(n, time) => {
                if let Some(node) = &self.nodes[n] {
                    node.stop();
                    mend(Repair::ResumeNode(n), time);
                }
            }
            Fault::KillRedis(time) if self.redis_state != Health::Dead => {
                self.redis.kill();
                self.redis_state = Health::Dead;
                mend(Repair::StartRedis, time);
            }
            Fault::PauseRedis(time) if alive => {
                self.redis.stop();
                self.redis_state = Health::Paused;
                mend(Repair::ResumeRedis, time);
            }
            Fault::KillSubscribers if alive => drop(self.redis.cli(&["CLIENT", "KILL", "TYPE", "pubsub"])),
            Fault::KillClients if alive => drop(self.redis.cli(&["CLIENT", "KILL", "TYPE", "normal"])),
            Fault::FlushScripts if alive => drop(self.redis.cli(&["SCRIPT", "FLUSH"])),
            Fault::Cut(n, plane, cut) => self.proxies[n].cut(plane, cut),
            Fault::Link(n, plane, link, time) => {
                self.proxies[n].link(plane, link);
                mend(Repair::HealProxy(n), time);
            }
            Fault::Inject(n, victim, time) => {
                let (target, fault) = injection(victim);
                let _counted = self.proxies[n].inject(target, fault);
                mend(Repair::HealProxy(n), time);
            }
            // Of a Redis that is not there.
            Fault::KillRedis(_)
            | Fault::PauseRedis(_)
            | Fault::KillSubscribers
            | Fault::KillClients
            | Fault::FlushScripts => {}
        }
    }

    fn repair(&mut self, repair: Repair) {
        match repair {
            Repair::StartNode(n) => {
                let url = self.proxies[n].url();
                self.nodes[n] = Some(Node::start(n, &url, self.near[n], &self.history));
            }
            Repair::ResumeNode(n) => {
                if let Some(node) = &self.nodes[n] {
                    node.cont();
                }
            }
            Repair::StartRedis => {
                self.redis.restart_empty();
                self.redis_state = Health::Alive;
            }
            Repair::ResumeRedis if self.redis_state == Health::Paused => {
                self.redis.cont();
                self.redis_state = Health::Alive;
            }
            Repair::ResumeRedis => {}
            Repair::HealProxy(n) => self.proxies[n].heal(),
        }
    }

    /// Waits until no caller waits any more.
    async fn all_answered(&self) -> Result<(), String> {
        let answered = timeout(BOUND, async {
            while !self.history.open().is_empty() {
                sleep(Duration::from_millis(5)).await;
            }
        });
        let late = |_| format!("not answered after {BOUND:?}: {:?}", self.history.open());
        answered.await.map_err(late)
    }

    /// Waits until identical requests on all nodes cost one computation.
    async fn collapses_again(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + RECOVERY;
        for key in PROBES.. {
            for node in 0..2 * NODES {
                self.get(node % NODES, key, &SHORT).await;
            }
            self.all_answered().await?;
            let name = key.to_string();
            let computations = self.history.computations_of(&name);
            if computations == 1 && self.history.values_of(&name) == 2 * NODES {
                break;
            }
            if Instant::now() > deadline {
                return Err(format!(
                    "{RECOVERY:?} after the last fault: {computations} computations of one key"
                ));
            }
        }
        Ok(())
    }
}

/// What to order from the proxy.
fn injection(victim: Victim) -> (Target, support::Fault) {
    match victim {
        Victim::Messages(harm) => (Target::messages(), fault(harm)),
        Victim::Replies(harm) => (Target::replies(&[]), fault(harm)),
        Victim::Commands(error) => (Target::replies(&[]), support::Fault::error(error)),
    }
}

fn fault(harm: Harm) -> support::Fault {
    match harm {
        Harm::Drop => support::Fault::Drop,
        Harm::Duplicate => support::Fault::Duplicate,
        Harm::Delay(time) => support::Fault::Delay(time),
        Harm::Truncate => support::Fault::Truncate,
        Harm::Mute => support::Fault::Mute,
    }
}

//! The sentence that says what just happened, and why.

use std::time::Duration;

use super::errand::Way;
use super::fleet::NODES;
use super::link::Link;
use super::node::{AT_ONCE, FRESH, LEASE, REVALIDATE};
use super::outcome::Outcome;

/// Requests that were sent together, and what became of them.
#[derive(Debug, Default)]
pub(crate) struct Herd {
    pub(crate) size: u64,
    pub(crate) bare: bool,
    pub(crate) answers: u64,
    pub(crate) calls: u64,
    pub(crate) leads: u64,
    pub(crate) waits: u64,
    pub(crate) hits: u64,
    pub(crate) stale: u64,
    pub(crate) stand_ins: u64,
    pub(crate) alone: u64,
    pub(crate) bypass: u64,
    pub(crate) lost: u64,
    pub(crate) failures: u64,
    /// The node whose handler was called last for them.
    pub(crate) leader: Option<usize>,
    /// Nodes that died while they computed for them.
    pub(crate) died: Vec<usize>,
    /// Redis was out of reach at some time.
    pub(crate) cut_off: bool,
    /// How long the response that they found was still fresh.
    pub(crate) ttl: u64,
    pub(crate) slowest: Duration,
}

impl Herd {
    pub(crate) fn add(&mut self, outcome: Outcome, status: Option<u16>, took: Duration) {
        match outcome {
            Outcome::Leads => self.leads += 1,
            Outcome::Waits => self.waits += 1,
            Outcome::Hit(ttl) => {
                self.hits += 1;
                self.ttl = ttl;
            }
            Outcome::Stale => self.stale += 1,
            Outcome::StandIn => self.stand_ins += 1,
            Outcome::Alone => self.alone += 1,
            Outcome::Bypass => self.bypass += 1,
            Outcome::Bare => {}
            Outcome::Lost => self.lost += 1,
        }
        self.answers += 1;
        self.failures += u64::from(status.is_some_and(|status| status >= 500));
        self.slowest = self.slowest.max(took);
    }

    /// Whether all have their answers.
    pub(crate) fn is_over(&self) -> bool {
        self.answers == self.size
    }

    /// What became of them all.
    pub(crate) fn summary(&self) -> String {
        let Self {
            size,
            calls,
            waits,
            hits,
            ..
        } = *self;
        let requests = requests(size);
        let leader = self.leader.unwrap_or_default();
        let took = seconds(self.slowest);
        if self.lost > 0 {
            return format!(
                "{requests}: {} without an answer, because no node could be reached.",
                self.lost
            );
        }
        if self.bare {
            return format!(
                "Without the layer {requests} cost {}. Each node runs {AT_ONCE} at once, so the last client waited {took}.",
                calls_of(calls)
            );
        }
        if self.bypass == size {
            return "This client said Cache-Control: no-store, so its request went past the layer: one call for it alone.".to_owned();
        }
        if hits == size {
            return format!(
                "All {size} are hits: the response is in the store, and fresh for another {} s. The handler did not run.",
                self.ttl
            );
        }
        if let Some(trouble) = self.trouble() {
            return trouble;
        }
        if calls == 1 && waits + 1 == size {
            return format!(
                "One call of the handler answered {requests}: one led on node {leader}, and {waits} waited {took} for its promise. Without the layer: {}.",
                calls_of(size)
            );
        }
        let parts = [
            (self.leads + self.alone, "led"),
            (waits, "waited"),
            (hits, "were hits"),
            (self.stale + self.stand_ins, "got a stale response"),
        ];
        let parts = parts.iter().filter(|(count, _)| *count > 0);
        let parts: Vec<_> = parts.map(|(count, did)| format!("{count} {did}")).collect();
        format!(
            "{requests}: {}. {} of the handler instead of {size}.",
            parts.join(", "),
            calls_of(calls)
        )
    }

    /// What went wrong, and what stood in for it.
    fn trouble(&self) -> Option<String> {
        let Self { size, calls, waits, .. } = *self;
        let requests = requests(size);
        if let Some(dead) = self.died.last()
            && self.failures == 0
        {
            let successor = match self.leader {
                Some(leader) if leader != *dead => format!("node {leader}"),
                _ => "a follower".to_owned(),
            };
            return Some(format!(
                "Node {dead} died while it computed, {successor} took over, and {requests} have their answer: {}, and no client saw the crash.",
                calls_of(calls)
            ));
        }
        if self.stale == size && self.failures == 0 {
            return Some(format!(
                "All {size} got the stale response at once. A new one is computed in the background."
            ));
        }
        if self.stand_ins > 0 && self.failures == 0 {
            return Some(format!(
                "The handler failed, and the stale response stood in for {} of {requests}: no client saw the failure.",
                self.stand_ins
            ));
        }
        if self.failures > 0 {
            return Some(format!(
                "The handler failed, and {} of {size} clients got its 500. One failure may be that request's own fault, so a second call confirms it: {} in all. Nothing of it is stored.",
                self.failures,
                calls_of(calls)
            ));
        }
        if self.cut_off && calls > 1 {
            return Some(format!(
                "Redis was out of reach, so the nodes could not share: {} instead of one, and still no client got an error. {requests}, {waits} of them waited for another on their own node.",
                calls_of(calls)
            ));
        }
        None
    }
}

/// The sentence before anything has happened.
pub(crate) const NOTHING_YET: &str = "Nothing is stored, and nothing is computed. Send a herd: many clients ask three nodes for the same report at once.";

pub(crate) fn herd_sent(way: Way, size: u64) -> String {
    match way {
        Way::Bare => format!(
            "{} go to the handler without the layer: each costs a call.",
            requests(size)
        ),
        Way::Private => "One client says Cache-Control: no-store, so its request shares nothing.".to_owned(),
        Way::Shared => format!(
            "{} for the same report reach {NODES} nodes at the same moment.",
            requests(size)
        ),
    }
}

/// A call began.
pub(crate) fn called(node: usize, waiting: u64, link: Link) -> String {
    if link != Link::Open {
        return "Redis does not answer, so each node helps itself: its own requests share a call, and there is one for each node instead of one for all.".to_owned();
    }
    match waiting {
        0 => format!("Node {node} leads: it has taken the lock and calls the handler. No other request waits yet."),
        _ => format!(
            "Node {node} leads: it has taken the lock and calls the handler. {} on all nodes wait for its promise.",
            requests(waiting)
        ),
    }
}

/// A call began after a node had died during one.
pub(crate) fn taken_over(node: usize, dead: usize, after: Duration, waiting: u64) -> String {
    let why = match after > LEASE / 2 {
        true => ", and its lease is over",
        // It was invalidated, for instance.
        false => "",
    };
    format!(
        "Node {node} takes over: node {dead} died {} ago{why}. {} now wait for node {node}.",
        seconds(after),
        requests(waiting)
    )
}

/// A call began while others compute in vain.
pub(crate) fn computed_anew(node: usize, vain: &[usize]) -> String {
    format!(
        "The report was invalidated while {} computed it, so that response is from before and not stored. Node {node} leads and computes it anew.",
        list(vain)
    )
}

/// The report was invalidated, while some computed it.
pub(crate) fn invalidated(vain: &[usize], pending_on: Option<usize>) -> String {
    if let Some(node) = pending_on {
        return format!(
            "Redis could not be told of the invalidation. Node {node} keeps it: it serves nothing from before, and tells the others once Redis answers."
        );
    }
    match vain {
        [] => "The report was invalidated on all nodes: the next request finds nothing stored, and leads.".to_owned(),
        vain => format!(
            "The report was invalidated while {} computed it. That response is from before, so it is not stored.",
            list(vain)
        ),
    }
}

pub(crate) fn refreshed(node: usize) -> String {
    format!(
        "The response is stale. For {} s clients still get it at once, while node {node} computes a new one in the background.",
        REVALIDATE.as_secs()
    )
}

pub(crate) fn stored(node: usize) -> String {
    format!(
        "Node {node} has stored the response and kept its promise. For {} s every request is a hit.",
        FRESH.as_secs()
    )
}

pub(crate) fn killed(node: usize, pid: Option<u32>, computed: bool, waiting: u64) -> String {
    let who = match pid {
        Some(pid) => format!("Node {node} (process {pid}) was killed"),
        None => format!("Node {node} was killed"),
    };
    match computed {
        true => format!(
            "{who} while it computed. {} keep waiting; within {} s its lease ends, and a follower on another node takes over.",
            requests(waiting),
            LEASE.as_secs()
        ),
        false => format!("{who}. No node was computing, so nothing is lost: what is stored, the other nodes serve."),
    }
}

pub(crate) fn already_down(node: usize) -> String {
    format!("Node {node} is down already, and no other node computes at this moment.")
}

pub(crate) fn back(node: usize, pid: Option<u32>) -> String {
    match pid {
        Some(pid) => format!(
            "Node {node} is back, as process {pid}. It knows nothing, and finds in Redis what the others stored."
        ),
        None => format!("Node {node} is back. It knows nothing, and finds in the store what the others stored."),
    }
}

pub(crate) fn linked(link: Link) -> &'static str {
    match link {
        Link::Open => "Redis answers again. The nodes share: what is stored is a hit, and one node leads for all.",
        Link::Frozen => {
            "Redis is frozen: connections stay open and nothing answers. Nodes wait a second at most, then help themselves, one call for each node."
        }
        Link::Gone => "Redis is gone: no connection to it can be made. Nodes help themselves, one call for each node.",
        Link::Cut => "Redis is cut off: its connections break. Nodes help themselves at once, one call for each node.",
    }
}

pub(crate) const NO_REDIS: &str =
    "There is no Redis here: the nodes share a store in this process. Start with --redis URL to freeze one.";

pub(crate) const TOO_MANY: &str = "Too many requests are under way already: wait until some are answered.";

fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

fn requests(count: u64) -> String {
    match count {
        1 => "1 request".to_owned(),
        count => format!("{count} requests"),
    }
}

fn calls_of(count: u64) -> String {
    match count {
        1 => "1 call".to_owned(),
        count => format!("{count} calls"),
    }
}

/// `nodes 1, 2 and 3`.
fn list(nodes: &[usize]) -> String {
    let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
    match &names[..] {
        [] => "no node".to_owned(),
        [one] => format!("node {one}"),
        [most @ .., last] => format!("nodes {} and {last}", most.join(", ")),
    }
}

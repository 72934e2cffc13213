//! [`Cluster`]: the nodes and the store, and what befalls them.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::join_all;
use tokio::time::Instant;
use tower_memolock::simulation::Planted;

use crate::history::{address_of, database};
use crate::link::{Cut, Link};
use crate::node::Node;
use crate::plan::{Knobs, Plan, Subject};
use crate::redis::{Past, Plane};
use crate::run::Report;
use crate::sim::{DATABASES, Sim};

#[derive(Clone)]
pub(crate) struct Cluster {
    pub(crate) sim: Arc<Sim>,
    pub(crate) plan: Arc<Plan>,
    nodes: Arc<Vec<Mutex<Arc<Node>>>>,
    planted: Option<Planted>,
}

impl Cluster {
    pub(crate) async fn start(sim: &Arc<Sim>, plan: &Plan, planted: Option<Planted>) -> Self {
        if plan.settings.near.is_some() {
            sim.redis().past = Some(Past::default());
        }
        let nodes = (0..plan.nodes).map(|index| Node::start(sim, links(index), 0, plan.settings, planted));
        let nodes = join_all(nodes).await.into_iter().map(Mutex::new);
        Self {
            sim: Arc::clone(sim),
            plan: Arc::new(plan.clone()),
            nodes: Arc::new(nodes.collect()),
            planted,
        }
    }

    pub(crate) fn node(&self, index: usize) -> Arc<Node> {
        Arc::clone(&self.nodes[index].lock().unwrap())
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = Arc<Node>> {
        (0..self.nodes.len()).map(|index| self.node(index))
    }

    fn trouble(&self, what: &'static str) {
        self.sim.made(what);
        self.sim.history().trouble(self.sim.now());
    }

    /// The process dies, and another one starts after a while.
    pub(crate) async fn crash(&mut self, index: usize, down: u64) {
        self.trouble("node: dies");
        let node = self.node(index);
        node.tally(&self.sim);
        node.links.iter().for_each(|link| link.die());
        node.world.end();
        // Until it is up its requests go nowhere: they are those of clients that it has not.
        let links = links(index);
        links.iter().for_each(|link| link.set_cut(Some(Cut::Refused)));
        let next = Node::start(&self.sim, links, node.life + 1, self.plan.settings, self.planted).await;
        *self.nodes[index].lock().unwrap() = Arc::clone(&next);
        let sim = Arc::clone(&self.sim);
        self.sim.net.at(Instant::now(), {
            let sim = Arc::clone(&sim);
            move || (0..DATABASES).for_each(|database| sim.server(database).ears.bury(index))
        });
        self.sim.net.at(later(down), move || connect(&sim, &next.links));
    }

    pub(crate) fn cut(&mut self, index: usize, time: u64, silent: bool) {
        self.trouble(if silent {
            "node: cut off, and does not know"
        } else {
            "node: cut off"
        });
        let links = self.node(index).links.clone();
        self.sim.redis().cut(&self.sim, index, silent, Plane::Both);
        for (database, link) in links.iter().enumerate() {
            link.set_cut(Some(if silent { Cut::Silent } else { Cut::Refused }));
            self.sim
                .server(database)
                .ears
                .interrupt(|other| other.node() == link.node());
        }
        let sim = Arc::clone(&self.sim);
        self.sim.net.at(later(time), move || connect(&sim, &links));
    }

    /// The process stands still, and does not know it.
    pub(crate) fn stop(&mut self, index: usize, time: u64) {
        self.trouble("node: stands still");
        let world = Arc::clone(&self.node(index).world);
        world.stop();
        self.sim.net.at(later(time), move || world.go_on());
        self.trouble_later(time);
    }

    pub(crate) fn stall(&mut self, time: u64) {
        self.trouble("store: stands still");
        for database in 0..DATABASES {
            self.sim.server(database).stands_still_until = Some(later(time));
        }
        self.trouble_later(time);
    }

    pub(crate) fn crash_store(&mut self, down: u64) {
        self.trouble("store: dies");
        for database in 0..DATABASES {
            let mut server = self.sim.server(database);
            server.is_down = true;
            server.forget();
            server.ears.interrupt(|_| true);
        }
        self.lost();
        self.sim.redis().die(&self.sim);
        let (sim, nodes) = (Arc::clone(&self.sim), Arc::clone(&self.nodes));
        self.sim.net.at(later(down), move || {
            sim.trace.say(format_args!("the store is back"));
            let now = sim.now();
            sim.history().trouble(now);
            for database in 0..DATABASES {
                sim.server(database).is_down = false;
            }
            for node in nodes.iter() {
                let node = Arc::clone(&node.lock().unwrap());
                let open: Vec<_> = node.links.iter().filter(|link| link.is_open()).cloned().collect();
                connect(&sim, &open);
            }
        });
    }

    pub(crate) fn flush(&mut self) {
        self.trouble("store: flushed");
        (0..DATABASES).for_each(|database| self.sim.server(database).forget());
        self.lost();
        self.sim.redis().forget(&self.sim);
    }

    pub(crate) fn evict(&mut self, subject: Subject, lock: bool) {
        self.trouble(if lock {
            "store: a lock is evicted"
        } else {
            "store: a value is evicted"
        });
        let database = database(subject.via);
        let mut server = self.sim.server(database);
        let name = address_of(subject);
        let key = if lock {
            name.replacen(':', "/lock:", 1)
        } else {
            name.clone()
        };
        self.sim
            .redis()
            .evict(&self.sim, database, |name| name.starts_with(&key));
        match lock {
            true => server.evict_lock(|address| address.starts_with(&name)),
            false => server.evict(|address| address.starts_with(&name)),
        }
    }

    /// What the store kept is lost.
    fn lost(&self) {
        let now = self.sim.now();
        self.sim.history().losses.push(now);
    }

    pub(crate) fn cut_notices(&mut self, index: usize, silent: bool) {
        self.trouble(if silent {
            "node: hears nothing, and does not know"
        } else {
            "node: hears nothing"
        });
        self.sim.redis().cut(&self.sim, index, silent, Plane::Notices);
    }

    pub(crate) fn hold_notices(&mut self, index: usize, time: u64) {
        self.trouble("node: hears late");
        self.sim.redis().hold(index, later(time));
        self.trouble_later(time);
    }

    pub(crate) fn busy(&mut self, time: u64) {
        self.trouble("store: a turn takes long");
        self.sim.redis().busy(later(time));
        self.trouble_later(time);
    }

    fn trouble_later(&self, time: u64) {
        let sim = Arc::clone(&self.sim);
        self.sim.net.at(later(time), move || {
            let now = sim.now();
            sim.history().trouble(now);
        });
    }

    /// From here on nothing goes wrong.
    pub(crate) fn heal(&mut self) {
        self.sim.trace.say(format_args!("all is well from here on"));
        let latency = self.plan.knobs.latency;
        *self.sim.knobs.lock().unwrap() = Knobs {
            latency,
            store_rate: 100,
            ..Knobs::default()
        };
        for database in 0..DATABASES {
            let mut server = self.sim.server(database);
            server.is_down = false;
            server.stands_still_until = None;
        }
        for node in self.all() {
            node.world.go_on();
            connect(&self.sim, &node.links);
        }
    }

    pub(crate) fn leftovers(&self) -> Option<String> {
        let mut left: Vec<String> = self.all().filter_map(|node| node.leftovers()).collect();
        for database in 0..DATABASES {
            let server = self.sim.server(database);
            let (watches, locks) = (server.ears.len(), server.held());
            if watches > 0 || locks > 0 {
                left.push(format!("database {database}: {watches} watches, {locks} locks"));
            }
        }
        let (locks, channels) = self.sim.redis().leftovers();
        if locks > 0 || channels > 0 {
            left.push(format!("Redis: {channels} channels, {locks} locks"));
        }
        // Clients of Redis show that they are there, again and again.
        if !self.sim.net.is_idle() && !self.plan.settings.redis {
            left.push("messages on their way".to_owned());
        }
        (!left.is_empty()).then(|| left.join("; "))
    }

    pub(crate) fn report(&self) -> Report {
        self.all().for_each(|node| node.tally(&self.sim));
        let history = self.sim.history();
        Report {
            wrong: self.sim.first_wrong(),
            trace: self.sim.trace.take(),
            transitions: self.sim.transitions(),
            answers: history.answers.clone(),
            computations: history.computations.len(),
            commands: self.all().map(|node| node.commands()).sum(),
            messages: history.messages,
        }
    }
}

fn links(node: usize) -> [Arc<Link>; DATABASES] {
    [0, 1].map(|_| Arc::new(Link::new(node)))
}

fn later(time: u64) -> Instant {
    Instant::now() + Duration::from_millis(time)
}

/// The node is connected anew: what it listens to is in effect again, and it hears that.
fn connect(sim: &Arc<Sim>, links: &[Arc<Link>]) {
    let now = sim.now();
    for link in links.iter().filter(|link| link.is_alive()) {
        sim.trace.say(format_args!("node {} connects", link.node()));
        link.set_cut(None);
        link.reconnect();
        sim.history().trouble(now);
    }
    for database in 0..DATABASES {
        let mut server = sim.server(database);
        if !server.is_down {
            let whose = |link: &Link| links.iter().any(|known| std::ptr::eq(&**known, link));
            for id in server.ears.interrupted(whose) {
                server.ears.subscribe(sim, database, id);
            }
        }
    }
}

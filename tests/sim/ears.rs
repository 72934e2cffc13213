//! [`Ears`]: which nodes listen for notices in one database, and how notices get there.
//!
//! What is told about one address arrives at all watches of a node in one order, and a watch hears that it is in effect in
//! that order too, as the contract of `Store` has it. A notice that comes late comes alone, and to watches from before it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;
use tower_memolock::store::Notice;

use crate::link::Link;
use crate::server::Sender;
use crate::sim::Sim;

#[derive(Default)]
pub(crate) struct Ears {
    next: u64,
    listening: BTreeMap<u64, Ear>,
    by_address: BTreeMap<String, Vec<u64>>,
    /// When the last notice about an address gets to a node.
    last: BTreeMap<(usize, String), Instant>,
}

struct Ear {
    link: Arc<Link>,
    address: String,
    sender: UnboundedSender<Notice>,
    in_effect: bool,
}

impl Ears {
    pub(crate) fn len(&self) -> usize {
        self.listening.len()
    }

    pub(crate) fn add(&mut self, link: &Arc<Link>, address: &str, sender: UnboundedSender<Notice>) -> u64 {
        let id = self.next;
        self.next += 1;
        let ear = Ear {
            link: Arc::clone(link),
            address: address.to_owned(),
            sender,
            in_effect: false,
        };
        self.listening.insert(id, ear);
        self.by_address.entry(address.to_owned()).or_default().push(id);
        id
    }

    pub(crate) fn remove(&mut self, id: u64) {
        let Some(ear) = self.listening.remove(&id) else { return };
        if let Some(ids) = self.by_address.get_mut(&ear.address) {
            ids.retain(|known| *known != id);
            if ids.is_empty() {
                self.by_address.remove(&ear.address);
            }
        }
    }

    /// The server has heard of the watch: nothing is missed from here on, and the watch learns that.
    pub(crate) fn subscribe(&mut self, sim: &Arc<Sim>, database: usize, id: u64) {
        let Some(ear) = self.listening.get_mut(&id) else { return };
        if !ear.link.is_open() {
            return;
        }
        ear.in_effect = true;
        let (node, address) = (ear.link.node(), ear.address.clone());
        sim.made("watch: in effect");
        self.deliver(sim, database, (node, &address), vec![id], Notice::Reread, sim.way());
    }

    /// The connections that `whose` says have ended: nothing is heard on them.
    pub(crate) fn interrupt(&mut self, whose: impl Fn(&Link) -> bool) {
        for ear in self.listening.values_mut() {
            if whose(&ear.link) {
                ear.in_effect = false;
            }
        }
    }

    /// The watches of those connections that are not in effect.
    pub(crate) fn interrupted(&self, whose: impl Fn(&Link) -> bool) -> Vec<u64> {
        let ears = self.listening.iter();
        let interrupted = ears.filter(|(_, ear)| !ear.in_effect && whose(&ear.link));
        interrupted.map(|(id, _)| *id).collect()
    }

    /// The watches of a node that is gone.
    pub(crate) fn bury(&mut self, node: usize) {
        let dead = |ear: &Ear| ear.link.node() == node && !ear.link.is_alive();
        let ears = self.listening.iter();
        let ids: Vec<u64> = ears.filter(|(_, ear)| dead(ear)).map(|(id, _)| *id).collect();
        ids.into_iter().for_each(|id| self.remove(id));
    }

    pub(crate) fn tell(&mut self, from: &Sender, notice: &Notice) {
        let (sim, address) = (&from.sim, &from.address);
        let knobs = sim.knobs();
        let mut by_node: BTreeMap<usize, Vec<u64>> = BTreeMap::new();
        for id in self.by_address.get(address).into_iter().flatten() {
            let ear = &self.listening[id];
            if ear.in_effect && ear.link.is_open() {
                by_node.entry(ear.link.node()).or_default().push(*id);
            }
        }
        for (node, ids) in by_node {
            sim.history().messages += 1;
            let way = sim.way();
            if sim.rng().chance(knobs.lost_notices) {
                sim.trace.say(format_args!("lost for node {node}: {}", name(notice)));
                sim.made("notice: lost");
                sim.history().trouble(sim.now());
                continue;
            }
            if sim.rng().chance(knobs.late_notices) {
                sim.made("notice: late");
                sim.history().trouble(sim.now());
                let late = Instant::now() + way + Duration::from_millis(sim.rng().between(1, 400));
                deliver(sim, from.database, late, node, ids, notice.clone());
                continue;
            }
            let place = (node, address.as_str());
            if sim.rng().chance(knobs.double_notices) {
                sim.made("notice: twice");
                self.deliver(sim, from.database, place, ids.clone(), notice.clone(), way);
                let again = Instant::now() + way + Duration::from_millis(sim.rng().between(1, 400));
                deliver(sim, from.database, again, node, ids, notice.clone());
                continue;
            }
            self.deliver(sim, from.database, place, ids, notice.clone(), way);
        }
    }

    fn deliver(
        &mut self,
        sim: &Arc<Sim>,
        database: usize,
        (node, address): (usize, &str),
        ids: Vec<u64>,
        notice: Notice,
        way: Duration,
    ) {
        let last = self.last.entry((node, address.to_owned())).or_insert_with(Instant::now);
        *last = (*last).max(Instant::now() + way);
        deliver(sim, database, *last, node, ids, notice);
    }

    fn hear(&self, id: u64, notice: Notice) {
        if let Some(ear) = self.listening.get(&id).filter(|ear| ear.link.is_open()) {
            // A watcher that is going away hears nothing.
            let _ = ear.sender.send(notice);
        }
    }
}

fn deliver(sim: &Arc<Sim>, database: usize, at: Instant, node: usize, ids: Vec<u64>, notice: Notice) {
    let this = Arc::clone(sim);
    sim.net.at(at, move || {
        this.trace.say(format_args!("node {node} hears {}", name(&notice)));
        let server = this.server(database);
        for id in ids {
            server.ears.hear(id, notice.clone());
        }
    });
}

fn name(notice: &Notice) -> &'static str {
    match notice {
        Notice::Reread => "Reread",
        Notice::Stored(_) => "Stored",
        Notice::Announced => "Announced",
        Notice::Released(_) => "Released",
        Notice::Kept(_) => "Kept",
        Notice::Deferred { .. } => "Deferred",
        Notice::Invalidated => "Invalidated",
        _ => "a notice of another kind",
    }
}

//! [`SimStore`]: what a node has of the simulated store, behind a network.

mod command;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::Instant;
use tower_memolock::store::{Acquire, Generation, Notice, Release, Renewed, Stamp, Standing, Token, Value, Watch};
use tower_memolock::{Address, Label, Store, StoreError, Tag};

use crate::link::Link;
use crate::server::Sender;
use crate::sim::Sim;

#[derive(Clone)]
pub(crate) struct SimStore {
    sim: Arc<Sim>,
    database: usize,
    link: Arc<Link>,
}

impl SimStore {
    pub(crate) fn new(sim: &Arc<Sim>, database: usize, link: &Arc<Link>) -> Self {
        Self {
            sim: Arc::clone(sim),
            database,
            link: Arc::clone(link),
        }
    }

    fn sender(&self, address: &str) -> Sender {
        Sender {
            sim: Arc::clone(&self.sim),
            database: self.database,
            node: self.link.node(),
            address: address.to_owned(),
        }
    }
}

impl Store for SimStore {
    type Watch = SimWatch;

    async fn lookup(&self, address: &Address) -> Result<Option<Value>, StoreError> {
        let from = self.sender(address.as_str());
        self.command("lookup", from, |server, from| server.lookup(from)).await
    }

    async fn acquire(&self, address: &Address, token: Token, lease: Duration) -> Result<Acquire, StoreError> {
        let from = self.sender(address.as_str());
        let acquired = self
            .command("acquire", from, move |server, from| server.acquire(from, token, lease))
            .await;
        if acquired.is_err() {
            self.link.refuse(self.sim.now(), address.as_str());
        }
        acquired
    }

    async fn renew(&self, address: &Address, token: Token, lease: Duration) -> Result<Renewed, StoreError> {
        let from = self.sender(address.as_str());
        self.command("renew", from, move |server, from| server.renew(from, token, lease))
            .await
    }

    async fn defer(&self, address: &Address, token: Token, lease: Duration, starts: u32) -> Result<bool, StoreError> {
        let from = self.sender(address.as_str());
        self.command("defer", from, move |server, from| {
            server.defer(from, token, lease, starts)
        })
        .await
    }

    async fn resolve(&self, address: &Address, value: &Value, ttl: Duration) -> Result<(), StoreError> {
        let (from, value) = (self.sender(address.as_str()), value.bytes()?);
        self.command("resolve", from, move |server, from| server.resolve(from, &value, ttl))
            .await
    }

    async fn commit(&self, address: &Address, token: Token, value: &Value, ttl: Duration) -> Result<bool, StoreError> {
        let (from, value) = (self.sender(address.as_str()), value.bytes()?);
        self.command("commit", from, move |server, from| {
            server.commit(from, token, &value, ttl)
        })
        .await
    }

    async fn release(&self, address: &Address, token: Token, reason: Release) -> Result<bool, StoreError> {
        let from = self.sender(address.as_str());
        let reason = match reason {
            // As it arrives elsewhere.
            Release::Shared(value) => Release::Shared(Value::encoded(value.bytes()?)),
            reason => reason,
        };
        self.command("release", from, move |server, from| server.release(from, token, reason))
            .await
    }

    async fn mark(&self, address: &Address, token: Token, marker: &Value, ttl: Duration) -> Result<bool, StoreError> {
        let (from, marker) = (self.sender(address.as_str()), marker.bytes()?);
        self.command("mark", from, move |server, from| server.mark(from, token, &marker, ttl))
            .await
    }

    async fn kept(&self, address: &Address, token: Token) -> Result<Option<Value>, StoreError> {
        let from = self.sender(address.as_str());
        self.command("kept", from, move |server, from| server.kept(from, token))
            .await
    }

    async fn unmark(&self, address: &Address, marker: &Value) -> Result<(), StoreError> {
        let (from, marker) = (self.sender(address.as_str()), marker.bytes()?);
        self.command("unmark", from, move |server, from| server.unmark(from, &marker))
            .await
    }

    async fn invalidate(&self, address: &Address) -> Result<(), StoreError> {
        let from = self.sender(address.as_str());
        let invalidated = self.command("invalidate", from, |server, from| {
            from.sim.history().invalidated(from);
            server.invalidate(from);
        });
        let invalidated = invalidated.await;
        if invalidated.is_err() {
            self.sim.history().not_invalidated(self.sim.moment(), self.link.node());
        }
        invalidated
    }

    async fn soften(&self, address: &Address) -> Result<(), StoreError> {
        let from = self.sender(address.as_str());
        let softened = self.command("soften", from, |server, from| {
            from.sim.history().invalidated(from);
            server.soften(from);
        });
        let softened = softened.await;
        if softened.is_err() {
            self.sim.history().not_invalidated(self.sim.moment(), self.link.node());
        }
        softened
    }

    async fn generation(&self, tag: &Tag) -> Result<Generation, StoreError> {
        let from = self.sender(tag.as_str());
        self.command("generation", from, |server, from| server.generation(from))
            .await
    }

    async fn begin_generation(&self, tag: &Tag) -> Result<Generation, StoreError> {
        let from = self.sender(tag.as_str());
        self.command("begin_generation", from, |server, from| server.begin_generation(from))
            .await
    }

    async fn standing(&self, tag: &Tag, stamp: &Stamp) -> Result<Standing, StoreError> {
        let (from, stamp) = (self.sender(tag.as_str()), stamp.clone());
        self.command("standing", from, move |server, from| server.standing(from, &stamp))
            .await
    }

    async fn invalidate_labels(&self, tag: &Tag, labels: &[Label]) -> Result<(), StoreError> {
        let from = self.sender(tag.as_str());
        let names: Vec<_> = labels.iter().map(|label| label.as_str().to_owned()).collect();
        self.command("invalidate_labels", from, move |server, from| {
            from.sim.history().invalidated(from);
            server.invalidate_labels(from, &names);
        })
        .await
    }

    async fn invalidate_all(&self, tag: &Tag) -> Result<(), StoreError> {
        let from = self.sender(tag.as_str());
        self.command("invalidate_all", from, |server, from| {
            from.sim.history().invalidated(from);
            server.invalidate_all(from);
        })
        .await
    }

    async fn soften_labels(&self, tag: &Tag, labels: &[Label]) -> Result<(), StoreError> {
        let from = self.sender(tag.as_str());
        let names: Vec<_> = labels.iter().map(|label| label.as_str().to_owned()).collect();
        self.command("soften_labels", from, move |server, from| {
            from.sim.history().invalidated(from);
            server.soften_labels(from, &names);
        })
        .await
    }

    async fn soften_all(&self, tag: &Tag) -> Result<(), StoreError> {
        let from = self.sender(tag.as_str());
        self.command("soften_all", from, |server, from| {
            from.sim.history().invalidated(from);
            server.soften_all(from);
        })
        .await
    }

    fn watch(&self, address: &Address) -> SimWatch {
        let (sender, notices) = unbounded_channel();
        let (sim, database) = (Arc::clone(&self.sim), self.database);
        let id = sim.server(database).ears.add(&self.link, address.as_str(), sender);
        self.link.count();
        sim.trace.say(format_args!(
            "node {} watches {database}/{}",
            self.link.node(),
            address.as_str()
        ));
        let at = Instant::now() + sim.way();
        let subscribing = Arc::clone(&sim);
        sim.net.at(at, move || {
            let mut server = subscribing.server(database);
            if !server.is_down {
                server.ears.subscribe(&subscribing, database, id);
            }
        });
        SimWatch {
            sim,
            database,
            id,
            notices,
        }
    }

    fn epoch(&self) -> u64 {
        self.link.epoch()
    }
}

pub(crate) struct SimWatch {
    sim: Arc<Sim>,
    database: usize,
    id: u64,
    notices: UnboundedReceiver<Notice>,
}

impl Watch for SimWatch {
    async fn next(&mut self) -> Notice {
        match self.notices.recv().await {
            Some(notice) => notice,
            // The node was buried.
            None => std::future::pending().await,
        }
    }
}

impl Drop for SimWatch {
    fn drop(&mut self) {
        self.sim.server(self.database).ears.remove(self.id);
    }
}

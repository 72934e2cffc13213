//! [`Gated`]: a store elsewhere, whose answers and notices can be held back.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;
use tower_memolock::store::{
    Acquire, Generation, MemoryWatch, Notice, Release, Renewed, Stamp, Standing, Token, Value, Watch,
};
use tower_memolock::{Address, Label, MemoryStore, Store, StoreError, StoreErrorKind, Tag};

/// One node's way to a store that others may share.
#[derive(Clone)]
pub(crate) struct Gated {
    pub(crate) store: MemoryStore,
    pub(crate) gates: Arc<Gates>,
}

#[derive(Default)]
pub(crate) struct Gates {
    /// On the way there.
    pub(crate) look: Gate,
    pub(crate) acquire: Gate,
    /// On the way back.
    pub(crate) acquired: Gate,
    pub(crate) renewed: Gate,
    pub(crate) committed: Gate,
    pub(crate) released: Gate,
    pub(crate) checked: Gate,
    /// On the way from the publisher to the watches here.
    pub(crate) notices: Gate,
    /// How many look-ups there were.
    pub(crate) looks: AtomicUsize,
    /// How many leases were renewed, or were not there to be.
    pub(crate) renewals: AtomicUsize,
    /// How often a caller asked whether a stamp is current.
    pub(crate) checks: AtomicUsize,
    /// How many watches there were.
    pub(crate) watches: AtomicUsize,
    /// What the next watch finds published when it is asked for the first time: not for it, but for those before it.
    pub(crate) interposed: Mutex<Option<(Token, Release)>>,
    /// Whether the next acquire is answered by a timeout, and executed once its gate is open.
    pub(crate) acquire_times_out: Gate,
    /// Holds back such an acquire for longer.
    pub(crate) overtaken: Gate,
}

/// Open at first.
pub(crate) struct Gate(watch::Sender<bool>);

impl Default for Gate {
    fn default() -> Self {
        Self(watch::Sender::new(true))
    }
}

impl Gate {
    pub(crate) fn close(&self) {
        self.0.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.0.send_replace(true);
    }

    fn is_closed(&self) -> bool {
        !*self.0.borrow()
    }

    async fn pass(&self) {
        let mut gate = self.0.subscribe();
        gate.wait_for(|open| *open).await.expect("a gate that exists");
    }
}

impl Gated {
    pub(crate) fn new(store: &MemoryStore) -> Self {
        Self {
            store: store.clone(),
            gates: Arc::default(),
        }
    }
}

impl Store for Gated {
    type Watch = GatedWatch;

    async fn lookup(&self, address: &Address) -> Result<Option<Value>, StoreError> {
        self.gates.looks.fetch_add(1, Ordering::SeqCst);
        self.gates.look.pass().await;
        tokio::task::yield_now().await;
        self.store.lookup(address).await
    }

    async fn acquire(&self, address: &Address, token: Token, lease: Duration) -> Result<Acquire, StoreError> {
        if self.gates.acquire_times_out.is_closed() {
            let (this, address) = (self.clone(), address.clone());
            tokio::spawn(async move {
                this.gates.acquire_times_out.pass().await;
                this.gates.overtaken.pass().await;
                this.store.acquire(&address, token, lease).await
            });
            return Err(StoreError::new(StoreErrorKind::Timeout));
        }
        self.gates.acquire.pass().await;
        let answer = self.store.acquire(address, token, lease).await;
        self.gates.acquired.pass().await;
        answer
    }

    async fn renew(&self, address: &Address, token: Token, lease: Duration) -> Result<Renewed, StoreError> {
        self.gates.renewals.fetch_add(1, Ordering::SeqCst);
        let answer = self.store.renew(address, token, lease).await;
        self.gates.renewed.pass().await;
        answer
    }

    async fn commit(&self, address: &Address, token: Token, value: &Value, ttl: Duration) -> Result<bool, StoreError> {
        let answer = self.store.commit(address, token, value, ttl).await;
        self.gates.committed.pass().await;
        answer
    }

    async fn release(&self, address: &Address, token: Token, reason: Release) -> Result<bool, StoreError> {
        let answer = self.store.release(address, token, reason).await;
        self.gates.released.pass().await;
        answer
    }

    async fn invalidate(&self, address: &Address) -> Result<(), StoreError> {
        self.store.invalidate(address).await
    }

    async fn soften(&self, address: &Address) -> Result<(), StoreError> {
        self.store.soften(address).await
    }

    async fn soften_labels(&self, tag: &Tag, labels: &[Label]) -> Result<(), StoreError> {
        self.store.soften_labels(tag, labels).await
    }

    async fn generation(&self, tag: &Tag) -> Result<Generation, StoreError> {
        self.store.generation(tag).await
    }

    async fn standing(&self, tag: &Tag, stamp: &Stamp) -> Result<Standing, StoreError> {
        self.gates.checks.fetch_add(1, Ordering::SeqCst);
        let answer = self.store.standing(tag, stamp).await;
        self.gates.checked.pass().await;
        answer
    }

    async fn invalidate_labels(&self, tag: &Tag, labels: &[Label]) -> Result<(), StoreError> {
        self.store.invalidate_labels(tag, labels).await
    }

    async fn invalidate_all(&self, tag: &Tag) -> Result<(), StoreError> {
        self.store.invalidate_all(tag).await
    }

    fn watch(&self, address: &Address) -> GatedWatch {
        self.gates.watches.fetch_add(1, Ordering::SeqCst);
        GatedWatch {
            watch: self.store.watch(address),
            address: address.clone(),
            interposed: self.gates.interposed.lock().unwrap().take(),
            way: self.clone(),
            held_back: None,
        }
    }
}

pub(crate) struct GatedWatch {
    watch: MemoryWatch,
    address: Address,
    interposed: Option<(Token, Release)>,
    way: Gated,
    held_back: Option<Notice>,
}

impl Watch for GatedWatch {
    async fn next(&mut self) -> Notice {
        let Gated { store, gates } = &self.way;
        if let Some((token, reason)) = self.interposed.take() {
            assert!(store.release(&self.address, token, reason).await.unwrap());
            self.watch = store.watch(&self.address);
        }
        let notice = match self.held_back.take() {
            Some(notice) => notice,
            None => self.watch.next().await,
        };
        let notice = self.held_back.insert(notice).clone();
        gates.notices.pass().await;
        self.held_back = None;
        notice
    }
}

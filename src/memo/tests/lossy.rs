//! [`Lossy`]: a store elsewhere, on the way to which questions are lost.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::Notify;

use super::{LEASE, SECOND, address};
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Address, Label, Tag};
use crate::memo::MemoLock;
use crate::store::{
    Acquire, Generation, Lock, MemoryStore, MemoryWatch, Release, Renewed, Stamp, Standing, Store, Token, Value,
};

/// One node's way to a store, on which questions are lost.
#[derive(Clone)]
pub(super) struct Lossy {
    pub(super) store: MemoryStore,
    /// Another store, where nothing is published for this node.
    silent: MemoryStore,
    losses: Arc<Mutex<HashMap<&'static str, StoreErrorKind>>>,
    asked: Arc<Mutex<Vec<(&'static str, Token)>>>,
    pub(super) is_deaf: bool,
    /// Holds back invalidations until it is told.
    pub(super) held: Option<Arc<Notify>>,
}

impl Lossy {
    pub(super) fn new() -> Self {
        Self {
            store: MemoryStore::new(),
            silent: MemoryStore::new(),
            losses: Arc::default(),
            asked: Arc::default(),
            is_deaf: false,
            held: None,
        }
    }

    pub(super) fn node(&self) -> MemoLock {
        MemoLock::new(self.clone(), "t").lease(LEASE)
    }

    /// From here on this question is answered so, and has no effect.
    pub(super) fn lose(&self, question: &'static str, kind: StoreErrorKind) {
        self.losses.lock().unwrap().insert(question, kind);
    }

    pub(super) fn lose_nothing(&self) {
        self.losses.lock().unwrap().clear();
    }

    fn ask(&self, question: &'static str, token: Token) -> Result<(), StoreError> {
        self.asked.lock().unwrap().push((question, token));
        match self.losses.lock().unwrap().get(question) {
            Some(kind) => Err(StoreError::new(*kind)),
            None => Ok(()),
        }
    }

    /// The tokens with which it was asked.
    pub(super) fn asked(&self, question: &str) -> Vec<Token> {
        let asked = self.asked.lock().unwrap();
        let asked = asked.iter().filter(|(name, _)| *name == question);
        asked.map(|(_, token)| *token).collect()
    }

    /// Whether another process can take the lock. It has it then.
    pub(super) async fn is_free(&self) -> bool {
        let acquired = self.store.acquire(&address(), Token::random(), 60 * SECOND).await;
        acquired.unwrap().lock == Lock::Granted
    }
}

impl Store for Lossy {
    type Watch = MemoryWatch;

    async fn lookup(&self, address: &Address) -> Result<Option<Value>, StoreError> {
        self.ask("lookup", Token::random())?;
        self.store.lookup(address).await
    }

    async fn acquire(&self, address: &Address, token: Token, lease: Duration) -> Result<Acquire, StoreError> {
        self.ask("acquire", token)?;
        self.store.acquire(address, token, lease).await
    }

    async fn renew(&self, address: &Address, token: Token, lease: Duration) -> Result<Renewed, StoreError> {
        self.ask("renew", token)?;
        self.store.renew(address, token, lease).await
    }

    async fn commit(&self, address: &Address, token: Token, value: &Value, ttl: Duration) -> Result<bool, StoreError> {
        self.ask("commit", token)?;
        self.store.commit(address, token, value, ttl).await
    }

    async fn release(&self, address: &Address, token: Token, reason: Release) -> Result<bool, StoreError> {
        let question = match reason {
            Release::Shared(_) => "share",
            _ => "release",
        };
        self.ask(question, token)?;
        self.store.release(address, token, reason).await
    }

    async fn invalidate(&self, address: &Address) -> Result<(), StoreError> {
        if let Some(held) = &self.held {
            held.notified().await;
        }
        self.store.invalidate(address).await
    }

    async fn generation(&self, tag: &Tag) -> Result<Generation, StoreError> {
        self.ask("generation", Token::random())?;
        self.store.generation(tag).await
    }

    async fn begin_generation(&self, tag: &Tag) -> Result<Generation, StoreError> {
        self.ask("begin_generation", Token::random())?;
        self.store.begin_generation(tag).await
    }

    async fn standing(&self, tag: &Tag, stamp: &Stamp) -> Result<Standing, StoreError> {
        self.ask("standing", Token::random())?;
        self.store.standing(tag, stamp).await
    }

    async fn invalidate_labels(&self, tag: &Tag, labels: &[Label]) -> Result<(), StoreError> {
        self.ask("invalidate_labels", Token::random())?;
        self.store.invalidate_labels(tag, labels).await
    }

    fn watch(&self, address: &Address) -> MemoryWatch {
        match self.is_deaf {
            true => self.silent.watch(address),
            false => self.store.watch(address),
        }
    }
}

//! A store of your own: the `Store` trait over a `HashMap`, for users with a database that is neither Redis nor
//! this process. What has expired is not found any more, but stays in memory; a real store would remove it.
//!
//! ```text
//! cargo run --example custom_store
//! cargo test --example custom_store --features test-util    # the contract, clause by clause
//! ```
//!
//! What counts is that each method tests the lock and acts in *one* step; here a mutex sees to that, elsewhere a
//! transaction or a script would.

use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
// A `println!` that does not panic when standard output is closed.
use support::println;
use tokio::sync::broadcast;
use tower_memolock::store::{Acquire, Lock, Notice, Release, Renewed, Token, Value, Watch};
use tower_memolock::{Address, MemoLock, Store, StoreError};

const USAGE: &str = "\
Usage: custom_store

Lets a hundred callers on two nodes share one computation through a store of this program's own.

  --help   this text";

#[derive(Clone, Default)]
struct TableStore {
    rows: Arc<Mutex<HashMap<Address, Row>>>,
}

/// What is known of one address.
struct Row {
    value: Option<(Bytes, Instant)>,
    lock: Option<(Token, Instant)>,
    /// As text, which any channel to other processes carries.
    notices: broadcast::Sender<Bytes>,
}

impl Default for Row {
    fn default() -> Self {
        Self {
            value: None,
            lock: None,
            notices: broadcast::channel(16).0,
        }
    }
}

impl Row {
    fn value(&self) -> Option<Value> {
        let (bytes, _) = self.value.as_ref().filter(|(_, end)| *end > Instant::now())?;
        Some(Value::encoded(bytes.clone()))
    }

    fn holder(&self) -> Option<(Token, Instant)> {
        self.lock.filter(|(_, end)| *end > Instant::now())
    }

    fn is_held_with(&self, token: Token) -> bool {
        self.holder().is_some_and(|(holder, _)| holder == token)
    }

    fn tell(&self, notice: &Notice) {
        // A result that cannot be encoded is for its own process alone.
        let payload = notice
            .to_payload()
            .or_else(|| Notice::Released(Release::Abandoned).to_payload());
        // Without a watcher there is no receiver.
        let _ = payload.map(|payload| self.notices.send(payload));
    }
}

impl TableStore {
    fn rows(&self) -> MutexGuard<'_, HashMap<Address, Row>> {
        self.rows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn with<T>(&self, address: &Address, step: impl FnOnce(&mut Row) -> T) -> T {
        step(self.rows().entry(address.clone()).or_default())
    }
}

impl Store for TableStore {
    type Watch = TableWatch;

    async fn lookup(&self, address: &Address) -> Result<Option<Value>, StoreError> {
        Ok(self.with(address, |row| row.value()))
    }

    async fn acquire(&self, address: &Address, token: Token, lease: Duration) -> Result<Acquire, StoreError> {
        Ok(self.with(address, |row| {
            let mut holder = None;
            let lock = match row.holder() {
                Some((other, end)) if other != token => {
                    holder = other.trace_context();
                    Lock::Held {
                        remaining: Some(end - Instant::now()),
                    }
                }
                _ => {
                    row.lock = Some((token, Instant::now() + lease));
                    Lock::Granted
                }
            };
            Acquire {
                lock,
                value: row.value(),
                holder,
            }
        }))
    }

    async fn renew(&self, address: &Address, token: Token, lease: Duration) -> Result<Renewed, StoreError> {
        Ok(self.with(address, |row| {
            let held = row.is_held_with(token);
            if held {
                row.lock = Some((token, Instant::now() + lease));
            }
            held.into()
        }))
    }

    async fn commit(&self, address: &Address, token: Token, value: &Value, ttl: Duration) -> Result<bool, StoreError> {
        // A store elsewhere keeps bytes; this fails where the value cannot be encoded.
        let bytes = value.bytes()?;
        Ok(self.with(address, |row| {
            let held = row.is_held_with(token);
            if held {
                row.value = Some((bytes, Instant::now() + ttl));
                row.lock = None;
                row.tell(&Notice::Stored(value.clone()));
            }
            held
        }))
    }

    async fn release(&self, address: &Address, token: Token, reason: Release) -> Result<bool, StoreError> {
        Ok(self.with(address, |row| {
            let held = row.is_held_with(token);
            if held {
                row.lock = None;
                row.tell(&Notice::Released(reason));
            }
            held
        }))
    }

    async fn invalidate(&self, address: &Address) -> Result<(), StoreError> {
        self.with(address, |row| {
            row.value = None;
            row.lock = None;
            row.tell(&Notice::Invalidated);
        });
        Ok(())
    }

    fn watch(&self, address: &Address) -> TableWatch {
        TableWatch {
            notices: self.with(address, |row| row.notices.subscribe()),
            confirmed: false,
        }
    }
}

struct TableWatch {
    notices: broadcast::Receiver<Bytes>,
    confirmed: bool,
}

impl Watch for TableWatch {
    async fn next(&mut self) -> Notice {
        // The contract: the first notice says that none can be missed any more.
        if !self.confirmed {
            self.confirmed = true;
            return Notice::Reread;
        }
        match self.notices.recv().await {
            // What says nothing costs a look as well.
            Ok(payload) => Notice::from_payload(&payload).unwrap_or(Notice::Reread),
            // Some were missed: the waiter looks for itself.
            Err(broadcast::error::RecvError::Lagged(_)) => Notice::Reread,
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    support::read_nothing(USAGE);

    let store = TableStore::default();
    // Two handles on one store behave like two processes.
    let nodes = [MemoLock::new(store.clone(), "demo"), MemoLock::new(store, "demo")];
    let callers: Vec<_> = (0..100)
        .map(|i| {
            let node = nodes[i % 2].clone();
            tokio::spawn(async move {
                let compute = || async {
                    println!("computing, once");
                    tokio::time::sleep(Duration::from_millis(200)).await;
                    Ok::<_, Infallible>(Bytes::from("the value"))
                };
                node.get_or_compute("id", compute).await
            })
        })
        .collect();
    for caller in callers {
        assert_eq!(caller.await??, "the value");
    }
    println!("a hundred callers on two nodes were answered");
    Ok(())
}

#[cfg(all(test, feature = "test-util"))]
mod tests {
    use tower_memolock::store::contract::{self, for_each_clause};

    use super::TableStore;

    macro_rules! tests {
        ($($clause:ident)*) => {$(
            #[tokio::test]
            async fn $clause() {
                let store = TableStore::default();
                contract::$clause(store.clone(), store).await;
            }
        )*};
    }
    // The methods with a default are as they were.
    for_each_clause!(tests, required);
}

//! The store against a real `redis-server`, started by each test on a port of its own.

mod bulk;
mod contract;
mod dial;
mod generations;
mod invalidations;
mod large;
mod near;
mod notices;
mod outage;
mod overtaken;
mod parts;
mod pending;
pub(super) mod scripted;
mod sentinel;
pub(super) mod server;
mod settled;
mod size;
mod staging;
mod stats;
mod steps;
mod wire;

use std::time::Duration;

use crate::key::{Address, Key, Tag};
use crate::store::{Notice, Watch};

/// The longest time that a step of a test may take.
const DEADLINE: Duration = Duration::from_secs(10);

fn address(id: &str) -> Address {
    Address::new(&Tag::new("t").unwrap(), &Key::new(id).unwrap())
}

/// An address that other members of the family do not know.
fn private_address() -> Address {
    let key = Key::builder().part("GET").part("a").build();
    Address::new(&Tag::new("t").unwrap(), &key)
}

/// The next notice, which has to come within `limit`.
async fn notice_within(watch: &mut impl Watch, limit: Duration) -> Notice {
    tokio::time::timeout(limit, watch.next())
        .await
        .expect("no notice in time")
}

async fn notice(watch: &mut impl Watch) -> Notice {
    notice_within(watch, DEADLINE).await
}

async fn reread(watch: &mut impl Watch) {
    let notice = notice(watch).await;
    assert!(matches!(notice, Notice::Reread), "{notice:?}");
}

/// Tries again until `attempt` returns something.
pub(super) async fn eventually<T>(mut attempt: impl AsyncFnMut() -> Option<T>) -> T {
    let tries = async {
        loop {
            if let Some(value) = attempt().await {
                return value;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, tries).await.expect("not in time")
}

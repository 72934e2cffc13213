//! The outside world of the tests: real processes, real sockets, all of them gone when the test is.

#![allow(dead_code, unused_imports, reason = "each test needs a part of it")]

mod client;
pub(crate) mod cluster;
mod errors;
mod fault_proxy;
mod fleet;
mod gate;
mod log;
mod member;
mod node;
mod origin;
mod process;
mod python;
mod raw;
mod redis;
mod redis_cluster;
mod sentinel;
mod slow_link;
mod tls;

use std::future::Future;
use std::time::Duration;

pub(crate) use self::client::{Answer, HttpClient, exchange, read_to_end, send_get};
pub(crate) use self::errors::{is_from_here, is_remote};
pub(crate) use self::fault_proxy::{Cut, Fault, FaultProxy, Injection, Link, Plane, Target};
pub(crate) use self::fleet::Fleet;
pub(crate) use self::gate::Gate;
pub(crate) use self::log::{Log, causes, listen_with};
pub(crate) use self::member::{Member, resolve_from_python};
pub(crate) use self::node::{Node, command, run_example};
pub(crate) use self::origin::{BodySender, Call, Origin, Reply};
pub(crate) use self::process::signal;
pub(crate) use self::python::{python, run_python};
pub(crate) use self::raw::{RawOrigin, raw_exchange};
pub(crate) use self::redis::{Monitor, RedisServer};
pub(crate) use self::redis_cluster::RedisCluster;
pub(crate) use self::sentinel::{MASTER, Sentinel, Sentinels};
pub(crate) use self::slow_link::SlowLink;
pub(crate) use self::tls::{Authority, Issued, TlsServer};

/// Longer than anything here takes on a slow and busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// Whatever `future` gives, unless it hangs.
///
/// # Panics
///
/// After [`PATIENCE`], naming `what` did not come.
pub(crate) async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what}: not within {PATIENCE:?}"),
    }
}

/// Waits until something outside this process, which can only be asked and takes a while to answer, has come true.
///
/// # Panics
///
/// As [`eventually`].
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

/// Waits until something outside this process, which can only be asked, has come true.
///
/// # Panics
///
/// After [`PATIENCE`], naming `what` did not come true.
pub(crate) async fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    within(what, async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

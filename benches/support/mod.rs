//! What the benches share: the service under the layer, its floor, a Redis server and the table of ratios.

// Every bench is a program of its own and uses a part of this.
#![allow(dead_code, unused_imports)]

mod collapse;
mod costs;
mod redis;
mod requests;
mod rounds;
mod table;

use std::time::Duration;

use criterion::Criterion;

pub(crate) use self::collapse::Collapse;
pub(crate) use self::costs::{Costs, cpu};
pub(crate) use self::redis::RedisServer;
pub(crate) use self::requests::{KEYS, get, handler, response, serve};
pub(crate) use self::rounds::{Rounds, median};
pub(crate) use self::table::{Table, Target};

/// The sizes of bodies, with their names.
pub(crate) const KIB: (&str, usize) = ("1 KiB", 1024);
pub(crate) const KIB_64: (&str, usize) = ("64 KiB", 64 * 1024);
pub(crate) const MIB: (&str, usize) = ("1 MiB", 1024 * 1024);

/// How the benches are built.
pub(crate) const BUILT: &str = "built as cargo builds for release, without what tests turn on in tokio";

/// Criterion, with spans that let all benches together end within a few minutes.
pub(crate) fn criterion() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_secs(1))
        .measurement_time(Duration::from_secs(4))
        .configure_from_args()
}

/// A runtime with as many workers as the machines that the targets are for have cores.
pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .expect("a runtime")
}

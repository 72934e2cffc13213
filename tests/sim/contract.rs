//! The simulated store keeps the contract of `Store`, or what is found above it says nothing.

use std::sync::Arc;

use tokio::runtime::Builder;
use tower_memolock::store::contract::{self, for_each_clause};

use crate::link::Link;
use crate::plan::Knobs;
use crate::rng::Rng;
use crate::sim::Sim;
use crate::store::SimStore;
use crate::trace::Tracing;

macro_rules! clauses {
    ($($clause:ident)*) => {
        $(
            let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
            runtime.block_on(async {
                let knobs = Knobs { latency: 20, store_rate: 100, ..Knobs::default() };
                let sim = Sim::new(knobs, Rng::new(1), Tracing::Off);
                let net = Arc::clone(&sim);
                tokio::spawn(async move { net.net.run().await });
                let [one, two] = [0, 1].map(|node| SimStore::new(&sim, 0, &Arc::new(Link::new(node))));
                contract::$clause(one, two).await;
            });
        )*
    };
}

/// Panics where it does not.
pub(crate) fn check() {
    for_each_clause!(clauses, required);
    for_each_clause!(clauses, optional);
    for_each_clause!(clauses, soft);
}

//! [`NodeWorld`]: one life of one node, as its code sees the system.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, SystemTime};

use tokio::io::DuplexStream;
use tokio::task::AbortHandle;
use tokio::time::Instant;
use tower_memolock::simulation::{Planted, World};

use crate::link::Link;
use crate::redis;
use crate::rng::Rng;
use crate::sim::Sim;

/// When every simulation begins.
pub(crate) const EPOCH: Duration = Duration::from_secs(1_800_000_000);

pub(crate) struct NodeWorld {
    rng: Mutex<Rng>,
    begun: Instant,
    /// How far its clock is ahead.
    skew: Duration,
    planted: Option<Planted>,
    /// The simulation and the link that connect this node, where there are connections.
    ends: (Arc<Sim>, Arc<Link>),
    has_ended: AtomicBool,
    tasks: Mutex<Vec<AbortHandle>>,
    /// The tasks that wait to run, while the process stands still.
    stopped: Mutex<Option<Vec<Waker>>>,
}

impl NodeWorld {
    pub(crate) fn new(mut rng: Rng, sim: &Arc<Sim>, link: &Arc<Link>, planted: Option<Planted>) -> Self {
        let skew = Duration::from_millis(rng.below(sim.knobs().skew + 1));
        Self {
            rng: Mutex::new(rng),
            begun: sim.begun,
            skew,
            planted,
            ends: (Arc::clone(sim), Arc::clone(link)),
            has_ended: AtomicBool::new(false),
            tasks: Mutex::default(),
            stopped: Mutex::default(),
        }
    }

    /// How many tasks there are.
    pub(crate) fn tasks(&self) -> usize {
        let mut tasks = self.tasks.lock().unwrap();
        tasks.retain(|task| !task.is_finished());
        tasks.len()
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.has_ended.load(Ordering::Relaxed)
    }

    /// The process stands still: no task of it runs, and its clocks go on.
    pub(crate) fn stop(&self) {
        self.stopped.lock().unwrap().get_or_insert_default();
    }

    pub(crate) fn stands_still(&self) -> bool {
        self.stopped.lock().unwrap().is_some()
    }

    /// The process goes on. Which of its tasks runs first is drawn.
    pub(crate) fn go_on(&self) {
        let mut tasks = self.stopped.lock().unwrap().take().unwrap_or_default();
        while !tasks.is_empty() {
            let next = self.rng.lock().unwrap().below(tasks.len() as u64);
            tasks.swap_remove(next as usize).wake();
        }
    }

    /// The process dies: nothing of it goes on, and nothing more begins.
    pub(crate) fn end(&self) {
        self.has_ended.store(true, Ordering::Relaxed);
        for task in std::mem::take(&mut *self.tasks.lock().unwrap()) {
            task.abort();
        }
    }
}

impl World for NodeWorld {
    fn random(&self) -> u64 {
        self.rng.lock().unwrap().next()
    }

    fn now(&self) -> SystemTime {
        SystemTime::UNIX_EPOCH + EPOCH + self.begun.elapsed() + self.skew
    }

    fn started(&self, task: AbortHandle) {
        if self.has_ended.load(Ordering::Relaxed) {
            task.abort();
            return;
        }
        let mut tasks = self.tasks.lock().unwrap();
        if tasks.len() == tasks.capacity() {
            tasks.retain(|task| !task.is_finished());
        }
        tasks.push(task);
    }

    fn connect(&self, _: &str, _: u16) -> Option<io::Result<DuplexStream>> {
        Some(redis::connect(&self.ends.0, &self.ends.1))
    }

    fn poll_runs(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.stopped.lock().unwrap() {
            Some(waiting) => {
                waiting.push(cx.waker().clone());
                Poll::Pending
            }
            None => Poll::Ready(()),
        }
    }

    fn has(&self, fault: Planted) -> bool {
        self.planted == Some(fault)
    }
}

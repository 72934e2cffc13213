//! A run: a plan is carried out, and everything is checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until};
use tower_memolock::simulation::Planted;

use crate::callers::{Wanted, all_answered, ask, job_for};
use crate::checks;
use crate::cluster::Cluster;
use crate::handler::Job;
use crate::has_panicked;
use crate::invalidation::{What, invalidate};
use crate::near;
use crate::plan::{End, LEASE, Op, Plan, Subject, Via};
use crate::rng::Rng;
use crate::sim::Sim;
use crate::trace::Tracing;

/// The key that is asked for on all nodes in the end.
const LAST: u64 = 9;

/// How long the client of Redis may go on to listen where no caller waits: subscriptions linger for ten seconds, and are looked
/// at once a second.
const LINGERS: Duration = Duration::from_secs(12);

/// How long it may keep an unused connection for large values.
const KEPT: Duration = Duration::from_secs(31);

#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) wrong: Option<String>,
    pub(crate) trace: String,
    pub(crate) transitions: BTreeMap<&'static str, u64>,
    pub(crate) answers: BTreeMap<&'static str, u64>,
    pub(crate) computations: usize,
    pub(crate) commands: u64,
    pub(crate) messages: u64,
}

/// Carries out `plan`, the same way every time.
pub(crate) fn carry_out(plan: &Plan, planted: Option<Planted>, tracing: Tracing) -> Report {
    in_a_runtime(async {
        let mut cluster = started(plan, planted, tracing).await;
        cluster.heal();
        quiet(&cluster).await;
        together_again(&cluster, plan).await;
        quiet(&cluster).await;
        checks::one_call(&cluster.sim, plan);
        if has_panicked() {
            cluster.sim.wrong(|| "something panicked".to_owned());
        }
        cluster.report()
    })
}

/// Carries out `plan` and nothing else, to see what that costs.
pub(crate) fn measure(plan: &Plan) -> Report {
    in_a_runtime(async {
        let cluster = started(plan, None, Tracing::Off).await;
        quiet(&cluster).await;
        cluster.report()
    })
}

pub(crate) fn in_a_runtime<T>(run: impl Future<Output = T>) -> T {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(run)
}

/// A cluster after all that the plan says has happened, and every caller has been answered.
async fn started(plan: &Plan, planted: Option<Planted>, tracing: Tracing) -> Cluster {
    let sim = Sim::new(plan.knobs, Rng::new(plan.luck).fork(2), tracing);
    started_in(sim, plan, planted).await
}

/// The same in a simulation that has begun.
pub(crate) async fn started_in(sim: Arc<Sim>, plan: &Plan, planted: Option<Planted>) -> Cluster {
    let net = Arc::clone(&sim);
    // It ends with the runtime.
    tokio::spawn(async move { net.net.run().await });
    let mut cluster = Cluster::start(&sim, plan, planted).await;
    let _looking = near::watch(&cluster);
    let begun = Instant::now();
    let mut asked = Vec::new();
    for (at, op) in &plan.ops {
        sleep_until(begun + Duration::from_millis(*at)).await;
        sim.trace.say(format_args!("{op:?}"));
        asked.extend(carry_out_one(&mut cluster, *op).await);
    }
    all_answered(&sim, asked).await;
    cluster
}

async fn carry_out_one(cluster: &mut Cluster, op: Op) -> Vec<JoinHandle<()>> {
    match op {
        Op::Ask {
            node,
            subject,
            count,
            cost,
            end,
            patience,
        } => {
            let job = job_for(subject, cost, end);
            return (0..count)
                .map(|_| ask(cluster, node, job, patience, Wanted::default()))
                .collect();
        }
        Op::Refresh {
            node,
            subject,
            cost,
            end,
        } => {
            let anew = true;
            let job = Job {
                anew,
                ..job_for(subject, cost, end)
            };
            return vec![ask(cluster, node, job, None, Wanted::default())];
        }
        Op::Invalidate {
            node,
            subject,
            how,
            soft,
            receipt,
            then,
        } => {
            let what = What { subject, how, soft };
            return vec![invalidate(cluster, node, what, receipt, then)];
        }
        Op::Crash { node, down } => cluster.crash(node, down).await,
        Op::Shutdown { node, grace } => {
            let node = cluster.node(node);
            let this = Arc::clone(&node);
            return vec![node.spawn(async move { this.shut_down(Duration::from_millis(grace)).await })];
        }
        Op::Cut { node, time, silent } => cluster.cut(node, time, silent),
        Op::Stop { node, time } => cluster.stop(node, time),
        Op::Stall { time } => cluster.stall(time),
        Op::StoreCrash { down } => cluster.crash_store(down),
        Op::Flush => cluster.flush(),
        Op::Evict { subject } => cluster.evict(subject, false),
        Op::EvictLock { subject } => cluster.evict(subject, true),
        Op::CutNotices { node, silent } => cluster.cut_notices(node, silent),
        Op::HoldNotices { node, time } => cluster.hold_notices(node, time),
        Op::Busy { time } => cluster.busy(time),
    }
    Vec::new()
}

/// Nothing is left a while after the last answer.
async fn quiet(cluster: &Cluster) {
    sleep(Duration::from_millis(4 * LEASE)).await;
    for lasts in [LINGERS, KEPT] {
        if cluster.plan.settings.redis && cluster.leftovers().is_some() {
            sleep(lasts).await;
        }
    }
    if let Some(left) = cluster.leftovers() {
        cluster
            .sim
            .wrong(|| format!("something is left when all is quiet: {left}"));
    }
}

/// After all that went wrong, one call for one key.
async fn together_again(cluster: &Cluster, plan: &Plan) {
    let sim = &cluster.sim;
    for via in [Via::Core, Via::Elsewhere, Via::Layer, Via::Tagged, Via::Made] {
        let before = sim.history().computations.len();
        let subject = Subject {
            via,
            key: LAST,
            tenant: 0,
        };
        let job = job_for(subject, 20, End::Well);
        let open = (0..plan.nodes).filter(|node| !cluster.node(*node).is_closed());
        let asked: Vec<_> = open
            .map(|node| ask(cluster, node, job, None, Wanted::default()))
            .collect();
        let expected = usize::from(!asked.is_empty());
        all_answered(sim, asked).await;
        let calls = sim.history().computations.len() - before;
        if calls != expected {
            sim.wrong(|| format!("{calls} calls for one key in a healthy cluster, through {via:?}"));
        }
    }
}

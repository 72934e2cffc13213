//! A run: a plan is carried out, and everything is checked.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tower_memolock::Receipt;
use tower_memolock::simulation::Planted;

use crate::checks::{self, Asked};
use crate::cluster::Cluster;
use crate::handler::Job;
use crate::has_panicked;
use crate::history::{Computation, Gone};
use crate::near;
use crate::node::{Answer, Node};
use crate::plan::{COMMAND_TIMEOUT, Class, End, How, LEASE, NearSettings, Op, Plan, Subject, Via, WAIT_TIMEOUT};
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

/// How long a client of Redis is cut off at most, and does not see that it is connected again.
const UNSURE: u64 = 4000;

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

/// What is invalidated, and in which way.
#[derive(Debug, Clone, Copy)]
struct What {
    subject: Subject,
    how: How,
    soft: bool,
}

/// What a caller wants besides an answer.
#[derive(Debug, Clone, Copy, Default)]
struct Wanted {
    receipt: Option<Receipt>,
    /// Nothing is to answer it that was begun before this moment.
    since: u64,
}

/// One caller.
fn ask(cluster: &Cluster, node: usize, job: Job, patience: Option<u64>, wanted: Wanted) -> JoinHandle<()> {
    let (sim, node, plan) = (Arc::clone(&cluster.sim), cluster.node(node), Arc::clone(&cluster.plan));
    let this = Arc::clone(&node);
    node.spawn(async move {
        let Node { index, life, .. } = *this;
        near::look(&sim, &this);
        let asked = Asked {
            subject: job.subject,
            node: index,
            life,
            begun_at: sim.now(),
            floor: sim.history().floor(job.subject, index, life),
            unsure: if plan.settings.redis { UNSURE } else { 0 },
            since: wanted.since,
            going_on: match job.anew && plan.class == Class::Healthy {
                true => sim.now().saturating_sub(checks::to_begin(&plan)),
                false => 0,
            },
        };
        let answer = match patience {
            Some(time) => timeout(Duration::from_millis(time), this.ask(job, wanted.receipt))
                .await
                .ok(),
            None => Some(this.ask(job, wanted.receipt).await),
        };
        let how = match &answer {
            Some(Answer::Value(bytes)) => {
                checks::answered(&sim, &asked, bytes);
                "a value"
            }
            Some(Answer::Failed(how)) => how,
            None => "left",
        };
        checks::in_time(&sim, &plan, &asked);
        sim.trace.say(format_args!("node {index} is answered: {how}"));
        *sim.history().answers.entry(how).or_default() += 1;
    })
}

fn job_for(subject: Subject, cost: u64, end: End) -> Job {
    Job {
        subject,
        cost,
        end,
        anew: false,
    }
}

/// Invalidates, and has callers ask that know of it. Resolves once they have been answered.
fn invalidate(cluster: &Cluster, node: usize, what: What, receipt: bool, then: [Option<usize>; 2]) -> JoinHandle<()> {
    let (cluster, node) = (cluster.clone(), cluster.node(node));
    tokio::spawn(async move {
        let this = Arc::clone(&node);
        let sim = Arc::clone(&cluster.sim);
        let near = cluster.plan.settings.near;
        let invalidated = node.spawn(async move { invalidate_on(&sim, &this, what, near).await });
        // The node has died.
        let Ok(invalidated) = invalidated.await else {
            return;
        };
        near::look_at_all(&cluster).await;
        let job = job_for(what.subject, cluster.plan.longest, End::Well);
        let then: Vec<_> = then.into_iter().flatten().collect();
        let wanted = match invalidated {
            Some(Acknowledged {
                receipt: shown, begun, ..
            }) if receipt => Wanted {
                receipt: Some(shown),
                since: begun,
            },
            _ => Wanted::default(),
        };
        let asked = then.iter().map(|node| ask(&cluster, *node, job, None, wanted));
        all_answered(&cluster.sim, asked.collect()).await;
        if let Some(Acknowledged { carried_out, .. }) = invalidated.filter(|_| what.soft && !then.is_empty()) {
            computed_anew(&cluster, job, carried_out, &then).await;
        }
    })
}

/// After a soft invalidation and callers that came then, the next ones get nothing from before it. Where those who came
/// then were answered while a computation from before was under way, what that stores is soft, and the next ones have it
/// computed anew.
async fn computed_anew(cluster: &Cluster, job: Job, carried_out: u64, nodes: &[usize]) {
    let (sim, plan, subject) = (&cluster.sim, &cluster.plan, job.subject);
    if plan.class != Class::Healthy || subject.via == Via::Made {
        return;
    }
    let is_under_way = |one: &Computation| one.subject == subject && one.begun < carried_out && one.ended_at.is_none();
    if sim.history().computations.iter().any(is_under_way) {
        until_refreshed(plan).await;
        sim.made("what was softly invalidated while it was computed is asked for");
        let asked = nodes
            .iter()
            .map(|node| ask(cluster, *node, job, None, Wanted::default()));
        all_answered(sim, asked.collect()).await;
    }
    until_refreshed(plan).await;
    let failed = |one: &Computation| one.subject == subject && one.end != End::Well && one.begun > carried_out;
    if sim.history().computations.iter().any(failed) {
        return;
    }
    sim.made("what was softly invalidated is asked for later");
    let wanted = Wanted {
        receipt: None,
        since: carried_out,
    };
    let asked = nodes.iter().map(|node| ask(cluster, *node, job, None, wanted));
    all_answered(sim, asked.collect()).await;
}

async fn until_refreshed(plan: &Plan) {
    let longest = 2 * plan.longest + 20 * plan.knobs.latency + LEASE;
    sleep(Duration::from_millis(longest)).await;
}

/// An invalidation that has returned.
#[derive(Clone, Copy)]
struct Acknowledged {
    receipt: Receipt,
    /// What is computed from here on sees the change that it is for.
    begun: u64,
    carried_out: u64,
}

async fn invalidate_on(sim: &Sim, node: &Node, what: What, near: Option<NearSettings>) -> Option<Acknowledged> {
    let What { subject, how, soft } = what;
    let begun = sim.moment();
    let job = job_for(subject, 1, End::Well);
    let gone = match how {
        How::Tag => Gone::Tagged,
        How::All => Gone::All(subject.via),
        How::Key | How::Change => Gone::One(subject),
    };
    let receipt = match how {
        How::Change => {
            node.change(job).await;
            // The client of an unsafe request is not told.
            if node.owes() {
                return None;
            }
            None
        }
        How::Key | How::Tag | How::All => {
            let invalidated = node.invalidate((gone, soft), job).await;
            if !soft {
                sim.history().returned(gone, (node.index, node.life), begun);
            }
            Some(invalidated.ok()?)
        }
    };
    if near.is_some_and(|near| near::is_out_of_promise(sim, node, near)) {
        return None;
    }
    sim.trace
        .say(format_args!("node {} has invalidated: {what:?}", node.index));
    let carried_out = sim.history().acknowledged((gone, soft), (node.index, node.life), begun);
    Some(Acknowledged {
        receipt: receipt?,
        begun,
        carried_out: carried_out?,
    })
}

/// Each caller whose process lives has an answer.
async fn all_answered(sim: &Arc<Sim>, asked: Vec<JoinHandle<()>>) {
    let end = Instant::now() + Duration::from_millis(WAIT_TIMEOUT + 60 * COMMAND_TIMEOUT + 6000);
    for caller in asked {
        match tokio::time::timeout_at(end, caller).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.is_cancelled() => sim.made("a caller died with its process"),
            Ok(Err(error)) => sim.wrong(|| format!("a caller panicked: {error}")),
            Err(_) => return sim.wrong(|| "a caller was never answered".to_owned()),
        }
    }
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

//! Invalidations, and callers that know of them.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;
use tower_memolock::Receipt;

use crate::callers::{Wanted, all_answered, ask, job_for};
use crate::cluster::Cluster;
use crate::handler::Job;
use crate::history::{Computation, Gone};
use crate::near;
use crate::node::Node;
use crate::plan::{Class, End, How, LEASE, NearSettings, Plan, Subject, Via};
use crate::sim::Sim;

/// How long no refresh follows a refresh that stored nothing, in milliseconds.
const REST: u64 = 1000;

/// What is invalidated, and in which way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct What {
    pub(crate) subject: Subject,
    pub(crate) how: How,
    pub(crate) soft: bool,
}

/// Invalidates, and has callers ask that know of it. Resolves once they have been answered.
pub(crate) fn invalidate(
    cluster: &Cluster,
    node: usize,
    what: What,
    receipt: bool,
    then: [Option<usize>; 2],
) -> JoinHandle<()> {
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
        let asked_at = cluster.sim.now();
        let asked = then.iter().map(|node| ask(&cluster, *node, job, None, wanted));
        all_answered(&cluster.sim, asked.collect()).await;
        if let Some(Acknowledged { carried_out, .. }) = invalidated.filter(|_| what.soft && !then.is_empty()) {
            computed_anew(&cluster, job, carried_out, asked_at, &then).await;
        }
    })
}

/// After a soft invalidation and a first wave of callers, a second wave gets nothing from before it. Where the first wave
/// was answered while a computation from before was under way, what that computation stores is soft, and the second wave
/// has it computed anew. So does the second wave where a refresh from before stored nothing, and the first came within
/// the rest of that refresh.
async fn computed_anew(cluster: &Cluster, job: Job, carried_out: u64, asked_at: u64, nodes: &[usize]) {
    let (sim, plan, subject) = (&cluster.sim, &cluster.plan, job.subject);
    if plan.class != Class::Healthy || subject.via == Via::Made {
        return;
    }
    let keeps_others_off = |one: &Computation| {
        let before = one.subject == subject && one.begun < carried_out;
        let rests = |ended_at: u64| one.end != End::Well && ended_at + REST > asked_at;
        before && one.ended_at.is_none_or(rests)
    };
    if sim.history().computations.iter().any(keeps_others_off) {
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

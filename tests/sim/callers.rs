//! Callers: each asks a node, and what it gets is checked.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};
use tower_memolock::Receipt;

use crate::checks::{self, Asked};
use crate::cluster::Cluster;
use crate::handler::Job;
use crate::near;
use crate::node::{Answer, Node};
use crate::plan::{COMMAND_TIMEOUT, Class, End, Subject, WAIT_TIMEOUT};
use crate::sim::Sim;

/// How long a client of Redis is cut off at most, and does not see that it is connected again.
const UNSURE: u64 = 4000;

/// What a caller wants besides an answer.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wanted {
    pub(crate) receipt: Option<Receipt>,
    /// Nothing is to answer it that was begun before this moment.
    pub(crate) since: u64,
}

/// One caller.
pub(crate) fn ask(cluster: &Cluster, node: usize, job: Job, patience: Option<u64>, wanted: Wanted) -> JoinHandle<()> {
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

pub(crate) fn job_for(subject: Subject, cost: u64, end: End) -> Job {
    Job {
        subject,
        cost,
        end,
        anew: false,
    }
}

/// Each caller whose process lives has an answer.
pub(crate) async fn all_answered(sim: &Arc<Sim>, asked: Vec<JoinHandle<()>>) {
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

//! What must hold, and how it is found that it does not.

use std::sync::Arc;

use crate::history::{Computation, Floor};
use crate::plan::{COMMAND_TIMEOUT, Class, End, LEASE, Plan, Subject, TTL, Via, WAIT_TIMEOUT};
use crate::sim::Sim;

/// What is computed: which subject it is for, by which computation, and that it is whole.
pub(crate) fn text(subject: Subject, computation: usize) -> String {
    let Subject { via, key, tenant } = subject;
    format!("<<{via:?}/{key}/{tenant}#{computation}>>")
}

/// Which computation made what is in these bytes, if they are whole.
pub(crate) fn computation_in(bytes: &[u8]) -> Option<(String, usize)> {
    let find = |mark: &[u8]| bytes.windows(2).position(|window| window == mark);
    let (begin, end) = (find(b"<<")? + 2, find(b">>")?);
    let text = std::str::from_utf8(bytes.get(begin..end)?).ok()?;
    let (subject, number) = text.split_once('#')?;
    Some((subject.to_owned(), number.parse().ok()?))
}

/// A value was taken by the store: at most one leader can do that, and only with what it began under this lock, which its
/// node has since then.
pub(crate) fn committed(sim: &Sim, address: &str, (since, holder): (u64, usize), value: &[u8]) {
    let Some((_, number)) = computation_in(value) else {
        return;
    };
    let history = sim.history();
    let Some(Computation { begun, node, .. }) = history.computations.get(number) else {
        drop(history);
        return sim.wrong(|| format!("what is committed at {address} was never computed"));
    };
    let (begun, node) = (*begun, *node);
    drop(history);
    if begun < since || node != holder {
        sim.wrong(|| {
            format!(
                "computation {number} of node {node} was committed at {address} under a lock that node {holder} got after it began"
            )
        });
    }
}

/// One request, as far as it can be wrong.
pub(crate) struct Asked {
    pub(crate) subject: Subject,
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) begun_at: u64,
    pub(crate) floor: Floor,
    /// For how long its node may not have reached the store after a trouble, in milliseconds.
    pub(crate) unsure: u64,
    /// The earliest moment at which what answers it may have begun.
    pub(crate) since: u64,
    /// When what answers it must have been going on at the earliest, in milliseconds.
    pub(crate) going_on: u64,
}

/// A request was answered with these bytes.
pub(crate) fn answered(sim: &Sim, asked: &Asked, bytes: &[u8]) {
    let Asked { subject, node, .. } = *asked;
    let Some((of, number)) = computation_in(bytes) else {
        return sim.wrong(|| {
            let text = String::from_utf8_lossy(bytes).into_owned();
            format!("node {node} was answered with a part of a body, as if it were whole: {text:?}")
        });
    };
    let Subject { via, key, tenant } = subject;
    if of != format!("{via:?}/{key}/{tenant}") {
        return sim.wrong(|| format!("node {node} asked for {subject:?} and was answered with {of}"));
    }
    let Some(made) = sim.history().computations.get(number).cloned() else {
        return sim.wrong(|| format!("node {node} was answered with what was never computed"));
    };
    // Any program that resolves a promise is believed.
    if via == Via::Made {
        return;
    }
    let Floor { anywhere, here } = asked.floor;
    let is_own = made.node == node && made.life == asked.life;
    let excused = is_own && !made.leased && made.begun >= here;
    if made.begun < anywhere {
        sim.made(if excused {
            "without the store: older than an invalidation elsewhere"
        } else {
            "too old"
        });
    }
    if made.begun < anywhere && !excused {
        sim.wrong(|| {
            format!(
                "node {node} asked for {subject:?} after an invalidation had returned, and was answered with computation \
                 {number} of node {} from before it ({} < {anywhere})",
                made.node, made.begun
            )
        });
    }
    if made.ended_at.is_some_and(|ended| ended < asked.going_on) {
        sim.wrong(|| {
            format!(
                "node {node} wanted {subject:?} computed, and was answered with computation {number}, which had ended"
            )
        });
    }
    // A store that is not reached cannot say what a receipt stands for.
    let then = asked.begun_at.saturating_sub(asked.unsure);
    if made.begun < asked.since && sim.history().troubles(then, sim.now()) == 0 {
        let since = asked.since;
        sim.wrong(|| {
            format!(
                "node {node} was answered with computation {number} of {subject:?} from before what it knows of ({} < {since})",
                made.begun
            )
        });
    }
}

/// How long before a computation begins its generation may have been asked for, or its lock: what was found and what was
/// heard meanwhile is looked at in between. With near copies turns of Redis take a while, and stamps are looked at more often.
pub(crate) fn to_begin(plan: &Plan) -> u64 {
    match plan.settings.near {
        Some(_) => 16 * plan.knobs.latency + 20,
        None => 10 * plan.knobs.latency + 5,
    }
}

/// A request has ended, after so many milliseconds.
pub(crate) fn in_time(sim: &Sim, plan: &Plan, asked: &Asked) {
    let now = sim.now();
    let took = now - asked.begun_at;
    let slack = 20 * plan.knobs.latency + 100;
    let documented = WAIT_TIMEOUT + 2 * plan.longest + 20 * COMMAND_TIMEOUT + slack;
    let history = sim.history();
    let over = history.computations.iter().filter(|one| {
        one.subject == asked.subject && one.end != End::Well && one.ended_at.is_none_or(|end| end >= asked.begun_at)
    });
    // What took the lock away before the computation began counts as well.
    let calls = over.count() as u64
        + history
            .carried_out_since(asked.subject, asked.begun_at.saturating_sub(to_begin(plan)))
            .count() as u64;
    // Where commands overtake each other, the lock of a caller that has left may outlast the command that gave it back.
    let overtaken = u64::from(plan.knobs.disorder);
    let troubles = history.troubles(asked.begun_at.saturating_sub(LEASE), now) + overtaken;
    drop(history);
    let each = LEASE + LEASE / 20 + plan.longest + 2 * COMMAND_TIMEOUT + slack;
    let bound = slack + (2 + calls) * plan.longest + calls * 8 * plan.knobs.latency + troubles * each;
    // Work that is not finished is started again once its lease has ended.
    let bound = if asked.subject.via == Via::Made {
        documented
    } else {
        bound.min(documented)
    };
    if took > bound {
        let Asked { node, subject, .. } = asked;
        sim.wrong(|| {
            format!("node {node} waited {took} ms for {subject:?}, and {bound} ms are the most ({troubles} troubles, {calls} calls more)")
        });
    }
}

/// In a healthy cluster one call is made for each key and generation.
pub(crate) fn one_call(sim: &Arc<Sim>, plan: &Plan) {
    if plan.class != Class::Healthy {
        return;
    }
    let history = sim.history();
    let mut before: Vec<(usize, &Computation)> = Vec::new();
    for (number, one) in history.computations.iter().enumerate() {
        if may_go_apart(&history.computations, one.subject) {
            continue;
        }
        let last = before.iter().position(|(_, last)| last.subject == one.subject);
        if let Some(place) = last {
            let (earlier, last) = before[place];
            let lifetime = TTL * 9 / 10;
            let is_over = last
                .ended_at
                .is_some_and(|ended| one.begun_at + plan.longest >= ended + lifetime);
            let since = last.begun_at.saturating_sub(to_begin(plan));
            let is_new = history
                .carried_out_since(one.subject, since)
                .any(|moment| moment < one.begun);
            if last.end == End::Well && !is_over && !is_new && !one.anew {
                let (node, other) = (one.node, last.node);
                let subject = one.subject;
                drop(history);
                return sim.wrong(|| {
                    format!(
                        "{subject:?} was computed twice, by computation {earlier} of node {other} and {number} of node {node}"
                    )
                });
            }
            before.remove(place);
        }
        before.push((number, one));
    }
}

/// Whether calls for it may go side by side: a result that is for its own caller leaves a marker, and after several failures
/// in a row callers wait for no other.
fn may_go_apart(computations: &[Computation], subject: Subject) -> bool {
    let of_it = || computations.iter().filter(|one| one.subject == subject);
    // Others finish it, perhaps after the lease.
    if subject.via == Via::Made && of_it().any(|one| one.ended_at.is_none_or(|end| end > one.begun_at + LEASE / 2)) {
        return true;
    }
    let is_private = of_it().any(|one| one.end == End::Private);
    is_private || of_it().filter(|one| one.end != End::Well).count() > 1
}

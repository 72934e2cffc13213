//! Schedules in which something was wrong once, with the seed that found it. A plan of its own, because what a seed draws
//! changes with what can be drawn.

use crate::plan::{Class, End, How, Knobs, NearSettings, Op, Plan, Settings, Subject, Via};
use crate::run::carry_out;
use crate::trace::Tracing;

/// What is wrong again, if anything is.
pub(crate) fn wrong_again() -> Option<String> {
    plans().into_iter().find_map(|(name, plan)| {
        let wrong = carry_out(&plan, None, Tracing::Off).wrong?;
        Some(format!("{name}: {wrong}\n{plan}"))
    })
}

fn plans() -> Vec<(&'static str, Plan)> {
    let settings = |streams| Settings {
        streams,
        stamped: true,
        ..PLAIN
    };
    let given_back = "a lease given back vouches for no tag";
    let mut plans = vec![
        (given_back, shutdown_after_invalidation(settings(false))),
        (given_back, shutdown_after_invalidation(settings(true))),
        (
            "no reader reads along later where it is not known when that was begun",
            unknown_generation(),
        ),
    ];
    let lost = [38, 127, 171, 292].map(|luck| ("a leader that steps down waits in its own flight", lost_work(luck)));
    plans.extend(lost);
    let outdated = [0, 1, 3, 6].map(|luck| {
        (
            "what is announced and of no use is asked for again",
            outdated_announcement(luck),
        )
    });
    plans.extend(outdated);
    let outlasted = [0, 1, 2, 3].map(|luck| ("a leader that has renewed its lease is not dead", renewed_lease(luck)));
    plans.extend(outlasted);
    let left = "a refresh that leaves its work to others keeps the lock";
    for luck in 0..8 {
        plans.push((left, refresh_by_others(luck, How::Key)));
        plans.push((left, refresh_by_others(luck, How::All)));
    }
    let starved = (0..4).map(|luck| ("leases of near copies leave time to subscribe", short_lag(luck)));
    plans.extend(starved);
    plans
}

fn plan(seed: u64, longest: u64, settings: Settings, ops: Vec<(u64, Op)>) -> Plan {
    Plan {
        seed,
        luck: seed,
        class: Class::Crashes,
        nodes: 3,
        longest,
        knobs: Knobs {
            latency: 5,
            store_rate: 100,
            ..Knobs::default()
        },
        settings,
        ops,
    }
}

const PLAIN: Settings = Settings {
    streams: false,
    stale: false,
    stamped: false,
    redis: false,
    near: None,
};

const PAGE: Subject = Subject {
    via: Via::Layer,
    key: 0,
    tenant: 0,
};

fn ask(node: usize, cost: u64) -> Op {
    Op::Ask {
        node,
        subject: PAGE,
        count: 1,
        cost,
        end: End::Well,
        patience: None,
    }
}

/// By the node 2; then the nodes 0 and 1 are asked.
const INVALIDATE_ALL: Op = Op::Invalidate {
    node: 2,
    subject: PAGE,
    how: How::All,
    soft: false,
    receipt: false,
    then: [Some(0), Some(1)],
};

/// Everything is invalidated while a node computes, callers that know of it join there, and the node shuts down.
fn shutdown_after_invalidation(settings: Settings) -> Plan {
    let shutdown = Op::Shutdown { node: 1, grace: 300 };
    plan(
        1322,
        1500,
        settings,
        vec![(0, ask(1, 1500)), (240, INVALIDATE_ALL), (600, shutdown)],
    )
}

/// Work is lost again and again, and the node that has it started loses touch with the store.
fn lost_work(luck: u64) -> Plan {
    let ask = |node| Op::Ask {
        node,
        subject: Subject { via: Via::Made, ..PAGE },
        count: 1,
        cost: 40,
        end: End::BreaksOff,
        patience: None,
    };
    let mut plan = plan(1987, 40, PLAIN, vec![(0, ask(0)), (100, ask(1))]);
    plan.luck = luck;
    plan.class = Class::Commands;
    plan.knobs.latency = 1;
    plan.knobs.lost_answers = 100;
    plan.knobs.lost_requests = 100;
    plan
}

/// What is announced is out of date by the time that it is read.
fn outdated_announcement(luck: u64) -> Plan {
    let settings = Settings { stamped: true, ..PLAIN };
    let subject = Subject { via: Via::Core, ..PAGE };
    let ask = |node| Op::Ask {
        node,
        subject,
        count: 1,
        cost: 60,
        end: End::Well,
        patience: None,
    };
    let invalidate = Op::Invalidate {
        node: 2,
        subject,
        how: How::All,
        soft: false,
        receipt: false,
        then: [None; 2],
    };
    let mut plan = plan(8736, 60, settings, vec![(0, ask(0)), (30, ask(1)), (118, invalidate)]);
    plan.luck = luck;
    plan.class = Class::Healthy;
    plan.knobs.latency = 10;
    plan.knobs.announced = 1000;
    plan
}

/// The store does not say in which generation a computation begins, and everything is invalidated while it goes on.
fn unknown_generation() -> Plan {
    let settings = Settings {
        streams: true,
        stamped: true,
        ..PLAIN
    };
    let mut plan = plan(28559, 1500, settings, vec![(0, ask(1, 1500)), (600, INVALIDATE_ALL)]);
    plan.class = Class::Commands;
    plan.knobs.lost_generations = 1000;
    plan
}

/// Callers with a receipt wait for longer than a lease, and what is stored then is from before it.
fn renewed_lease(luck: u64) -> Plan {
    let subject = Subject {
        via: Via::Tagged,
        ..PAGE
    };
    let ask = Op::Ask {
        node: 2,
        subject,
        count: 1,
        cost: 1500,
        end: End::Well,
        patience: None,
    };
    let invalidate = Op::Invalidate {
        node: 2,
        subject,
        how: How::Tag,
        soft: true,
        receipt: true,
        then: [Some(1), Some(2)],
    };
    let mut plan = plan(2658, 1500, PLAIN, vec![(0, ask), (650, invalidate)]);
    plan.luck = luck;
    plan.class = Class::Healthy;
    plan
}

/// What is softly invalidated is made anew by others, which takes a while.
fn refresh_by_others(luck: u64, how: How) -> Plan {
    let settings = Settings { stamped: true, ..PLAIN };
    let subject = Subject { via: Via::Made, ..PAGE };
    let ask = Op::Ask {
        node: 0,
        subject,
        count: 1,
        cost: 136,
        end: End::Well,
        patience: None,
    };
    let invalidate = Op::Invalidate {
        node: 1,
        subject,
        how,
        soft: true,
        receipt: false,
        then: [Some(1), Some(2)],
    };
    let mut plan = plan(2093, 400, settings, vec![(0, ask), (600, invalidate)]);
    plan.luck = luck;
    plan.class = Class::Healthy;
    plan
}

/// A lease of near copies is due again before Redis has answered to the last one, and a caller waits for another node.
fn short_lag(luck: u64) -> Plan {
    let near = NearSettings {
        lag: 60,
        bytes: 1 << 20,
        everywhere: true,
    };
    let settings = Settings {
        redis: true,
        near: Some(near),
        ..PLAIN
    };
    let subject = |key| Subject {
        via: Via::Core,
        key,
        ..PAGE
    };
    let ask = |node, key| Op::Ask {
        node,
        subject: subject(key),
        count: 1,
        cost: 60,
        end: End::Well,
        patience: None,
    };
    let mut ops: Vec<_> = [0, 200, 400].map(|at| (at, ask(0, 0))).into();
    for key in 1..5 {
        let at = 470 + key * 130;
        ops.extend([(at, ask(1, key)), (at + 20, ask(0, key))]);
    }
    let mut plan = plan(420, 60, settings, ops);
    plan.luck = luck;
    plan.class = Class::Healthy;
    plan.knobs.latency = 20;
    plan
}

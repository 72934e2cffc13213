//! A stampede: three processes with 300 requests each for one cold key, a handler that takes 50 ms, one Redis.
//!
//! Each process is this program run again (`node.rs`), and calls the layered service directly, without HTTP. The floor
//! is one process with 1,000 requests whose service collapses them with `moka`'s `get_with`. What counts is how often
//! the handler is called in all processes together, and how long after its 50 ms the last answer is there.
//!
//! The commands that Redis is sent are counted in stampedes of their own, because counting takes it time. Needs
//! `redis-server` on the path.

#[path = "../support/mod.rs"]
mod support;

mod node;

use std::time::Duration;

use criterion::{BenchmarkId, SamplingMode};
use node::{HANDLER, Node};
use support::{KIB, KIB_64, RedisServer, Rounds, Table, Target};

const PROCESSES: usize = 3;
const REQUESTS: usize = 300;
const FLOOR_REQUESTS: usize = 1000;

/// How long after the last answer nothing is sent any more.
const AFTERMATH: Duration = Duration::from_millis(100);

/// Lets all `nodes` loose at the same moment on a key of its own; how often the handler was called, and how long after
/// its end the last answer came.
fn stampede(nodes: &mut [Node], id: usize) -> (usize, Duration) {
    let start = node::soon();
    for node in nodes.iter_mut() {
        node.go(start, id);
    }
    let runs: Vec<_> = nodes.iter_mut().map(Node::result).collect();
    let calls = runs.iter().map(|run| run.calls).sum();
    let last = runs.iter().map(|run| run.last_answer).max().unwrap_or_default();
    (calls, last.saturating_sub(HANDLER))
}

/// How many stampedes are counted of each size.
const COUNTED: usize = 20;

/// The sizes of stampedes of which the commands are counted, in processes and requests of each, and how many there may be.
const COMMANDS: [(usize, usize, usize); 3] = [(PROCESSES, 200, 40), (1, 300, 10), (1, 1, 8)];

/// How many commands Redis is sent in stampedes of this size.
fn commands(server: &RedisServer, processes: usize, requests: usize, first: usize) -> Vec<usize> {
    let mut nodes: Vec<_> = (0..processes)
        .map(|_| Node::start(Some(&server.url()), requests, KIB.1))
        .collect();
    // Scripts are sent whole the first time.
    stampede(&mut nodes, first);
    let count = |id| {
        std::thread::sleep(AFTERMATH);
        let monitor = server.monitor();
        stampede(&mut nodes, id);
        std::thread::sleep(AFTERMATH);
        monitor.count(server)
    };
    (first + 1..=first + COUNTED).map(count).collect()
}

fn main() {
    if node::is_one() {
        return node::run();
    }
    let mut criterion = support::criterion();
    let server = RedisServer::start();
    let mut table = Table::new("last answer after the handler's end");
    let mut group = criterion.benchmark_group("stampede");
    group.sampling_mode(SamplingMode::Flat).sample_size(20);

    let mut id = 0;
    // A body of 64 KiB is over the inline limit with its head: each node reads it up to 20 ms later, at random.
    for ((name, size), target) in [(KIB, Target::AtMost(8e6)), (KIB_64, Target::None)] {
        let mut rounds = Rounds::default();
        let mut calls = Vec::new();
        let mut floor = [Node::start(None, FLOOR_REQUESTS, size)];
        let mut ours: Vec<_> = (0..PROCESSES)
            .map(|_| Node::start(Some(&server.url()), REQUESTS, size))
            .collect();
        group.bench_function(BenchmarkId::from_parameter(name), |bencher| {
            bencher.iter_custom(|iterations| {
                let mut total = Duration::ZERO;
                for _ in 0..iterations {
                    id += 1;
                    let (_, time_floor) = stampede(&mut floor, id);
                    let (called, time_ours) = stampede(&mut ours, id);
                    calls.push(called);
                    rounds.add(1, time_floor, time_ours);
                    total += time_ours;
                }
                total
            });
        });
        table.row(name, &rounds, target);
        if let Some(most) = calls.iter().max() {
            let least = calls.iter().min().unwrap_or(most);
            let stampedes = calls.len();
            table.note(format!(
                "  calls of the handler: {least} to {most} in {stampedes} stampedes (target 1)"
            ));
        }
    }
    group.finish();
    for (processes, requests, most) in COMMANDS {
        id += 1 + COUNTED;
        let mut counts = commands(&server, processes, requests, id - COUNTED);
        counts.sort_unstable();
        let (least, median, worst) = (counts[0], counts[COUNTED / 2], counts[COUNTED - 1]);
        let verdict = if worst <= most { "met" } else { "MISSED" };
        table.note(format!(
            "  commands of {processes} x {requests} requests: {least} to {worst}, {median} in the middle (target {most} at most) {verdict}"
        ));
    }
    criterion.final_summary();
    table.print();
}

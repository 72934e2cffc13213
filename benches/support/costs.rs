//! [`Costs`]: what a request takes that no other program on the machine can make more of; and the CPU time of a process.

use std::fmt;
use std::process::Command;

const FEW: usize = 1_024;
const MANY: usize = 11_264;

/// The instructions, allocations and bytes of one request, as valgrind counts them: the difference of two runs of this
/// program of different length.
pub(crate) struct Costs {
    pub(crate) instructions: f64,
    pub(crate) allocations: f64,
    pub(crate) bytes: f64,
}

impl Costs {
    /// Those of a copy of this program that finds `what` and a count in `variable`. `None` without valgrind.
    pub(crate) fn of(variable: &str, what: &str) -> Option<Self> {
        let each = |tool, label, figure| {
            let count = |requests| figures(variable, &format!("{what} {requests}"), tool, label, figure);
            Some((count(MANY)? - count(FEW)?) / (MANY - FEW) as f64)
        };
        Some(Self {
            instructions: each("callgrind", "Collected :", 0)?,
            bytes: each("dhat", "Total:", 0)?,
            allocations: each("dhat", "Total:", 1)?,
        })
    }

    /// What is measured here: so many requests were made, of which this one asks for fewer.
    pub(crate) fn made() -> usize {
        MANY
    }
}

impl fmt::Display for Costs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            instructions,
            allocations,
            bytes,
        } = self;
        write!(
            f,
            "{instructions:.0} instructions, {allocations:.1} allocations, {bytes:.0} bytes"
        )
    }
}

/// The number at this place behind the last `label` that the tool of valgrind writes.
fn figures(variable: &str, what: &str, tool: &str, label: &str, figure: usize) -> Option<f64> {
    let output = Command::new("valgrind")
        .args([&format!("--tool={tool}"), &format!("--{tool}-out-file=/dev/null")])
        .arg(std::env::current_exe().ok()?)
        .env(variable, what)
        .output()
        .ok()?;
    let told = String::from_utf8_lossy(&output.stderr);
    let (_, line) = told.rsplit_once(label)?;
    let numbers = line.split_whitespace().map(|word| word.replace(',', "").parse());
    numbers.filter_map(Result::ok).nth(figure)
}

/// The microseconds of CPU that a process has taken. Of Linux, to the hundredth of a second.
pub(crate) fn cpu(process: u32) -> f64 {
    const TICK: f64 = 10_000.0;
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    let (_, fields) = stat.rsplit_once(')').unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2);
    ticks.filter_map(|ticks| ticks.parse::<f64>().ok()).sum::<f64>() * TICK
}

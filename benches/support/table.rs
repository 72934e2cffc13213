//! [`Table`]: what a bench prints at its end.

use std::fmt;

use super::Rounds;

/// What a figure should be.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    /// At most this many times the floor's time.
    Times(f64),
    /// At most this many times the floor's time and so many nanoseconds.
    TimesPlus(f64, f64),
    /// At most so many nanoseconds, whatever the floor takes.
    AtMost(f64),
    /// At least this part of the floor's throughput.
    Throughput(f64),
    /// For the record.
    None,
}

impl Target {
    fn met(self, floor: f64, ours: f64, ratio: f64) -> Option<bool> {
        match self {
            Self::Times(most) => Some(ratio <= most),
            Self::TimesPlus(times, nanos) => Some(ours <= floor * times + nanos),
            Self::AtMost(nanos) => Some(ours <= nanos),
            Self::Throughput(least) => Some(1.0 / ratio >= least),
            Self::None => None,
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::Times(most) => format!("<= {most:.2}"),
            Self::TimesPlus(times, nanos) => format!("<= {times:.2} + {nanos:.0} ns"),
            Self::AtMost(nanos) => format!("<= {}", time(*nanos)),
            Self::Throughput(least) => format!(">= {least:.2}"),
            Self::None => String::new(),
        };
        f.pad(&text)
    }
}

/// Rows of floor, ours, ratio and target.
pub(crate) struct Table {
    rows: Vec<String>,
}

impl Table {
    pub(crate) fn new(title: &str) -> Self {
        Self {
            rows: vec![format!(
                "{title:<34} {:>10} {:>10} {:>7}  {:<17}",
                "floor", "ours", "ratio", "target"
            )],
        }
    }

    /// Adds the figures of one bench, if it ran.
    pub(crate) fn row(&mut self, name: &str, rounds: &Rounds, target: Target) {
        let (floor, ours, ratio) = (rounds.floor(), rounds.ours(), rounds.ratio());
        if ratio.is_nan() {
            return;
        }
        let verdict = match target.met(floor, ours, ratio) {
            Some(true) => "met",
            Some(false) => "MISSED",
            None => "",
        };
        let shown = if let Target::Throughput(_) = target {
            1.0 / ratio
        } else {
            ratio
        };
        let (floor, ours) = (time(floor), time(ours));
        let row = format!("{name:<34} {floor:>10} {ours:>10} {shown:>7.2}  {target:<17} {verdict}");
        self.rows.push(row.trim_end().to_owned());
    }

    /// Adds a line of text.
    pub(crate) fn note(&mut self, text: String) {
        self.rows.push(text);
    }

    pub(crate) fn print(&self) {
        println!("\n{}\n", self.rows.join("\n"));
    }
}

/// Nanoseconds in the unit that suits them.
pub(crate) fn time(nanos: f64) -> String {
    match nanos {
        n if n < 1e4 => format!("{n:.0} ns"),
        n if n < 1e6 => format!("{:.1} us", n / 1e3),
        n => format!("{:.2} ms", n / 1e6),
    }
}

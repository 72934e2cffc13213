//! [`Coverage`]: how many schedules went through what.

use std::collections::BTreeMap;
use std::fmt;

use crate::plan::{Class, Plan};
use crate::run::Report;

#[derive(Default)]
pub(crate) struct Coverage {
    schedules: u64,
    by_class: BTreeMap<Class, u64>,
    /// In how many schedules, and how often in all of them.
    transitions: BTreeMap<&'static str, (u64, u64)>,
    answers: BTreeMap<&'static str, u64>,
    computations: u64,
    commands: u64,
    messages: u64,
}

impl Coverage {
    pub(crate) fn add(&mut self, plan: &Plan, report: &Report) {
        self.schedules += 1;
        *self.by_class.entry(plan.class).or_default() += 1;
        for (transition, times) in &report.transitions {
            let entry = self.transitions.entry(transition).or_default();
            *entry = (entry.0 + 1, entry.1 + times);
        }
        for (answer, times) in &report.answers {
            *self.answers.entry(answer).or_default() += times;
        }
        self.computations += report.computations as u64;
        self.commands += report.commands;
        self.messages += report.messages;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        self.schedules += other.schedules;
        self.computations += other.computations;
        self.commands += other.commands;
        self.messages += other.messages;
        for (class, schedules) in &other.by_class {
            *self.by_class.entry(*class).or_default() += schedules;
        }
        for (transition, (schedules, times)) in &other.transitions {
            let entry = self.transitions.entry(transition).or_default();
            *entry = (entry.0 + schedules, entry.1 + times);
        }
        for (answer, times) in &other.answers {
            *self.answers.entry(answer).or_default() += times;
        }
    }
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            schedules,
            computations,
            commands,
            messages,
            ..
        } = self;
        writeln!(f, "{schedules} schedules: {:?}", self.by_class)?;
        writeln!(f, "callers: {:?}", self.answers)?;
        writeln!(
            f,
            "{computations} computations, {commands} commands, {messages} notices to nodes"
        )?;
        writeln!(f, "schedules    times  transition")?;
        for (transition, (schedules, times)) in &self.transitions {
            writeln!(f, "{schedules:>9} {times:>8}  {transition}")?;
        }
        Ok(())
    }
}

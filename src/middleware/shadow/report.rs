//! [`ShadowReport`]: the figures, and what they say.

use std::time::Duration;

use super::books::Books;
use super::route::RouteFigures;

/// With fewer requests, a route says nothing.
const FEW: u64 = 10;

/// How many fields and parameters are named.
const MOST_NAMED: usize = 8;

/// What a layer would have done since it went into shadow mode.
pub(crate) struct ShadowReport {
    pub(crate) age: Duration,
    pub(crate) routes: Vec<RouteReport>,
}

pub(crate) struct RouteReport {
    pub(crate) route: String,
    pub(crate) requests: u64,
    pub(crate) hits: u64,
    pub(crate) followed: u64,
    pub(crate) led: u64,
    /// By the reason.
    pub(crate) alone: Vec<(&'static str, u64)>,
    pub(crate) broken: u64,
    pub(crate) spent: Duration,
    pub(crate) saved: Duration,
    pub(crate) compared: u64,
    pub(crate) different: u64,
    pub(crate) missing: Vec<MissingField>,
    pub(crate) credentials: Vec<CredentialMet>,
    /// Parameters that made no difference, with how many pairs of requests say so.
    pub(crate) idle_parameters: Vec<(String, u64)>,
    pub(crate) advice: Advice,
    /// Why, in a sentence.
    pub(crate) why: String,
}

/// A field that goes with different responses to identical requests.
pub(crate) struct MissingField {
    pub(crate) field: String,
    /// Pairs of requests that differ in it: with different responses, and with the same.
    pub(crate) different: u64,
    pub(crate) same: u64,
}

/// A credential, and how many requests had it.
pub(crate) struct CredentialMet {
    pub(crate) field: String,
    pub(crate) requests: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Advice {
    SwitchOn,
    /// Something is missing in the key.
    ExtendKey,
    LeaveOff,
    /// There is not enough to go by.
    Wait,
}

impl Advice {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::SwitchOn => "switch on",
            Self::ExtendKey => "extend the key",
            Self::LeaveOff => "leave off",
            Self::Wait => "wait",
        }
    }
}

impl ShadowReport {
    pub(super) fn of(books: &Books, age: Duration) -> Self {
        let routes = books.routes.iter();
        let mut routes: Vec<_> = routes.map(|(name, figures)| report(name, figures, books)).collect();
        routes.sort_by_key(|route| std::cmp::Reverse(route.requests));
        Self { age, routes }
    }

    /// The routes for which the layer can be switched on as it is.
    pub(crate) fn switch_on(&self) -> impl Iterator<Item = &str> {
        let ready = self.routes.iter().filter(|route| route.advice == Advice::SwitchOn);
        ready.map(|route| route.route.as_str())
    }
}

impl RouteReport {
    /// Of all requests whose responses may be shared, those that would have been answered by what is stored.
    pub(crate) fn hit_ratio(&self) -> Option<f64> {
        ratio(self.hits, self.hits + self.led + self.followed)
    }

    /// Of all requests that would have found nothing, those that would have been answered by the computation of
    /// another.
    pub(crate) fn collapse_ratio(&self) -> Option<f64> {
        ratio(self.followed, self.led + self.followed)
    }

    /// Calls of the inner service that would not have been made.
    pub(crate) fn calls_saved(&self) -> u64 {
        self.hits + self.followed
    }
}

fn ratio(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

fn report(name: &str, figures: &RouteFigures, books: &Books) -> RouteReport {
    let missing = figures.fields.missing().into_iter().take(MOST_NAMED);
    let missing = missing.map(|(number, tally)| MissingField {
        field: books.field_names.name(number).to_owned(),
        different: tally.different,
        same: tally.same,
    });
    let idle = figures.parameters.idle().into_iter().take(MOST_NAMED);
    let idle = idle.map(|(number, pairs)| (books.parameter_names.name(number).to_owned(), pairs));
    let credentials = figures.credentials.iter().map(|(field, requests)| CredentialMet {
        field: field.clone(),
        requests: *requests,
    });
    let mut report = RouteReport {
        route: name.to_owned(),
        requests: figures.requests,
        hits: figures.hits,
        followed: figures.followed,
        led: figures.led,
        alone: figures.alone.iter().map(|(reason, count)| (*reason, *count)).collect(),
        broken: figures.broken,
        spent: figures.spent,
        saved: figures.saved,
        compared: figures.compared,
        different: figures.different,
        missing: missing.collect(),
        credentials: credentials.collect(),
        idle_parameters: idle.collect(),
        advice: Advice::Wait,
        why: String::new(),
    };
    (report.advice, report.why) = advice(&report);
    report
}

fn advice(report: &RouteReport) -> (Advice, String) {
    let RouteReport {
        requests,
        compared,
        different,
        ..
    } = *report;
    let spared = report.calls_saved();
    if different > 0 {
        let names: Vec<_> = report.missing.iter().map(|missing| missing.field.as_str()).collect();
        return match names.is_empty() {
            false => (
                Advice::ExtendKey,
                format!(
                    "{different} of {compared} responses were not the one that would have stood in for them, and what the \
                     requests differ in is {}: add it to the key, or have the response name it in Vary.",
                    names.join(", ")
                ),
            ),
            true => (
                Advice::LeaveOff,
                format!(
                    "{different} of {compared} responses were not the one that would have stood in for them, and no field of \
                     the requests tells why: the response depends on the time, on chance, or on what no field says."
                ),
            ),
        };
    }
    if requests < FEW {
        return (Advice::Wait, format!("{requests} requests are not enough to go by."));
    }
    if spared == 0 {
        let reason = report.alone.iter().max_by_key(|(_, count)| *count);
        let why = match reason {
            Some((reason, count)) if *count > report.led => {
                format!("No call would have been spared: {count} of {requests} requests are kept apart ({reason}).")
            }
            _ => "No call would have been spared: no two requests were the same while one was fresh or under way."
                .to_owned(),
        };
        return (Advice::LeaveOff, why);
    }
    let why = format!(
        "{spared} of {requests} calls would have been spared, and {:.1} of {:.1} seconds; all {compared} responses that were \
         compared are the ones that would have stood in for them.",
        report.saved.as_secs_f64(),
        report.spent.as_secs_f64(),
    );
    (Advice::SwitchOn, why)
}

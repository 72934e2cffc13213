//! [`History`]: what the nodes reported, and whether it may be so.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::mpsc::{self, UnboundedReceiver, UnboundedSender};

/// Everything that happened in one round.
#[derive(Clone)]
pub(crate) struct History {
    events: Arc<Mutex<Events>>,
    invalidated: UnboundedSender<usize>,
}

#[derive(Default)]
struct Events {
    began: HashMap<String, Began>,
    answers: HashMap<usize, Answer>,
    invalidations: Vec<Invalidation>,
    /// Orders without a report yet, with the node that has them.
    open: HashMap<usize, usize>,
    /// Of each node, at most.
    near_hits: HashMap<usize, u64>,
}

/// A computation. Times are those of [`now`](crate::node::now).
struct Began {
    request: usize,
    node: usize,
    key: String,
    at: u64,
}

struct Answer {
    node: usize,
    key: String,
    called: u64,
    returned: u64,
    /// The store let the node down while this request was under way.
    trouble: bool,
    /// An error has no value.
    value: Result<String, String>,
}

struct Invalidation {
    key: String,
    called: u64,
    returned: u64,
}

/// What a round came to.
#[derive(Debug, Default)]
pub(crate) struct Summary {
    pub(crate) answers: usize,
    pub(crate) computations: usize,
    pub(crate) errors: HashMap<String, usize>,
    pub(crate) invalidations: usize,
    pub(crate) slowest: Duration,
    /// Answers older than an invalidation, from a computation that had to do without the store.
    pub(crate) unfenced: usize,
    pub(crate) near_hits: u64,
}

impl History {
    /// The other end hears of each key that was invalidated.
    pub(crate) fn new() -> (Self, UnboundedReceiver<usize>) {
        let (invalidated, keys) = mpsc::unbounded_channel();
        let history = Self {
            events: Arc::default(),
            invalidated,
        };
        (history, keys)
    }

    fn events(&self) -> MutexGuard<'_, Events> {
        self.events.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A node is given an order.
    pub(crate) fn expect(&self, order: usize, node: usize) {
        self.events().open.insert(order, node);
    }

    /// A node is dead, and its orders with it.
    pub(crate) fn excuse(&self, node: usize) {
        self.events().open.retain(|_, at| *at != node);
    }

    /// Orders that should have been carried out by now or later.
    pub(crate) fn open(&self) -> Vec<usize> {
        self.events().open.keys().copied().collect()
    }

    /// Takes a line of a node.
    ///
    /// # Panics
    ///
    /// On anything that no node reports.
    pub(crate) fn report(&self, node: usize, line: &str) {
        let number = |word: &str| word.parse::<u64>().unwrap_or_else(|_| panic!("no number in {line:?}"));
        let request = |word: &str| {
            word.parse::<usize>()
                .unwrap_or_else(|_| panic!("no number in {line:?}"))
        };
        let words: Vec<&str> = line.split(' ').collect();
        let mut events = self.events();
        match words[..] {
            ["began", by, key, value, at] => {
                let began = Began {
                    request: request(by),
                    node,
                    key: key.to_owned(),
                    at: number(at),
                };
                let before = events.began.insert(value.to_owned(), began);
                assert!(before.is_none(), "{value} was computed twice");
            }
            ["got", of, key, called, returned, trouble, kind, value] => {
                let answer = Answer {
                    node,
                    key: key.to_owned(),
                    called: number(called),
                    returned: number(returned),
                    trouble: trouble == "true",
                    value: match kind {
                        "value" => Ok(value.to_owned()),
                        _ => Err(value.to_owned()),
                    },
                };
                events.open.remove(&request(of));
                let before = events.answers.insert(request(of), answer);
                assert!(before.is_none(), "request {of} was answered twice");
            }
            ["invalidated", of, key, called, returned, done] => {
                events.open.remove(&request(of));
                if done == "true" {
                    events.invalidations.push(Invalidation {
                        key: key.to_owned(),
                        called: number(called),
                        returned: number(returned),
                    });
                    // The round may be over.
                    let _ = self.invalidated.send(request(key));
                }
            }
            ["near", hits] => {
                let most = events.near_hits.entry(node).or_default();
                *most = number(hits).max(*most);
            }
            _ => panic!("not a report: {line:?}"),
        }
    }

    pub(crate) fn computations_of(&self, key: &str) -> usize {
        self.events().began.values().filter(|began| began.key == key).count()
    }

    pub(crate) fn values_of(&self, key: &str) -> usize {
        let events = self.events();
        let of_key = events.answers.values().filter(|answer| answer.key == key);
        of_key.filter(|answer| answer.value.is_ok()).count()
    }

    /// Checks every answer.
    ///
    /// # Errors
    ///
    /// Says which answer may not be.
    pub(crate) fn check(&self, bound: Duration) -> Result<Summary, String> {
        let events = self.events();
        let mut summary = Summary {
            computations: events.began.len(),
            invalidations: events.invalidations.len(),
            near_hits: events.near_hits.values().sum(),
            ..Summary::default()
        };
        for (request, answer) in &events.answers {
            let took = Duration::from_micros(answer.returned.saturating_sub(answer.called));
            summary.slowest = summary.slowest.max(took);
            summary.answers += 1;
            if took > bound {
                return Err(format!("request {request} took {took:?}"));
            }
            match &answer.value {
                Ok(value) => summary.unfenced += usize::from(events.check_value(*request, answer, value)?),
                Err(error) => *summary.errors.entry(error.clone()).or_default() += 1,
            }
        }
        Ok(summary)
    }
}

impl Events {
    /// Whether the value is older than an invalidation, and excused.
    fn check_value(&self, request: usize, answer: &Answer, value: &str) -> Result<bool, String> {
        let Some(began) = self.began.get(value) else {
            return Err(format!("request {request} got {value}, which no request computed"));
        };
        if began.key != answer.key {
            return Err(format!(
                "request {request} for {} got {value}, of key {}",
                answer.key, began.key
            ));
        }
        let outdated = self.invalidations.iter().find(|invalidation| {
            let later = began.at < invalidation.called && invalidation.returned < answer.called;
            invalidation.key == answer.key && later
        });
        let Some(invalidation) = outdated else {
            return Ok(false);
        };
        if self.is_unfenced(began, answer, value) {
            return Ok(true);
        }
        Err(format!(
            "request {request} on node {} called at {} got {value}, computed from {} on, although the key was \
             invalidated between {} and {}",
            answer.node, answer.called, began.at, invalidation.called, invalidation.returned
        ))
    }

    /// Whether the answer came to a request that joined a computation in its own process that had to do without the store,
    /// while it was under way.
    fn is_unfenced(&self, began: &Began, answer: &Answer, value: &str) -> bool {
        let Some(leader) = self.answers.get(&began.request) else {
            return false;
        };
        let own = leader.value.as_deref() == Ok(value) && leader.trouble;
        own && began.node == answer.node && answer.called <= leader.returned
    }
}

//! Keeping the map of the slots.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout_at};

use super::router::ClusterShared;
use super::view::View;
use crate::store::redis::conn::address::Endpoint;
use crate::store::redis::conn::denied::Denied;
use crate::store::redis::conn::dial::Dialer;
use crate::store::redis::conn::error::DialError;
use crate::store::redis::resp::{Pipeline, Reply};
use crate::task::{AllAtOnce, BoxFuture};

/// How often the map is looked at without a reason.
const PERIOD: Duration = Duration::from_secs(10);

/// The shortest and the longest time between two looks while there is a reason: a failover is noticed within about the
/// longer one.
const HURRY: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(400));

/// How long to wait for better answers after the first.
const HEARING: Duration = Duration::from_millis(100);

/// The nodes to ask when none of the masters answers.
pub(crate) struct Seeds {
    seeds: Vec<Dialer>,
    /// Each once.
    known: Mutex<Vec<Endpoint>>,
}

impl Seeds {
    /// There is at least one.
    pub(crate) fn new(seeds: Vec<Dialer>) -> Self {
        Self {
            seeds,
            known: Mutex::default(),
        }
    }

    /// A dialer for a master at `endpoint`.
    pub(crate) fn master_at(&self, endpoint: &Endpoint) -> Dialer {
        self.seeds[0].master_at(endpoint)
    }

    fn note(&self, view: &View) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.clear();
        let masters = view.ranges.iter().map(|(_, _, master)| master);
        for endpoint in masters.chain(&view.replicas) {
            if !known.contains(endpoint) {
                known.push(endpoint.clone());
            }
        }
    }

    /// The nodes last heard of, and the seeds as they were given.
    fn all(&self) -> Vec<Dialer> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let known = known.iter().map(|endpoint| self.seeds[0].node_at(endpoint));
        known.chain(self.seeds.iter().cloned()).collect()
    }
}

/// Looks at the map whenever there is a reason, without end.
pub(crate) async fn keep(shared: Arc<ClusterShared>) {
    let mut pause = HURRY.0;
    loop {
        if shared.topology().is_sound() {
            pause = HURRY.0;
            tokio::select! {
                () = shared.signals.trouble.notified() => sleep(HURRY.0).await,
                () = sleep(PERIOD) => {}
            }
        } else {
            pause = (pause * 2).min(HURRY.1);
            sleep(pause).await;
        }
        if let Err(error) = now(&shared).await {
            tracing::debug!(
                error = &error as &dyn std::error::Error,
                "no node tells the map of Redis Cluster"
            );
        }
    }
}

/// Asks all masters at once, and failing that all seeds, and takes over the best answer.
pub(crate) fn now(shared: &ClusterShared) -> BoxFuture<'_, Result<(), DialError>> {
    Box::pin(look_again(shared))
}

async fn look_again(shared: &ClusterShared) -> Result<(), DialError> {
    let mut asked = AllAtOnce::new();
    for node in shared.topology().nodes() {
        if node.commands.is_connected() {
            let node = Arc::clone(node);
            asked.add(Box::pin(async move {
                let replies = node.commands.send_all(&View::question()).await;
                Ok(replies.ok().and_then(|replies| View::read(&replies, &node.endpoint.0)))
            }));
        }
    }
    let mut best = best(asked).await;
    if best.is_err() {
        let mut asked = AllAtOnce::new();
        for dialer in shared.seeds.all() {
            asked.add(Box::pin(async move { ask(&dialer, &View::question()).await }));
        }
        best = self::best(asked).await;
    }
    let best = best?;
    shared.seeds.note(&best);
    shared.adopt(&best);
    Ok(())
}

/// Nodes that are asked for their views.
type Asked = AllAtOnce<'static, Result<Option<View>, DialError>>;

async fn ask(dialer: &Dialer, question: &Pipeline) -> Result<Option<View>, DialError> {
    let connection = dialer.direct().await?;
    let host = connection.endpoint().map(|(host, _)| host).unwrap_or_default();
    let replies = connection.send_all(question).await?;
    let denied = replies.iter().find_map(|reply| match reply {
        Reply::ServerError(error) if error.code() == "NOPERM" => Some(error),
        _ => None,
    });
    match denied {
        Some(error) => {
            let rules = ["+cluster|info", "+cluster|slots"].map(str::to_owned);
            let denied = Denied::new(dialer.user(), rules, error.clone().into());
            Err(DialError::Denied(denied))
        }
        None => Ok(View::read(&replies, &host)),
    }
}

/// The view of the node that knows most, among those that answer about as soon as the first.
fn best(asked: Asked) -> BoxFuture<'static, Result<View, DialError>> {
    Box::pin(choose(asked))
}

async fn choose(mut asked: Asked) -> Result<View, DialError> {
    let mut best: Option<View> = None;
    let mut failed = None;
    let mut until = Instant::now() + Duration::from_secs(60);
    while let Ok(Some(answer)) = timeout_at(until, asked.next()).await {
        match answer {
            Ok(Some(view)) => {
                if best.is_none() {
                    until = Instant::now() + HEARING;
                }
                if best.as_ref().is_none_or(|best| best.rank < view.rank) {
                    best = Some(view);
                }
            }
            Err(error) if error.is_permanent() => failed = Some(error),
            Err(error) => failed = failed.or(Some(error)),
            Ok(None) => {}
        }
    }
    best.ok_or_else(|| failed.unwrap_or(DialError::NoView))
}

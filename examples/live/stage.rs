//! [`Stage`]: what the buttons do.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::board::Board;
use super::clients::{Clients, Invalidated};
use super::errand::Way;
use super::fleet::Fleet;
use super::link::{Link, RedisLink};
use super::story;

/// How many requests come at once.
const HERD: u64 = 90;

/// How far apart the requests of the steady load are.
const PACE: Duration = Duration::from_millis(40);

/// How long it may take until callers that have just asked have a leader.
const HURRY: Duration = Duration::from_millis(300);

/// Nodes, clients and Redis.
pub(crate) struct Stage {
    pub(crate) board: Arc<Board>,
    clients: Clients,
    fleet: Fleet,
    link: Option<RedisLink>,
    _steady: JoinSet<()>,
}

impl Stage {
    pub(crate) fn new(board: Arc<Board>, fleet: Fleet, link: Option<RedisLink>) -> Self {
        let clients = Clients::new(Arc::clone(&board));
        let mut steady = JoinSet::new();
        steady.spawn(load(Arc::clone(&board), clients.clone()));
        Self {
            board,
            clients,
            fleet,
            link,
            _steady: steady,
        }
    }

    /// Does what the button of this name does. Says whether there is one.
    pub(crate) async fn act(&self, button: &str) -> bool {
        let board = &self.board;
        let now = board.switches();
        match button {
            "herd" => self.clients.send(board.herd(Way::Shared, HERD)),
            "herd-without" => self.clients.send(board.herd(Way::Bare, HERD)),
            "private" => self.clients.send(board.herd(Way::Private, 1)),
            "steady" => board.switch(|switches| switches.steady = !now.steady, match now.steady {
                false => "25 requests a second, spread over the three nodes, ask for the same report.",
                true => "The steady load is off.",
            }),
            "slow" => board.switch(|switches| switches.slow = !now.slow, match now.slow {
                false => "From now on the handler takes four seconds. The lease of its lock is renewed meanwhile.",
                true => "The handler takes a second and a half again.",
            }),
            "fail" => board.switch(|switches| switches.failing = !now.failing, match now.failing {
                false => "From now on the handler fails. What is stored still answers, stale as well for a while; a failure is not stored.",
                true => "The handler works again.",
            }),
            "kill-leader" => {
                board.call_begins(HURRY).await;
                if let Some(leader) = board.leader() {
                    self.fleet.kill(leader);
                }
            }
            "freeze-redis" => self.link(if now.link == Link::Frozen { Link::Open } else { Link::Frozen }),
            "cut-redis" => self.link(if now.link == Link::Cut { Link::Open } else { Link::Cut }),
            "invalidate" => self.invalidate().await,
            "reset" => {
                if let Some(link) = &self.link {
                    link.set(Link::Open);
                }
                board.reset();
            }
            _ => return false,
        }
        true
    }

    fn link(&self, to: Link) {
        match &self.link {
            Some(link) => {
                link.set(to);
                self.board.switch(|switches| switches.link = to, story::linked(to));
            }
            None => self.board.say(story::NO_REDIS),
        }
    }

    async fn invalidate(&self) {
        let since = self.board.invalidate();
        match self.clients.invalidate(&self.board.id()).await {
            Ok(Invalidated::Everywhere) => self.board.invalidated(since, None),
            Ok(Invalidated::On(node)) => self.board.invalidated(since, Some(node)),
            Err(error) => self
                .board
                .say(&format!("The report could not be invalidated: {error}.")),
        }
    }
}

/// Sends the steady load while it is on.
async fn load(board: Arc<Board>, clients: Clients) {
    let mut ticks = interval(PACE);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        ticks.tick().await;
        clients.send(board.steady().into_iter().collect());
    }
}

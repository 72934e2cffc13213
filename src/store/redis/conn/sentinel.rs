//! Where the master is, according to Redis Sentinel.
//!
//! All sentinels are asked at the same time, and the answer that most of them give counts most: a dead sentinel costs
//! nothing, and a sentinel that was cut off and still names the old master is outvoted. The server that they name is believed
//! only once it has said itself that it is a master.

use std::sync::{Arc, Mutex, PoisonError};

use super::address::Endpoint;
use super::connection::Connection;
use super::dial::Dialer;
use super::error::DialError;
use super::hello::text;
use crate::store::redis::resp::{Command, Reply};
use crate::task::{AllAtOnce, BoxFuture};

/// The sentinels that watch one master.
#[derive(Debug)]
pub(crate) struct Sentinels {
    master: String,
    members: Vec<Arc<Sentinel>>,
    /// The master that was last seen to be one.
    seen: Mutex<Option<Endpoint>>,
}

/// One sentinel and the connection to it, which is kept.
#[derive(Debug)]
struct Sentinel {
    dialer: Dialer,
    connection: Mutex<Option<Connection>>,
}

impl Sentinels {
    pub(crate) fn new(master: String, dialers: impl IntoIterator<Item = Dialer>) -> Self {
        let member = |dialer| {
            Arc::new(Sentinel {
                dialer,
                connection: Mutex::new(None),
            })
        };
        Self {
            master,
            members: dialers.into_iter().map(member).collect(),
            seen: Mutex::new(None),
        }
    }

    /// The name of the master.
    pub(crate) fn master(&self) -> &str {
        &self.master
    }

    /// Where the master may be, the likeliest place first.
    pub(crate) fn candidates(&self) -> BoxFuture<'_, Result<Vec<Endpoint>, DialError>> {
        Box::pin(self.ask_all())
    }

    async fn ask_all(&self) -> Result<Vec<Endpoint>, DialError> {
        let mut asked = AllAtOnce::new();
        for member in &self.members {
            asked.add(Box::pin(member.ask(&self.master)));
        }
        let mut votes: Vec<(Endpoint, usize)> = Vec::new();
        let mut failed = None;
        while let Some(answer) = asked.next().await {
            match answer {
                Ok(endpoint) => {
                    let known = votes.iter().position(|(other, _)| *other == endpoint);
                    let at = known.unwrap_or_else(|| {
                        votes.push((endpoint, 0));
                        votes.len() - 1
                    });
                    votes[at].1 += 1;
                    if votes[at].1 * 2 > self.members.len() {
                        break;
                    }
                }
                // An error that only an operator can repair says more than a sentinel that is down.
                Err(error) if error.is_permanent() => failed = Some(error),
                Err(error) => failed = failed.or(Some(error)),
            }
        }
        if votes.is_empty() {
            return Err(DialError::Sentinels(failed.map(Box::new)));
        }
        let mut ranking: Vec<(Endpoint, usize)> = Vec::new();
        for (endpoint, count) in votes {
            let at = ranking.partition_point(|(_, other)| *other >= count);
            ranking.insert(at, (endpoint, count));
        }
        Ok(ranking.into_iter().map(|(endpoint, _)| endpoint).collect())
    }

    /// There is a master at `endpoint`: it said so.
    pub(crate) fn saw(&self, endpoint: Endpoint) {
        *self.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(endpoint);
    }

    /// Whether the master was last seen at `endpoint`.
    pub(crate) fn is_at(&self, endpoint: &Endpoint) -> bool {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.as_ref().is_none_or(|seen| seen == endpoint)
    }
}

impl Sentinel {
    async fn ask(&self, master: &str) -> Result<Endpoint, DialError> {
        let connection = match self.kept() {
            Some(connection) => connection,
            None => self.dialer.direct().await?,
        };
        let mut command = Command::new("SENTINEL");
        command.arg("GET-MASTER-ADDR-BY-NAME").arg(master);
        let answer = connection.send(&command).await;
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = answer.is_ok().then_some(connection);
        match answer? {
            Reply::ServerError(error) => Err(DialError::NoSentinel(error.into())),
            Reply::Nil => Err(DialError::UnknownMaster(master.to_owned())),
            reply => endpoint(&reply).ok_or_else(|| DialError::NoSentinel(Reply::unreadable())),
        }
    }

    fn kept(&self) -> Option<Connection> {
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        connection.clone()
    }
}

/// Host and port, as a sentinel names a master.
fn endpoint(reply: &Reply) -> Option<Endpoint> {
    match reply {
        Reply::Array(parts) => match &parts[..] {
            [host, port] => Some((text(host)?.to_owned(), text(port)?.parse().ok()?)),
            _ => None,
        },
        _ => None,
    }
}

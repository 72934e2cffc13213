//! Tries at start-up what the Redis user has to be allowed, and says which permissions are missing.
//!
//! Every command is tried for real, on names that no program uses, because the commands made for this purpose (`ACL
//! DRYRUN`, `redis.acl_check_cmd`) are newer than the oldest server or need permissions of their own. Nothing is left
//! behind: a `SET .. XX` on an absent key sets nothing, and no client listens on the channels.

use std::sync::Arc;

use super::conn::connection::Connection;
use super::conn::denied::Denied;
use super::conn::dial::Dialer;
use super::conn::error::DialError;
use super::protocol::keyspace::Keyspace;
use super::resp::{Command, Pipeline, PushKind, Reply, ServerError};
use super::script;
use super::topology::link::Link;
use crate::error::{StoreError, StoreErrorKind};
use crate::key::{Address, Key, Tag};
use crate::store::Token;

/// Tries every command. The keys and channels belong to no tag, so an error that only forbids them says nothing.
pub(super) async fn check_commands(dialer: &Dialer, connection: &Connection) -> Result<(), DialError> {
    let address = unused(&Tag::from_literal("memolock"));
    let trial = AclTrial::new(&address, dialer.database(), dialer.is_in_cluster());
    let (data, channels) = (trial.data(), trial.channels());
    let pipeline = pipeline(&data);
    let (replies, more) = tokio::join!(connection.send_all(&pipeline), subscribe(dialer, &channels));
    let mut missing = Missing::new(AclRules::Commands);
    missing.judge(&data, &replies?);
    match more {
        Ok(more) => missing.judge(&channels, &more),
        Err(error) if error.is_permanent() => return Err(error),
        // The subscriber will find that out by itself, and say so.
        Err(_) => {}
    }
    missing.into_result(dialer.user()).map_err(DialError::Denied)
}

/// Tries every command on keys and channels of `tag`.
pub(super) async fn check_tag(link: &Link, tag: &Tag) -> Result<(), StoreError> {
    let address = unused(tag);
    let trial = AclTrial::new(&address, link.database(), link.is_cluster());
    let (data, channels) = (trial.data(), trial.channels());
    let mut missing = Missing::new(AclRules::All);
    // Permissions come first, so a node that would send a command elsewhere is as good as any.
    let (replies, dialer) = link.try_out(&pipeline(&data)).await?;
    missing.judge(&data, &replies);
    let more = subscribe(&dialer, &channels).await.map_err(|error| {
        let kind = if error.is_permanent() {
            error.kind()
        } else {
            StoreErrorKind::Unavailable
        };
        StoreError::with_source(kind, error)
    })?;
    missing.judge(&channels, &more);
    missing
        .into_result(dialer.user())
        .map_err(|denied| StoreError::with_source(StoreErrorKind::Rejected, denied))
}

/// An address at which no process computes anything.
fn unused(tag: &Tag) -> Address {
    let key = Key::builder().part("check").part(Token::random().to_string());
    Address::new(tag, &key.build())
}

/// One command to try, and the rule that allows its keys or channels.
struct Probe {
    name: &'static str,
    command: Command,
    pattern: String,
}

/// All that a store does, on the names of one address.
struct AclTrial<'a> {
    keys: Keyspace<'a>,
    tag: &'a str,
    cluster: bool,
}

impl<'a> AclTrial<'a> {
    fn new(address: &'a Address, database: i64, cluster: bool) -> Self {
        Self {
            cluster,
            keys: Keyspace::new(address, database),
            tag: address.tag(),
        }
    }

    fn data(&self) -> Vec<Probe> {
        let (value, lock) = (self.keys.value().to_owned(), self.keys.lock());
        let of_value = format!("~{}:*", self.tag);
        let of_lock = format!("~{}/lock:*", self.tag);
        let mut probes = vec![Probe::new("ping", &[], "")];
        for (key, pattern) in [(&value, &of_value), (&lock, &of_lock)] {
            probes.push(Probe::new("get", &[key], pattern));
            probes.push(Probe::new("set", &[key, "", "XX", "PX", "1"], pattern));
            probes.push(Probe::new("del", &[key], pattern));
        }
        if self.cluster {
            probes.push(Probe::new("asking", &[], ""));
        }
        let (set, of_set) = (self.keys.generations(), format!("~{}/gen:*", self.tag));
        probes.push(Probe::new("zscore", &[&set, ""], &of_set));
        probes.push(Probe::new("zrevrange", &[&set, "0", "0"], &of_set));
        probes.push(Probe::new("zadd", &[&set, "XX", "0", ""], &of_set));
        probes.push(Probe::new("zcard", &[&set], &of_set));
        probes.push(Probe::new("zremrangebyrank", &[&set, "0", "0"], &of_set));
        probes.push(Probe::new("time", &[], ""));
        probes.push(Probe::new("pttl", &[&lock], &of_lock));
        probes.push(Probe::new("pexpire", &[&lock, "1"], &of_lock));
        for (channel, pattern) in self.named_channels() {
            probes.push(Probe::new("publish", &[&channel, ""], &pattern));
            if self.cluster {
                probes.push(Probe::new("spublish", &[&channel, ""], &pattern));
            }
        }
        // The one script that changes nothing about a lock which is not there.
        let (lock, args) = ([lock.as_str()], [b"".as_slice(), b"1"]);
        for (name, command) in [
            ("eval", script::RENEW.code(false).complete(&lock, &args)),
            ("evalsha", script::RENEW.code(false).cached(&lock, &args)),
        ] {
            let pattern = of_lock.clone();
            probes.push(Probe { name, command, pattern });
        }
        probes
    }

    fn channels(&self) -> Vec<Probe> {
        let mut probes = vec![Probe::new("ping", &[], "")];
        let names = ["subscribe", "unsubscribe", "ssubscribe", "sunsubscribe"];
        for name in &names[..if self.cluster { 4 } else { 2 }] {
            for (channel, pattern) in self.named_channels() {
                probes.push(Probe::new(name, &[&channel], &pattern));
            }
        }
        probes
    }

    fn named_channels(&self) -> [(String, String); 2] {
        let tag = self.tag;
        [
            (self.keys.promise(), format!("&{tag}/notif:*")),
            (self.keys.control(), format!("&{tag}{}*", self.keys.control_infix())),
        ]
    }
}

impl Probe {
    fn new(name: &'static str, args: &[&str], pattern: &str) -> Self {
        let mut command = Command::new(name);
        for arg in args {
            command.arg(arg);
        }
        Self {
            name,
            command,
            pattern: pattern.to_owned(),
        }
    }
}

fn pipeline(probes: &[Probe]) -> Pipeline {
    let mut pipeline = Pipeline::with_capacity(probes.len());
    for probe in probes {
        pipeline.add(probe.command.clone());
    }
    pipeline
}

/// Tries them on a connection for subscriptions, which is closed again.
async fn subscribe(dialer: &Dialer, probes: &[Probe]) -> Result<Vec<Reply>, DialError> {
    let connection = dialer.notifications(Arc::new(drop)).await?;
    let mut replies = Vec::with_capacity(probes.len());
    for probe in probes {
        let command = &probe.command;
        replies.push(match PushKind::read(probe.name.as_bytes()).is_confirmation() {
            true => connection.subscribe(command).await?,
            false => connection.send(command).await?,
        });
    }
    Ok(replies)
}

/// The rules that would have allowed what was refused.
struct Missing {
    of: AclRules,
    /// Sorted.
    rules: Vec<String>,
    error: Option<ServerError>,
}

/// Which rules to look at.
#[derive(Clone, Copy, PartialEq)]
enum AclRules {
    Commands,
    All,
}

impl Missing {
    fn new(of: AclRules) -> Self {
        Self {
            of,
            rules: Vec::new(),
            error: None,
        }
    }

    fn judge(&mut self, probes: &[Probe], replies: &[Reply]) {
        for (probe, reply) in probes.iter().zip(replies) {
            // Any other error shows that the command was allowed.
            let Reply::ServerError(error) = reply else { continue };
            if error.code() != "NOPERM" {
                continue;
            }
            let rule = if error.details().is_some_and(|text| text.contains("permissions to run")) {
                format!("+{}", probe.name)
            } else if self.of == AclRules::All {
                probe.pattern.clone()
            } else {
                continue;
            };
            if let Err(at) = self.rules.binary_search(&rule) {
                self.rules.insert(at, rule);
            }
            self.error.get_or_insert_with(|| error.clone());
        }
    }

    fn into_result(self, user: &str) -> Result<(), Denied> {
        match self.error {
            Some(error) => Err(Denied::new(user, self.rules, error.into())),
            None => Ok(()),
        }
    }
}

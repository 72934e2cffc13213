//! [`NearTag`]: the near copies of one tag; [`FeedTag`]: how far they have got with one server.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use super::lease::{Backing, NearLease};
use crate::key::{Address, Key, Tag};
use crate::store::Token;
use crate::store::redis::protocol::keyspace::Keyspace;

/// The names that belong to a tag's near copies.
pub(crate) struct NearNames {
    /// Its own address, at which nothing is stored.
    pub(crate) address: Address,
    pub(crate) database: i64,
    pub(crate) generations: String,
    /// The sorted set of all processes that may have copies.
    pub(crate) members: String,
    /// The key by which this process finds out whether it hears what it writes where the set is.
    pub(crate) canary: String,
    /// The channel of notices.
    pub(crate) notices: String,
    /// The channel of acknowledgements for this process.
    pub(crate) replies: String,
}

impl NearNames {
    pub(crate) fn new(tag: &Tag, database: i64, process: Token) -> Self {
        let address = Address::new(tag, &Key::builder().part(tag.as_str()).build());
        let keys = Keyspace::new(&address, database);
        let generations = keys.generations();
        let (members, notices) = (format!("{generations}/near"), format!("{}/near", keys.control()));
        Self {
            canary: format!("{members}/{process}"),
            replies: format!("{notices}/{process}"),
            address,
            database,
            generations,
            members,
            notices,
        }
    }

    /// The channel of acknowledgements for another process.
    pub(crate) fn replies_of(&self, process: Token) -> String {
        format!("{}/{process}", self.notices)
    }

    /// The same key as the canary, where a value is.
    pub(crate) fn canary_at(address: &Address, process: Token) -> String {
        format!("{}/near/{process}", Keyspace::new(address, 0).generations())
    }
}

/// How far a request to a server has got on the present connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Switch {
    #[default]
    Off,
    Asked,
    On,
    /// The server has refused.
    Refused,
}

/// A command to send on the connection for notifications.
#[derive(Debug)]
pub(crate) enum NearStep {
    Subscribe(String),
    /// Has the server tell of all changes of keys with these prefixes, for the tag.
    Track {
        tag: String,
        prefixes: [String; 2],
    },
}

/// What this process knows of the near copies of one tag.
pub(crate) struct NearTag {
    pub(crate) names: NearNames,
    /// Counts the news of the generations.
    pub(crate) generations: Arc<AtomicU64>,
    /// Whether copies are wanted here.
    pub(crate) copies: AtomicBool,
    /// The set of processes may have changed.
    pub(crate) recheck: AtomicBool,
    /// The number under which this process is in the set, or 0.
    pub(crate) score: AtomicU64,
    home: Mutex<TagHome>,
}

/// The server with the set and the channels of a tag.
#[derive(Default)]
struct TagHome {
    /// The term in which this process has joined the processes that have copies.
    joined: Option<Backing>,
    /// Where it was last.
    last: Option<Arc<NearLease>>,
    /// Since when it is there, unless it is the first.
    moved: Option<Instant>,
}

impl NearTag {
    pub(crate) fn new(names: NearNames) -> Self {
        Self {
            names,
            generations: Arc::default(),
            copies: AtomicBool::new(false),
            recheck: AtomicBool::new(false),
            score: AtomicU64::new(0),
            home: Mutex::default(),
        }
    }

    pub(crate) fn name(&self) -> &str {
        self.names.address.tag()
    }

    pub(crate) fn keys(&self) -> Keyspace<'_> {
        Keyspace::new(&self.names.address, self.names.database)
    }

    /// No stamp is known to be current any more.
    pub(crate) fn outdate(&self) {
        self.generations.fetch_add(1, Ordering::AcqRel);
    }

    /// Where this process has joined those that have copies, if that still holds.
    pub(crate) fn joined(&self) -> Option<Backing> {
        self.home().joined.clone().filter(Backing::holds)
    }

    pub(crate) fn join(&self, at: Backing) {
        self.home().joined = Some(at);
    }

    /// Takes note of where the set is. Returns since when it is there, unless it was always there.
    pub(crate) fn moved(&self, to: &Arc<NearLease>) -> Option<Instant> {
        let mut home = self.home();
        match &home.last {
            Some(last) if Arc::ptr_eq(last, to) => {}
            last => {
                home.moved = last.is_some().then(Instant::now);
                home.last = Some(Arc::clone(to));
            }
        }
        home.moved
    }

    fn home(&self) -> MutexGuard<'_, TagHome> {
        self.home.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How far the near copies of one tag have got with one server.
pub(crate) struct FeedTag {
    pub(crate) tag: Arc<NearTag>,
    /// The key by which this process finds out whether it hears what it writes, and its address.
    pub(crate) canary: (Address, String),
    /// Whether this is where the set and the channels are.
    pub(crate) is_home: bool,
    /// Whether copies of values there are wanted.
    pub(crate) copies: bool,
    /// Whether acknowledgements are wanted.
    pub(crate) answers: bool,
    pub(crate) notices: Switch,
    pub(crate) replies: Switch,
    pub(crate) tracking: Switch,
    /// How often the canary was heard.
    pub(crate) canaries: u64,
    /// The term in which it was found out that this connection hears what the one for commands writes.
    pub(crate) proven: Option<u64>,
}

impl FeedTag {
    pub(crate) fn new(tag: Arc<NearTag>) -> Self {
        Self {
            canary: (tag.names.address.clone(), tag.names.canary.clone()),
            tag,
            is_home: false,
            copies: false,
            answers: false,
            notices: Switch::Off,
            replies: Switch::Off,
            tracking: Switch::Off,
            canaries: 0,
            proven: None,
        }
    }

    /// The set and the channels are here from now on.
    pub(crate) fn come_home(&mut self) {
        if !std::mem::replace(&mut self.is_home, true) {
            let names = &self.tag.names;
            self.canary = (names.address.clone(), names.canary.clone());
        }
    }

    /// What is to be asked for now.
    pub(crate) fn next_steps(&mut self, steps: &mut Vec<NearStep>) {
        let names = &self.tag.names;
        if self.is_home && self.replies == Switch::Off && (self.copies || self.answers) {
            self.replies = Switch::Asked;
            steps.push(NearStep::Subscribe(names.replies.clone()));
        }
        if !self.copies {
            return;
        }
        if self.is_home && self.notices == Switch::Off {
            self.notices = Switch::Asked;
            steps.push(NearStep::Subscribe(names.notices.clone()));
        }
        if self.tracking == Switch::Off {
            self.tracking = Switch::Asked;
            let tag = names.address.tag().to_owned();
            let prefixes = [format!("{tag}:"), format!("{tag}/gen:")];
            steps.push(NearStep::Track { tag, prefixes });
        }
    }

    /// Whether all that is needed for copies is there, apart from the proof.
    pub(crate) fn is_prepared(&self) -> bool {
        self.copies && self.tracking == Switch::On && (!self.is_home || self.notices == Switch::On)
    }

    /// The connection is gone, or another one.
    pub(crate) fn reset(&mut self) {
        (self.notices, self.replies, self.tracking) = (Switch::Off, Switch::Off, Switch::Off);
        self.tag.outdate();
    }

    /// Refused steps are asked for once more.
    pub(crate) fn retry(&mut self) {
        for channel in [&mut self.notices, &mut self.replies] {
            if *channel == Switch::Refused {
                *channel = Switch::Off;
            }
        }
    }

    /// One of its own keys has changed. Returns whether the task has to look into that.
    pub(crate) fn hears_of(&mut self, key: &str) -> bool {
        let names = &self.tag.names;
        if key == self.canary.1 {
            self.canaries += 1;
        } else if key == names.members {
            self.tag.recheck.store(true, Ordering::Relaxed);
        } else {
            if key == names.generations {
                self.tag.outdate();
            }
            return false;
        }
        true
    }
}

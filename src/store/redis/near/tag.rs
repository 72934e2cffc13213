//! [`NearTag`]: how far the near copies of one tag have got with the connection for notifications.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::key::{Address, Key, Tag};
use crate::store::Token;
use crate::store::redis::protocol::keyspace::Keyspace;

/// What a tag's near copies are called by.
pub(crate) struct NearNames {
    /// Its own address, at which nothing is stored.
    pub(crate) address: Address,
    pub(crate) generations: String,
    /// The sorted set of all processes that may have copies.
    pub(crate) members: String,
    /// The key by which this process finds out whether it hears what it writes.
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
            generations,
            members,
            notices,
        }
    }

    /// The channel of acknowledgements for another process.
    pub(crate) fn replies_of(&self, process: Token) -> String {
        format!("{}/{process}", self.notices)
    }
}

/// What the server was asked for on the present connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Switch {
    #[default]
    Off,
    Asked,
    On,
    /// The server does not do it.
    Refused,
}

/// What has to be sent on the connection for notifications.
#[derive(Debug)]
pub(crate) enum NearStep {
    Subscribe(String),
    /// Has the server tell of all changes of keys with these prefixes, for the tag.
    Track {
        tag: String,
        prefixes: [String; 2],
    },
}

/// One tag.
pub(crate) struct NearTag {
    pub(crate) names: Arc<NearNames>,
    /// Whether copies are wanted here.
    pub(crate) copies: bool,
    /// Whether acknowledgements are.
    pub(crate) answers: bool,
    pub(crate) notices: Switch,
    pub(crate) replies: Switch,
    pub(crate) tracking: Switch,
    /// Counts what is heard of the generations.
    pub(crate) generations: Arc<AtomicU64>,
    /// How often the canary was heard.
    pub(crate) canaries: u64,
    /// The connection for commands of which it was found out that this one hears what that one writes.
    pub(crate) proven: Option<u64>,
    /// The one by which that was tried last, for the first time.
    pub(crate) tried: Option<u64>,
    /// The set of processes has changed.
    pub(crate) recheck: bool,
    /// The number under which this process is in the set.
    pub(crate) score: u64,
}

impl NearTag {
    pub(crate) fn new(names: NearNames) -> Self {
        Self {
            names: Arc::new(names),
            copies: false,
            answers: false,
            notices: Switch::Off,
            replies: Switch::Off,
            tracking: Switch::Off,
            generations: Arc::default(),
            canaries: 0,
            proven: None,
            tried: None,
            recheck: false,
            score: 0,
        }
    }

    /// What is to be asked for now.
    pub(crate) fn next_steps(&mut self, steps: &mut Vec<NearStep>) {
        if self.replies == Switch::Off && (self.copies || self.answers) {
            self.replies = Switch::Asked;
            steps.push(NearStep::Subscribe(self.names.replies.clone()));
        }
        if !self.copies {
            return;
        }
        if self.notices == Switch::Off {
            self.notices = Switch::Asked;
            steps.push(NearStep::Subscribe(self.names.notices.clone()));
        }
        if self.tracking == Switch::Off {
            self.tracking = Switch::Asked;
            let tag = self.names.address.tag().to_owned();
            let prefixes = [format!("{tag}:"), format!("{tag}/gen:")];
            steps.push(NearStep::Track { tag, prefixes });
        }
    }

    /// Whether all that is needed for copies is there, apart from the proof.
    pub(crate) fn is_prepared(&self) -> bool {
        self.copies && self.notices == Switch::On && self.tracking == Switch::On
    }

    /// The connection is gone, or another one.
    pub(crate) fn reset(&mut self) {
        (self.notices, self.replies, self.tracking) = (Switch::Off, Switch::Off, Switch::Off);
        (self.proven, self.tried, self.recheck) = (None, None, false);
        self.outdate();
    }

    /// No stamp is known to be current any more.
    pub(crate) fn outdate(&self) {
        self.generations.fetch_add(1, Ordering::AcqRel);
    }
}

//! The names of everything Redis keeps about one address.

use super::slot::hash_tag;
use crate::key::Address;
use crate::store::parts::PartId;
use crate::store::token::Token;

/// `T:ID`, `T/lock:ID` and `T/notif:ID`, as all members of the memolock family spell them, and `T/ctl:ID` and `T/gen:ID`,
/// which are ours.
///
/// Keys belong to a database of the server, channels to the whole server. So the control channel of a database other than 0
/// has its number in its name.
#[derive(Clone, Copy)]
pub(crate) struct Keyspace<'a> {
    address: &'a Address,
    database: i64,
}

impl<'a> Keyspace<'a> {
    pub(crate) fn new(address: &'a Address, database: i64) -> Self {
        Self { address, database }
    }

    /// The key of the value.
    pub(crate) fn value(self) -> &'a str {
        self.address.as_str()
    }

    /// The key of the lock.
    pub(crate) fn lock(self) -> String {
        self.derive("/lock:")
    }

    /// The key of a result that is not stored, and kept for a moment for the watchers. It is no value's key: an id
    /// derived from parts ends in a brace, and no caller asks for an id with a random token in it.
    pub(crate) fn kept(self, token: Token) -> String {
        format!("{}~{}", self.value(), token.bare())
    }

    /// The key of a value that is being made, up to where it has come.
    pub(crate) fn part(self) -> String {
        self.derive("/part:")
    }

    /// The key of a whole value on its way to its place.
    pub(crate) fn staged(self, token: Token) -> String {
        format!("{}~{}", self.part(), token.bare())
    }

    /// The key of a part that goes on without a lock, and is for its readers only.
    pub(crate) fn detached(self, id: PartId) -> String {
        format!("{}~{id}", self.part())
    }

    /// The key of the places that these readers have reached.
    pub(crate) fn readers(self, id: PartId) -> String {
        format!("{}~{id}~", self.part())
    }

    /// The channel that carries stored values, and nothing else: other members take each payload for the value. The
    /// publisher may use any database, so to this crate a payload says only that the key is worth a look.
    pub(crate) fn promise(self) -> String {
        self.derive("/notif:")
    }

    /// The channel that carries [control words](super::message) of this database.
    pub(crate) fn control(self) -> String {
        self.derive(&self.control_infix())
    }

    /// What stands between the tag and the id in the name of the control channel.
    pub(crate) fn control_infix(self) -> String {
        match self.database {
            0 => "/ctl:".to_owned(),
            number => format!("/ctl/{number}:"),
        }
    }

    /// The sorted set of generations of a whole tag.
    pub(crate) fn generations(self) -> String {
        self.derive("/gen:")
    }

    /// The text that decides the slot in a Redis Cluster. It is the same in all names, because a tag holds no braces.
    pub(crate) fn hash_tag(self) -> Option<&'a str> {
        hash_tag(self.value())
    }

    pub(crate) fn tag(self) -> &'a str {
        self.address.tag()
    }

    pub(crate) fn id(self) -> &'a str {
        self.address.id()
    }

    /// Whether members of the family that know only plain channels may wait for this address.
    pub(crate) fn is_common(self) -> bool {
        !is_sharded(self.value())
    }

    fn derive(self, infix: &str) -> String {
        let (tag, id) = (self.address.tag(), self.address.id());
        let mut name = String::with_capacity(tag.len() + infix.len() + id.len());
        name.push_str(tag);
        name.push_str(infix);
        name.push_str(id);
        name
    }
}

/// Whether this is a channel of sharded Pub/Sub, in a Redis Cluster.
///
/// The channels of ids that are derived from several parts are sharded: such an id is one pair of braces with a blank
/// in it, and no brace within. A program that makes up an id to share with other members of the family, which subscribe
/// only to plain channels, does not write blanks.
pub(crate) fn is_sharded(channel: &str) -> bool {
    let id = channel.split_once(':').map_or("", |(_, id)| id);
    let parts = id.strip_prefix('{').and_then(|id| id.strip_suffix('}'));
    parts.is_some_and(|parts| parts.contains(' ') && !parts.contains(['{', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Key;
    use crate::key::Tag;

    #[test]
    fn names_follow_the_family() {
        let address = Address::new(&Tag::new("likes").unwrap(), &Key::new("a:b").unwrap());
        let keys = Keyspace::new(&address, 0);
        assert_eq!(keys.value(), "likes:a:b");
        assert_eq!(keys.lock(), "likes/lock:a:b");
        assert_eq!(keys.promise(), "likes/notif:a:b");
        assert_eq!(keys.control(), "likes/ctl:a:b");
    }

    #[test]
    fn each_database_has_a_control_channel_of_its_own() {
        let address = Address::new(&Tag::new("likes").unwrap(), &Key::new("a").unwrap());
        let names = [0, 1, 15].map(|database| Keyspace::new(&address, database).control());
        assert_eq!(names, ["likes/ctl:a", "likes/ctl/1:a", "likes/ctl/15:a"]);
    }

    #[test]
    fn channels_of_derived_keys_are_sharded() {
        let sharded = |key: &Key| {
            let address = Address::new(&Tag::new("t").unwrap(), key);
            let keys = Keyspace::new(&address, 0);
            assert_eq!(is_sharded(&keys.promise()), is_sharded(&keys.control()));
            is_sharded(&keys.promise())
        };
        let parts = Key::builder().part("GET");
        assert!(sharded(&parts.clone().part("/x:{y}").build()));
        assert!(sharded(&parts.clone().part("y".repeat(500)).build()));
        assert!(!sharded(&parts.build()));
        for literal in ["a", "a b", "{a}", "{a}b c", "{a}{b c}", "{}", " "] {
            assert!(!sharded(&Key::new(literal).unwrap()), "{literal}");
        }
    }

    #[test]
    fn names_of_a_derived_key_share_its_hash_tag() {
        let key = Key::builder().part("GET").part("/x").build();
        let address = Address::new(&Tag::new("report").unwrap(), &key);
        let keys = Keyspace::new(&address, 0);
        for name in [keys.lock(), keys.promise(), keys.control()] {
            assert!(name.ends_with(":{GET /x}"), "{name}");
        }
    }
}

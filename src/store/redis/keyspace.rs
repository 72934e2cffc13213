//! The names of everything Redis keeps about one address.

use super::cluster::hash_tag;
use crate::key::Address;

/// `T:ID`, `T/lock:ID`, `T/notif:ID` and `T/ctl:ID`, as all members of the memolock family spell them, and `T/gen:ID`,
/// which is ours.
#[derive(Clone, Copy)]
pub(super) struct Keyspace<'a> {
    address: &'a Address,
}

impl<'a> Keyspace<'a> {
    pub(super) fn new(address: &'a Address) -> Self {
        Self { address }
    }

    /// The key of the value.
    pub(super) fn value(self) -> &'a str {
        self.address.as_str()
    }

    /// The key of the lock.
    pub(super) fn lock(self) -> String {
        self.derive("/lock:")
    }

    /// The channel that carries stored values, and nothing else: other members take each payload for the value.
    pub(super) fn promise(self) -> String {
        self.derive("/notif:")
    }

    /// The channel that carries [control words](super::message).
    pub(super) fn control(self) -> String {
        self.derive("/ctl:")
    }

    /// The sorted set of generations of a whole tag.
    pub(super) fn generations(self) -> String {
        self.derive("/gen:")
    }

    /// What decides the slot in a Redis Cluster. It is the same for all names, because a tag holds no braces.
    pub(super) fn hash_tag(self) -> Option<&'a str> {
        hash_tag(self.value())
    }

    pub(super) fn tag(self) -> &'a str {
        self.address.tag()
    }

    pub(super) fn id(self) -> &'a str {
        self.address.id()
    }

    /// Whether members of the family that know no other channels may wait for this address: those whose channels are
    /// never sharded.
    pub(super) fn is_common(self) -> bool {
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
/// Those about ids that are derived from several parts are: such an id is one pair of braces with a blank in it, and
/// no brace within. Whoever makes up an id to share it with other members of the family, which subscribe to nothing
/// but plain channels, does not write blanks.
pub(super) fn is_sharded(channel: &str) -> bool {
    let id = channel.split_once(':').map_or("", |(_, id)| id);
    let parts = id.strip_prefix('{').and_then(|id| id.strip_suffix('}'));
    parts.is_some_and(|parts| parts.contains(' ') && !parts.contains(['{', '}']))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::{Key, Tag};

    #[test]
    fn names_follow_the_family() {
        let address = Address::new(&Tag::new("likes").unwrap(), &Key::new("a:b").unwrap());
        let keys = Keyspace::new(&address);
        assert_eq!(keys.value(), "likes:a:b");
        assert_eq!(keys.lock(), "likes/lock:a:b");
        assert_eq!(keys.promise(), "likes/notif:a:b");
        assert_eq!(keys.control(), "likes/ctl:a:b");
    }

    #[test]
    fn channels_of_derived_keys_are_sharded() {
        let sharded = |key: &Key| {
            let address = Address::new(&Tag::new("t").unwrap(), key);
            let keys = Keyspace::new(&address);
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
        let keys = Keyspace::new(&address);
        for name in [keys.lock(), keys.promise(), keys.control()] {
            assert!(name.ends_with(":{GET /x}"), "{name}");
        }
    }
}

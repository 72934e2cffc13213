//! The names of everything Redis keeps about one address.

use crate::key::Address;

/// `T:ID`, `T/lock:ID`, `T/notif:ID` and `T/ctl:ID`, as all members of the memolock family spell them.
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

    fn derive(self, infix: &str) -> String {
        let (tag, id) = (self.address.tag(), self.address.id());
        let mut name = String::with_capacity(tag.len() + infix.len() + id.len());
        name.push_str(tag);
        name.push_str(infix);
        name.push_str(id);
        name
    }
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
    fn names_of_a_derived_key_share_its_hash_tag() {
        let key = Key::builder().part("GET").part("/x").build();
        let address = Address::new(&Tag::new("report").unwrap(), &key);
        let keys = Keyspace::new(&address);
        for name in [keys.lock(), keys.promise(), keys.control()] {
            assert!(name.ends_with(":{GET /x}"), "{name}");
        }
    }
}

//! Which slot a name belongs to.

/// How many slots a cluster has.
pub(crate) const SLOTS: u16 = 16384;

/// The text that decides the slot of `name`: between its first `{` and the next `}`. `None` where there is no such
/// text, and the whole name decides.
pub(crate) fn hash_tag(name: &str) -> Option<&str> {
    let (_, rest) = name.split_once('{')?;
    let (tag, _) = rest.split_once('}')?;
    (!tag.is_empty()).then_some(tag)
}

/// The slot of all names with this hash tag.
pub(crate) fn slot_of(hash_tag: &str) -> u16 {
    crc16(hash_tag.as_bytes()) % SLOTS
}

/// CRC-16/XMODEM, which Redis Cluster prescribes.
fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0, |crc, byte| {
        (0..8).fold(crc ^ (u16::from(*byte) << 8), |crc, _| {
            (crc << 1) ^ if crc & 0x8000 == 0 { 0 } else { 0x1021 }
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis() {
        assert_eq!(crc16(b"123456789"), 0x31c3);
        assert_eq!(slot_of("user1000"), 3443);
        assert_eq!(slot_of("foo"), 12182);
    }

    #[test]
    fn the_first_pair_of_braces_with_something_in_it_counts() {
        assert_eq!(hash_tag("t:{GET /x}"), Some("GET /x"));
        assert_eq!(hash_tag("t/lock:a{b}{c}"), Some("b"));
        assert_eq!(hash_tag("t:{{b}}"), Some("{b"));
        for name in ["t:a", "t:{}", "t:{}{b}", "t:{a", "t:}a{"] {
            assert_eq!(hash_tag(name), None, "{name}");
        }
    }
}

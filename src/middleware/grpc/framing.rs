//! [`Framing`]: the length-prefixed messages in a body.

/// How long the prefix of a message is: a flag and a length.
const PREFIX: usize = 5;

/// What the bytes of a body tell about its messages as they go by. It does not matter where the body is cut into
/// pieces.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Framing {
    prefix: [u8; PREFIX],
    len: u64,
}

impl Framing {
    /// How much longer a body with one message is than the message.
    pub(crate) const OVERHEAD: u64 = PREFIX as u64;

    /// Of a body that consists of these bytes.
    pub(crate) fn of(body: &[u8]) -> Self {
        let mut framing = Self::default();
        framing.see(body);
        framing
    }

    /// The next bytes.
    pub(crate) fn see(&mut self, data: &[u8]) {
        let seen = usize::try_from(self.len).unwrap_or(PREFIX).min(PREFIX);
        for (to, from) in self.prefix[seen..].iter_mut().zip(data) {
            *to = *from;
        }
        self.len += data.len() as u64;
    }

    /// How long the first message says that it is; `None` until it says.
    pub(crate) fn declared(&self) -> Option<u64> {
        let [_, a, b, c, d] = self.prefix;
        (self.len >= Self::OVERHEAD).then(|| u32::from_be_bytes([a, b, c, d]).into())
    }

    /// The Compressed-Flag of the first message.
    pub(crate) fn flag(&self) -> u8 {
        self.prefix[0]
    }

    /// Whether there was nothing at all.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether there was one whole message and nothing else.
    pub(crate) fn is_one(&self) -> bool {
        self.declared()
            .is_some_and(|declared| self.len == declared + Self::OVERHEAD)
    }

    /// Whether there was more than one message.
    pub(crate) fn is_more_than_one(&self) -> bool {
        self.declared()
            .is_some_and(|declared| self.len > declared + Self::OVERHEAD)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(flag: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[flag][..], &length, content].concat()
    }

    #[test]
    fn one_message_is_one_however_it_is_cut() {
        for content in [&b""[..], b"a", b"sixteen letters!"] {
            let whole = message(1, content);
            for size in 1..=whole.len() {
                let mut framing = Framing::default();
                assert!(framing.is_empty());
                for (at, piece) in whole.chunks(size).enumerate() {
                    assert!(at == 0 || !framing.is_one());
                    framing.see(piece);
                    framing.see(b"");
                }
                assert!(framing.is_one() && !framing.is_more_than_one() && !framing.is_empty());
                assert_eq!((framing.flag(), framing.declared()), (1, Some(content.len() as u64)));
            }
        }
    }

    #[test]
    fn neither_less_nor_more_is_one() {
        let one = message(0, b"abc");
        for len in 0..one.len() {
            let framing = Framing::of(&one[..len]);
            assert!(!framing.is_one() && !framing.is_more_than_one(), "{len}");
        }
        for more in [&[0][..], &one] {
            let framing = Framing::of(&[&one, more].concat());
            assert!(!framing.is_one() && framing.is_more_than_one());
        }
        let longest = Framing::of(&[0, 0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(longest.declared(), Some(u64::from(u32::MAX)));
        assert!(!longest.is_one() && !longest.is_more_than_one());
    }
}

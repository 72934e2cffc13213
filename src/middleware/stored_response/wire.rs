//! Integers and length-prefixed blocks: what frame and message are made of.

use super::error::StoredResponseError;

/// Takes bytes from the front, and never one beyond the end.
pub(super) struct ByteReader<'a>(&'a [u8]);

impl<'a> ByteReader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many bytes are left.
    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn take(&mut self, len: usize) -> Result<&'a [u8], StoredResponseError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(StoredResponseError::Truncated)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], StoredResponseError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(StoredResponseError::Truncated)?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }

    /// A variable-length integer (RFC 9000, section 16), which need not be in its shortest form.
    pub(super) fn varint(&mut self) -> Result<u64, StoredResponseError> {
        let [first] = self.array()?;
        if first < 0x40 {
            return Ok(first.into());
        }
        let mut value = u64::from(first & 0x3f);
        let more = (1 << (first >> 6)) - 1;
        for byte in self.take(more)? {
            value = value << 8 | u64::from(*byte);
        }
        Ok(value)
    }

    /// A length and that many bytes.
    pub(super) fn block(&mut self) -> Result<&'a [u8], StoredResponseError> {
        let len = self.varint()?;
        self.take(usize::try_from(len).map_err(|_| StoredResponseError::Truncated)?)
    }
}

/// Appends `value` as the shortest variable-length integer. What exceeds 62 bits must not come here.
pub(super) fn put_varint(out: &mut Vec<u8>, value: u64) {
    match varint_len(value) {
        1 => out.push(value as u8),
        2 => out.extend_from_slice(&(value as u16 | 1 << 14).to_be_bytes()),
        4 => out.extend_from_slice(&(value as u32 | 2 << 30).to_be_bytes()),
        _ => out.extend_from_slice(&(value | 3 << 62).to_be_bytes()),
    }
}

/// Appends the length of `content` and the content.
pub(super) fn put_block(out: &mut Vec<u8>, content: &[u8]) {
    put_varint(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn varint_len(value: u64) -> usize {
    match value {
        0..0x40 => 1,
        0x40..0x4000 => 2,
        0x4000..0x4000_0000 => 4,
        _ => 8,
    }
}

/// How many bytes a block takes that holds `len` bytes. Saturates.
pub(super) fn block_len(len: usize) -> usize {
    len.saturating_add(varint_len(len as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of RFC 9000, appendix A.1.
    const EXAMPLES: [(u64, &[u8]); 4] = [
        (
            151_288_809_941_952_652,
            &[0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14, 0xe8, 0x8c],
        ),
        (494_878_333, &[0x9d, 0x7f, 0x3e, 0x7d]),
        (15_293, &[0x7b, 0xbd]),
        (37, &[0x25]),
    ];

    #[test]
    fn integers_are_those_of_quic() {
        for (value, bytes) in EXAMPLES {
            let mut out = Vec::new();
            put_varint(&mut out, value);
            assert_eq!(out, bytes);
            assert_eq!(ByteReader::new(bytes).varint(), Ok(value));
        }
        assert_eq!(ByteReader::new(&[0x40, 0x25]).varint(), Ok(37));
    }

    #[test]
    fn integers_take_the_shortest_form() {
        for bits in [6, 14, 30] {
            for value in [(1 << bits) - 1, 1 << bits] {
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value));
                assert_eq!(ByteReader::new(&out).varint(), Ok(value));
            }
            assert_eq!(2 * varint_len((1 << bits) - 1), varint_len(1 << bits));
        }
    }

    #[test]
    fn nothing_is_read_beyond_the_end() {
        for (_, bytes) in EXAMPLES {
            for len in 0..bytes.len() {
                let varint = ByteReader::new(&bytes[..len]).varint();
                assert_eq!(varint, Err(StoredResponseError::Truncated));
            }
        }
        for bytes in [&[2, 0][..], &[0xff; 8], &[0xff; 9], &[0x40]] {
            let block = ByteReader::new(bytes).block();
            assert_eq!(block, Err(StoredResponseError::Truncated));
        }
    }
}

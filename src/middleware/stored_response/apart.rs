//! [`Apart`]: the part of a response that was left in the store.

use std::ops::Range;

use bytes::Bytes;

use super::digest::Digest;

/// The part of a stored response that was not read.
#[derive(Clone, Debug)]
pub(crate) struct Apart {
    pub(super) digest: Digest,
    /// What is behind the content: the trailer section, in one byte where it is empty.
    pub(super) end: Range<usize>,
    /// The checksum of the entry. `front` is that of its beginning, up to the content.
    pub(super) checksum: u32,
    pub(super) front: crc32fast::Hasher,
    /// How many bytes are in front of the entry.
    pub(super) offset: usize,
}

impl Apart {
    /// The stored bytes to read for this part of the body.
    pub(crate) fn blocks(&self, part: &Range<usize>) -> Range<usize> {
        let blocks = self.digest.blocks(part);
        self.offset + blocks.start..self.offset + blocks.end
    }

    /// This part of the body, if these bytes are those of the entry.
    pub(crate) fn part(&self, part: &Range<usize>, blocks: &Bytes) -> Option<Bytes> {
        self.digest.part(part, blocks)
    }

    /// How long the body is.
    pub(crate) fn len(&self) -> usize {
        self.digest.len()
    }

    /// Where a part ends that begins at `at`, is a whole number of blocks, and about as long as `part`.
    pub(crate) fn end_of_part(&self, at: usize, part: usize) -> usize {
        self.digest.end_of_blocks(at, part)
    }

    /// Whether there are trailer fields.
    pub(crate) fn has_trailers(&self) -> bool {
        self.end.len() > 1
    }

    /// The stored bytes to read for the trailer fields.
    pub(crate) fn end(&self) -> Range<usize> {
        self.offset + self.end.start..self.offset + self.end.end
    }

    /// The checksum as far as the body, to go on with.
    pub(crate) fn front(&self) -> crc32fast::Hasher {
        self.front.clone()
    }

    /// Whether these bytes are the end of the entry. `sum` is of all that is in front of them.
    pub(crate) fn is_end(&self, mut sum: crc32fast::Hasher, end: &Bytes) -> bool {
        sum.update(end);
        end.len() == self.end.len() && sum.finalize() == self.checksum
    }
}

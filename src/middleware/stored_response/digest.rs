//! [`Digest`]: checks a part of an entry, for a reader that does not read all of it. Its bytes are documented in the
//! [module](super#parts).

use std::ops::Range;

use bytes::Bytes;

/// Content of this many bytes and more has one. Shorter content is read at once.
const LEAST: usize = 16 * 1024;

/// The shortest block, 64 KiB.
const SHORTEST: u8 = 16;

/// The longest block.
const LONGEST: u8 = 31;

/// So many blocks at most; of longer content they are longer.
const MOST: usize = 1024;

/// The bytes in front of the checksums of blocks.
const FRONT: usize = 5;

/// The checksums of a content, and where it is.
#[derive(Clone, Debug)]
pub(super) struct Digest {
    /// In the bytes of the entry.
    content: Range<usize>,
    block: usize,
    checksums: Bytes,
}

impl Digest {
    /// Room for the digest of so many bytes of content; none where it is not worth it.
    pub(super) fn room(content: usize) -> Vec<u8> {
        if content < LEAST {
            return Vec::new();
        }
        let mut log = SHORTEST;
        while content.div_ceil(1 << log) > MOST {
            log += 1;
        }
        let mut room = vec![0; FRONT + 4 * content.div_ceil(1 << log)];
        room[0] = log;
        room
    }

    /// Fills the room in an entry that is complete but for its own checksum, which is in front of `checked`.
    pub(super) fn write(entry: &mut [u8], room: Range<usize>, content: Range<usize>, checked: usize) {
        let block = 1 << entry[room.start];
        let sums: Vec<_> = entry[content.clone()].chunks(block).map(crc32fast::hash).collect();
        let blocks = room.start + FRONT..room.end;
        for (place, sum) in entry[blocks].chunks_exact_mut(4).zip(sums) {
            place.copy_from_slice(&sum.to_be_bytes());
        }
        // With the four bytes as 0, which they still are.
        let head = crc32fast::hash(&entry[checked..content.start]);
        entry[room.start + 1..room.start + FRONT].copy_from_slice(&head.to_be_bytes());
    }

    /// The digest at this place of the entry that begins with `bytes`, if it agrees with all that is in front of the
    /// content.
    pub(super) fn read(bytes: &Bytes, checked: usize, place: Range<usize>, content: Range<usize>) -> Option<Self> {
        let (front, checksums) = bytes.get(place.clone())?.split_at_checked(FRONT)?;
        let log = Some(front[0]).filter(|log| (SHORTEST..=LONGEST).contains(log))?;
        let block = 1_usize << log;
        if checksums.len() != 4 * content.len().div_ceil(block) {
            return None;
        }
        let checksums = bytes.slice_ref(checksums);
        let own = place.start + 1;
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(bytes.get(checked..own)?);
        hasher.update(&[0; 4]);
        hasher.update(bytes.get(own + 4..content.start)?);
        let right = hasher.finalize().to_be_bytes() == front[1..];
        right.then_some(Self {
            content,
            block,
            checksums,
        })
    }

    /// How long the content is.
    pub(super) fn len(&self) -> usize {
        self.content.len()
    }

    /// The bytes of the entry in which this part of the content is, whole blocks.
    pub(super) fn blocks(&self, part: &Range<usize>) -> Range<usize> {
        let begin = part.start / self.block * self.block;
        let end = part.end.div_ceil(self.block) * self.block;
        self.content.start + begin..self.content.start + end.min(self.content.len())
    }

    /// Where the content ends, or the last block that begins less than `part` behind `at`.
    pub(super) fn end_of_blocks(&self, at: usize, part: usize) -> usize {
        let end = (at / self.block * self.block).saturating_add(part);
        (end.div_ceil(self.block) * self.block).min(self.len())
    }

    /// The part of the content in these blocks, if they are those of this entry.
    pub(super) fn part(&self, part: &Range<usize>, blocks: &Bytes) -> Option<Bytes> {
        let place = self.blocks(part);
        if blocks.len() != place.len() {
            return None;
        }
        let begin = place.start - self.content.start;
        let sums = self.checksums.chunks_exact(4).skip(begin / self.block);
        let right = |(block, sum): (&[u8], &[u8])| crc32fast::hash(block).to_be_bytes() == *sum;
        if !blocks.chunks(self.block).zip(sums).all(right) {
            return None;
        }
        Some(blocks.slice(part.start - begin..part.end - begin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_digest_of_however_much_fits_into_a_head() {
        for (content, log, blocks) in [
            (LEAST, 16, 1),
            ((64 << 20) - 1, 16, 1024),
            ((64 << 20) + 1, 17, 513),
            (i32::MAX as usize, 21, 1024),
        ] {
            let room = Digest::room(content);
            assert_eq!((room[0], room.len()), (log, FRONT + 4 * blocks));
        }
        assert!(Digest::room(LEAST - 1).is_empty());
    }
}

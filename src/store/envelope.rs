//! The bytes in front of a stored value that has a [`Stamp`], or is compressed.
//!
//! Integers are unsigned and big-endian.
//!
//! | bytes | content |
//! |-------|---------|
//! | 16    | `D5 4D 4C 53 01 1B 9C 6E A3 F0 57 82 C4 3D 98 E6`: what follows is no value yet |
//! | 1     | 1 where there is a stamp, 4 where the value is compressed, 5 for both; 0 for neither, because the value itself begins with those 16 bytes; 2 where the value was softly invalidated, and then 8 bytes say when, in milliseconds since 1970, and what was stored before that follows |
//! | 8     | only with a stamp, as the next three: incarnation |
//! | 8     | number of the generation |
//! | 2     | how many labels there are |
//! | 2 + *n* | each label: its length and its text |
//! | 4     | only of a compressed value: its length before |
//! | rest  | the value; of a compressed one, a zstd frame |
//!
//! A value that is neither stamped nor compressed stands to the letter, for others to read.

use std::time::{Duration, SystemTime};

use bytes::{Buf, Bytes};

use super::compression;
use super::stamp::{Generation, Stamp};
use crate::key::{Label, MAX_LABELS};

const MAGIC: [u8; 16] = [
    0xd5, b'M', b'L', b'S', 0x01, 0x1b, 0x9c, 0x6e, 0xa3, 0xf0, 0x57, 0x82, 0xc4, 0x3d, 0x98, 0xe6,
];

const ESCAPED: u8 = 0;
const STAMPED: u8 = 1;
const SOFT: u8 = 2;
const COMPRESSED: u8 = 4;

/// The first bytes of a value that was softly invalidated, in front of the time.
pub(super) const SOFTENED: [u8; 17] = {
    let mut softened = [SOFT; 17];
    let mut at = 0;
    while at < MAGIC.len() {
        softened[at] = MAGIC[at];
        at += 1;
    }
    softened
};

/// The error for bytes that begin like an envelope and are none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Torn;

/// How many bytes are in front of a value with this stamp.
pub(super) fn len(stamp: &Stamp) -> usize {
    MAGIC.len() + 1 + stamp_len(stamp)
}

fn stamp_len(stamp: &Stamp) -> usize {
    let labels = stamp.labels().iter().map(|label| 2 + label.as_str().len());
    8 + 8 + 2 + labels.sum::<usize>()
}

/// The bytes to store.
pub(super) fn seal(stamp: Option<&Stamp>, value: Bytes) -> Bytes {
    match stamp {
        None if !value.starts_with(&MAGIC) => value,
        None => write(ESCAPED, None, &[], &value),
        Some(stamp) => write(STAMPED, Some(stamp), &[], &value),
    }
}

/// The bytes in front of a value with this stamp.
pub(crate) fn sealed(stamp: Option<&Stamp>) -> Vec<u8> {
    stamp.map_or_else(Vec::new, |stamp| seal(Some(stamp), Bytes::new()).to_vec())
}

/// The bytes to store, compressed if that makes them fewer.
#[cfg(feature = "zstd")]
pub(super) fn seal_compressed(stamp: Option<&Stamp>, value: Bytes) -> Bytes {
    let Some((frame, len)) = compression::compress(&value) else {
        return seal(stamp, value);
    };
    let flags = COMPRESSED | stamp.map_or(0, |_| STAMPED);
    write(flags, stamp, &len.to_be_bytes(), &frame)
}

/// The same bytes, of a value that was softly invalidated at that time, if it was.
pub(super) fn seal_soft(since: Option<SystemTime>, sealed: Bytes) -> Bytes {
    let Some(since) = since else { return sealed };
    let millis = since
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
        .as_millis() as u64;
    [&SOFTENED[..], &millis.to_be_bytes(), &sealed].concat().into()
}

/// The stored bytes without the mark of a soft invalidation, and the time that the mark named.
pub(super) fn open_soft(mut bytes: Bytes) -> Result<(Bytes, Option<SystemTime>), Torn> {
    if !bytes.starts_with(&SOFTENED) {
        return Ok((bytes, None));
    }
    bytes.advance(SOFTENED.len());
    let millis = Duration::from_millis(bytes.try_get_u64().map_err(|_| Torn)?);
    let since = SystemTime::UNIX_EPOCH.checked_add(millis).ok_or(Torn)?;
    Ok((bytes, Some(since)))
}

fn write(flags: u8, stamp: Option<&Stamp>, len: &[u8], value: &[u8]) -> Bytes {
    let front = MAGIC.len() + 1 + stamp.map_or(0, stamp_len) + len.len();
    let mut out = Vec::with_capacity(front + value.len());
    out.extend_from_slice(&MAGIC);
    out.push(flags);
    if let Some(stamp) = stamp {
        write_stamp(stamp, &mut out);
    }
    out.extend_from_slice(len);
    out.extend_from_slice(value);
    out.into()
}

fn write_stamp(stamp: &Stamp, out: &mut Vec<u8>) {
    let Generation { incarnation, number } = stamp.generation();
    out.extend_from_slice(&incarnation.to_be_bytes());
    out.extend_from_slice(&number.to_be_bytes());
    // No label is longer than 65 bytes, and a stamp has no more of them than a value may have.
    let labels = &stamp.labels()[..stamp.labels().len().min(usize::from(u16::MAX))];
    out.extend_from_slice(&(labels.len() as u16).to_be_bytes());
    for label in labels {
        out.extend_from_slice(&(label.as_str().len() as u16).to_be_bytes());
        out.extend_from_slice(label.as_str().as_bytes());
    }
}

/// The value in what is stored, and its stamp.
pub(super) fn open(mut bytes: Bytes) -> Result<(Bytes, Option<Stamp>), Torn> {
    if !bytes.starts_with(&MAGIC) {
        return Ok((bytes, None));
    }
    bytes.advance(MAGIC.len());
    let flags = bytes.try_get_u8().map_err(|_| Torn)?;
    match flags {
        // There is one form for each value.
        ESCAPED if !bytes.starts_with(&MAGIC) => return Err(Torn),
        ESCAPED => return Ok((bytes, None)),
        _ if flags & !(STAMPED | COMPRESSED) != 0 => return Err(Torn),
        _ => {}
    }
    let stamp = match flags & STAMPED {
        0 => None,
        _ => Some(read_stamp(&mut bytes)?),
    };
    if flags & COMPRESSED != 0 {
        let len = bytes.try_get_u32().map_err(|_| Torn)?;
        bytes = compression::decompress(&bytes, len).ok_or(Torn)?;
    }
    Ok((bytes, stamp))
}

fn read_stamp(bytes: &mut Bytes) -> Result<Stamp, Torn> {
    let generation = Generation {
        incarnation: bytes.try_get_u64().map_err(|_| Torn)?,
        number: bytes.try_get_u64().map_err(|_| Torn)?,
    };
    let count = usize::from(bytes.try_get_u16().map_err(|_| Torn)?);
    if count > MAX_LABELS {
        return Err(Torn);
    }
    let mut labels = Vec::with_capacity(count);
    for _ in 0..count {
        let len = usize::from(bytes.try_get_u16().map_err(|_| Torn)?);
        if bytes.len() < len {
            return Err(Torn);
        }
        let text = bytes.split_to(len);
        let label = str::from_utf8(&text).ok().and_then(Label::from_written);
        labels.push(label.ok_or(Torn)?);
    }
    Ok(Stamp::new(generation, labels))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn stamp(labels: &[&str]) -> Stamp {
        let generation = Generation {
            incarnation: 0x0102_0304_0506_0708,
            number: 9,
        };
        Stamp::new(generation, Label::all(labels).unwrap())
    }

    #[test]
    fn the_bytes_are_those_of_the_table() {
        let sealed = seal(Some(&stamp(&["b", "a"])), "value".into());
        let expected = [
            &MAGIC[..],
            &[1, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 0, 0, 0, 0, 9, 0, 2],
            &[0, 2, b't', b'a', 0, 2, b't', b'b'],
            b"value",
        ];
        assert_eq!(sealed, expected.concat());
    }

    #[test]
    fn a_value_without_a_stamp_stands_to_the_letter() {
        for value in [&b""[..], b"value", &MAGIC[..15]] {
            assert_eq!(seal(None, Bytes::copy_from_slice(value)), value);
        }
    }

    #[test]
    fn what_needs_no_escape_has_none() {
        let escaped = [&MAGIC[..], &[ESCAPED], b"value"].concat();
        assert_eq!(open(escaped.into()), Err(Torn));
    }

    #[test]
    fn a_part_of_an_envelope_is_none() {
        let sealed = seal(Some(&stamp(&["a", "b"])), Bytes::new());
        for len in MAGIC.len()..sealed.len() {
            assert_eq!(open(sealed.slice(..len)), Err(Torn), "{len} bytes");
        }
        assert!(open(sealed).is_ok());
    }

    #[cfg(not(feature = "zstd"))]
    #[test]
    fn what_is_compressed_is_not_handed_out_by_a_program_that_cannot_read_it() {
        for flags in [COMPRESSED, COMPRESSED | STAMPED] {
            let sealed = write(
                flags,
                Some(&stamp(&["a"])).filter(|_| flags & STAMPED != 0),
                &[0, 0, 0, 5],
                b"value",
            );
            assert_eq!(open(sealed), Err(Torn));
        }
    }

    #[test]
    fn what_was_softened_says_when_and_keeps_its_envelope() {
        let since = SystemTime::UNIX_EPOCH + Duration::from_millis(0x0102);
        for stamp in [None, Some(stamp(&["a"]))] {
            let sealed = seal(stamp.as_ref(), "value".into());
            let soft = seal_soft(Some(since), sealed.clone());
            let expected = [&MAGIC[..], &[2, 0, 0, 0, 0, 0, 0, 1, 2], &sealed].concat();
            assert_eq!(soft, expected);
            assert_eq!(open_soft(soft.clone()), Ok((sealed, Some(since))));
            assert_eq!(open(soft.clone()), Err(Torn), "who does not know it refuses it");
            assert_eq!(open_soft(soft.slice(..20)), Err(Torn));
        }
        assert_eq!(open_soft("value".into()), Ok(("value".into(), None)));
    }

    #[test]
    fn unknown_flags_are_refused() {
        for flags in (2..=3).chain(6..=u8::MAX) {
            assert_eq!(open(write(flags, None, &[], b"value")), Err(Torn), "{flags}");
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn a_compressed_value_is_shorter_and_comes_back_with_its_stamp() {
        let value = Bytes::from("a sentence like many others. ".repeat(100));
        for stamp in [None, Some(stamp(&["a", "b"]))] {
            let sealed = seal_compressed(stamp.as_ref(), value.clone());
            assert!(sealed.len() < value.len() / 4, "{} bytes", sealed.len());
            assert_eq!(open(sealed.clone()), Ok((value.clone(), stamp)));
            for len in MAGIC.len()..sealed.len() {
                assert_eq!(open(sealed.slice(..len)), Err(Torn), "{len} bytes");
            }
        }
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn what_does_not_get_shorter_is_stored_as_it_is() {
        let mut value = vec![0; 4096];
        getrandom::fill(&mut value).unwrap();
        assert_eq!(seal_compressed(None, value.clone().into()), value);
    }

    #[cfg(feature = "zstd")]
    #[test]
    fn the_length_in_front_of_a_compressed_value_is_believed_only_if_it_is_right() {
        let value = Bytes::from("a".repeat(5000));
        let (frame, len) = compression::compress(&value).unwrap();
        for wrong in [0, len - 1, len + 1, u32::MAX] {
            assert_eq!(
                open(write(COMPRESSED, None, &wrong.to_be_bytes(), &frame)),
                Err(Torn),
                "{wrong}"
            );
        }
        let twice = [&frame[..], &frame[..]].concat();
        assert_eq!(open(write(COMPRESSED, None, &len.to_be_bytes(), &twice)), Err(Torn));
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_what_is_opened(
            value in prop::collection::vec(any::<u8>(), 0..40),
            begins_alike in any::<bool>(),
            tags in prop::option::of(prop::collection::vec(".{1,80}", 0..5)),
        ) {
            let value: Bytes = if begins_alike { [&MAGIC[..], &value].concat().into() } else { value.into() };
            let stamp = tags.map(|tags| Stamp::new(Generation { incarnation: 1, number: u64::MAX }, Label::all(&tags).unwrap()));
            let sealed = seal(stamp.as_ref(), value.clone());
            prop_assert_eq!(open(sealed), Ok((value, stamp)));
        }

        #[test]
        fn nothing_makes_opening_panic(rest in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = open([&MAGIC[..], &rest].concat().into());
        }
    }
}

//! The frame in front of the message: checksum, length, metadata, address.

use std::time::{Duration, SystemTime};

use bytes::Bytes;

use super::apart::Apart;
use super::digest::Digest;
use super::error::StoredResponseError;
use super::extras;
use super::message::{self, Encoder};
use super::response::StoredResponse;
use super::wire::ByteReader;
use crate::key::Address;
use crate::middleware::policy::meta::Meta;
use crate::simulation::{Planted, planted};

const MAGIC: [u8; 4] = *b"MLK\x01";

/// Where the bytes begin that the checksum covers.
const CHECKED: usize = 8;

/// The bytes in front of the address.
const FIXED_LEN: usize = 79;

/// The longest entry. No target can hold more in one piece than its `isize::MAX`, and this is the smallest of those.
const MAX_LEN: usize = i32::MAX as usize;

/// The longest span, RFC 9111's own limit. It keeps sums of spans and times far away from an overflow.
pub(super) const MAX_SPAN: Duration = Duration::from_secs(1 << 31);

/// Where the year 10000 begins, which no HTTP date can express.
const END_OF_TIME: Duration = Duration::from_secs(253_402_300_800);

const HAS_VARIANT: u8 = 1;
const HAS_EXTRAS: u8 = 2;
const IS_MARKER: u8 = 4;

/// Frame and message, in a vector of exactly their length.
pub(super) fn encode(address: &Address, response: &StoredResponse) -> Result<Vec<u8>, StoredResponseError> {
    let message = Encoder::new(response)?;
    let name = address.as_str().as_bytes();
    let name_len = u16::try_from(name.len()).map_err(|_| StoredResponseError::TooLong)?;
    let digest = Digest::room(response.body().len());
    let extras = match extras::encode(response.meta(), &digest) {
        // The digest is of use, and not needed.
        Err(StoredResponseError::TooLong) => extras::encode(response.meta(), &[])?,
        extras => extras?,
    };
    let len = message
        .len()
        .saturating_add(FIXED_LEN + name.len() + extras.bytes.len());
    if len > MAX_LEN {
        return Err(StoredResponseError::TooLong);
    }

    let mut out = Vec::with_capacity(len);
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[0; 4]);
    out.extend_from_slice(&(len as u32).to_be_bytes());
    put_meta(&mut out, response.meta(), !extras.bytes.is_empty())?;
    out.extend_from_slice(&name_len.to_be_bytes());
    out.extend_from_slice(name);
    let digest = out.len() + extras.digest.start..out.len() + extras.digest.end;
    out.extend_from_slice(&extras.bytes);
    let content_at = message.content_at(out.len());
    message.write(&mut out);
    if !digest.is_empty() {
        let content = content_at..content_at + response.body().len();
        Digest::write(&mut out, digest, content, CHECKED);
    }

    let checksum = crc32fast::hash(&out[CHECKED..]);
    out[MAGIC.len()..CHECKED].copy_from_slice(&checksum.to_be_bytes());
    Ok(out)
}

/// The response in an entry of `address` that begins with `bytes`, behind `offset` others, without its content.
pub(super) fn decode_head(
    address: &Address,
    bytes: &Bytes,
    offset: usize,
) -> Result<StoredResponse, StoredResponseError> {
    let mut reader = ByteReader::new(bytes);
    if reader.array().ok() != Some(MAGIC) {
        return Err(StoredResponseError::Magic);
    }
    let checksum = u32::from_be_bytes(reader.array()?);
    let len = u32::from_be_bytes(reader.array()?) as usize;
    let (mut meta, has_extras) = read_meta(&mut reader)?;
    let name_len = u16::from_be_bytes(reader.array()?);
    if reader.take(name_len.into())? != address.as_str().as_bytes() {
        return Err(StoredResponseError::Address);
    }
    let digest = if has_extras {
        extras::read(&mut reader, &mut meta)?
    } else {
        None
    };
    let digest = digest.ok_or(StoredResponseError::Truncated)?;
    let extras_end = bytes.len() - reader.len();
    let digest = extras_end - digest.end..extras_end - digest.start;
    let message = reader.rest();
    let head = message::decode_head(bytes, message)?;
    let begin = bytes.len() - message.len() + head.content_at;
    let end = begin.checked_add(head.content_len).filter(|end| *end < len);
    let end = end.ok_or(StoredResponseError::Truncated)?;
    let digest = Digest::read(bytes, CHECKED, digest, begin..end).ok_or(StoredResponseError::Checksum)?;
    let mut front = crc32fast::Hasher::new();
    front.update(&bytes[CHECKED..begin]);
    let apart = Apart {
        digest,
        end: end..len,
        checksum,
        front,
        offset,
    };
    Ok(StoredResponse::new(head.status, head.headers, Bytes::new(), None, meta).apart(apart))
}

/// Whether these bytes begin like an entry of their length, of whatever address.
pub(super) fn is_entry(bytes: &[u8]) -> bool {
    let mut reader = ByteReader::new(bytes);
    let (magic, _checksum, declared) = (reader.array(), reader.array::<4>(), reader.array());
    magic == Ok(MAGIC) && declared.is_ok_and(|declared| u32::from_be_bytes(declared) as usize == bytes.len())
}

/// The checksum that these bytes say they have, if they begin like an entry.
pub(super) fn checksum(bytes: &[u8]) -> Option<u32> {
    let checksum = bytes.strip_prefix(&MAGIC)?.first_chunk()?;
    Some(u32::from_be_bytes(*checksum))
}

/// The response in `bytes`, which must be an entry of `address` and nothing else.
pub(super) fn decode(address: &Address, bytes: &Bytes) -> Result<StoredResponse, StoredResponseError> {
    let mut reader = ByteReader::new(bytes);
    // Bytes of another format are told from damaged bytes of this one, however short they are.
    if reader.array().ok() != Some(MAGIC) {
        return Err(StoredResponseError::Magic);
    }
    let checksum = u32::from_be_bytes(reader.array()?);
    let declared = u32::from_be_bytes(reader.array()?) as usize;
    if declared != bytes.len() {
        return Err(StoredResponseError::Length {
            declared,
            actual: bytes.len(),
        });
    }
    if checksum != crc32fast::hash(&bytes[CHECKED..]) {
        return Err(StoredResponseError::Checksum);
    }
    let (mut meta, has_extras) = read_meta(&mut reader)?;
    let name_len = u16::from_be_bytes(reader.array()?);
    if reader.take(name_len.into())? != address.as_str().as_bytes() && !planted(Planted::KeyUnchecked) {
        return Err(StoredResponseError::Address);
    }
    if has_extras {
        extras::read(&mut reader, &mut meta)?;
    }
    message::decode(bytes, reader.rest(), meta)
}

pub(super) fn put_meta(out: &mut Vec<u8>, meta: &Meta, has_extras: bool) -> Result<(), StoredResponseError> {
    let Meta {
        stored_at,
        fresh_for,
        age,
        cost,
        stale_while_revalidate,
        stale_if_error,
        variant,
        is_marker,
        ..
    } = meta;
    let stored_at = stored_at
        .duration_since(SystemTime::UNIX_EPOCH)
        .ok()
        .filter(|since_epoch| *since_epoch < END_OF_TIME)
        .ok_or(StoredResponseError::StoredAt)?;
    put_millis(out, stored_at);
    for span in [fresh_for, age, cost, stale_while_revalidate, stale_if_error] {
        put_millis(out, (*span).min(MAX_SPAN));
    }
    let extras = if has_extras { HAS_EXTRAS } else { 0 };
    let marker = if *is_marker { IS_MARKER } else { 0 };
    out.push(extras | marker | if variant.is_some() { HAS_VARIANT } else { 0 });
    out.extend_from_slice(&variant.unwrap_or_default());
    Ok(())
}

pub(super) fn put_millis(out: &mut Vec<u8>, span: Duration) {
    out.extend_from_slice(&(span.as_millis() as u64).to_be_bytes());
}

/// The metadata, and whether there is more behind the address.
pub(super) fn read_meta(reader: &mut ByteReader<'_>) -> Result<(Meta, bool), StoredResponseError> {
    let since_epoch = read_millis(reader)?;
    let stored_at = SystemTime::UNIX_EPOCH
        .checked_add(since_epoch)
        .filter(|_| since_epoch < END_OF_TIME)
        .ok_or(StoredResponseError::StoredAt)?;
    let meta = Meta {
        stored_at,
        fresh_for: read_span(reader)?,
        age: read_span(reader)?,
        cost: read_span(reader)?,
        stale_while_revalidate: read_span(reader)?,
        stale_if_error: read_span(reader)?,
        ..Meta::default()
    };
    let [flags] = reader.array()?;
    let variant = reader.array()?;
    let has_extras = flags & HAS_EXTRAS != 0;
    match flags & !HAS_EXTRAS {
        0 if variant == [0; 16] => Ok((meta, has_extras)),
        HAS_VARIANT => {
            let variant = Some(variant);
            Ok((Meta { variant, ..meta }, has_extras))
        }
        IS_MARKER if variant == [0; 16] && !has_extras => {
            let is_marker = true;
            Ok((Meta { is_marker, ..meta }, has_extras))
        }
        _ => Err(StoredResponseError::Metadata),
    }
}

pub(super) fn read_span(reader: &mut ByteReader<'_>) -> Result<Duration, StoredResponseError> {
    let span = read_millis(reader)?;
    if span > MAX_SPAN {
        return Err(StoredResponseError::Metadata);
    }
    Ok(span)
}

fn read_millis(reader: &mut ByteReader<'_>) -> Result<Duration, StoredResponseError> {
    Ok(Duration::from_millis(u64::from_be_bytes(reader.array()?)))
}

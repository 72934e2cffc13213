//! The message: a known-length response of RFC 9292.

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::status::StatusCode;

use super::error::StoredResponseError;
use super::response::StoredResponse;
use super::wire::{ByteReader, block_len, put_block, put_varint};
use crate::middleware::policy::meta::Meta;

/// The framing indicator of a known-length response (RFC 9292, section 3.3).
pub(super) const KNOWN_LENGTH_RESPONSE: u8 = 1;

/// Ends a section, or a content, of unknown length.
pub(super) const TERMINATOR: u8 = 0;

/// The most fields that a section may have. Each takes some hundred bytes of memory and as few as three of a message.
const MAX_FIELDS: usize = 4096;

/// How many fields a hit adds, as a rule: `Age` and `Date`. A map that grows for them costs more than what it holds.
const ADDED: usize = 2;

/// A response that can be written as a message, and the lengths of its parts.
pub(super) struct Encoder<'a> {
    response: &'a StoredResponse,
    headers_len: usize,
    trailers_len: usize,
}

impl<'a> Encoder<'a> {
    pub(super) fn new(response: &'a StoredResponse) -> Result<Self, StoredResponseError> {
        check_status(response.status().as_u16().into())?;
        Ok(Self {
            response,
            headers_len: fields_len(response.headers())?,
            trailers_len: response.trailers().map_or(Ok(0), fields_len)?,
        })
    }

    /// How many bytes [`write`](Self::write) appends. Saturates.
    pub(super) fn len(&self) -> usize {
        // Every status from 200 to 599 takes two bytes.
        3_usize
            .saturating_add(block_len(self.headers_len))
            .saturating_add(block_len(self.response.body().len()))
            .saturating_add(block_len(self.trailers_len))
    }

    /// Where the content begins, counted from the end of what there is in front of the message.
    pub(super) fn content_at(&self, message_at: usize) -> usize {
        let body = self.response.body().len();
        message_at + 3 + block_len(self.headers_len) + block_len(body) - body
    }

    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.push(KNOWN_LENGTH_RESPONSE);
        put_varint(out, self.response.status().as_u16().into());
        put_varint(out, self.headers_len as u64);
        put_fields(out, self.response.headers());
        put_block(out, self.response.body());
        put_varint(out, self.trailers_len as u64);
        if let Some(trailers) = self.response.trailers() {
            put_fields(out, trailers);
        }
    }
}

/// The response in `message`, a part of `bytes`.
pub(super) fn decode(bytes: &Bytes, message: &[u8], meta: Meta) -> Result<StoredResponse, StoredResponseError> {
    let mut reader = ByteReader::new(message);
    if reader.array()? != [KNOWN_LENGTH_RESPONSE] {
        return Err(StoredResponseError::Framing);
    }
    let status = check_status(reader.varint()?)?;
    let headers = read_fields(bytes, reader.block()?, ADDED)?;
    let body = bytes.slice_ref(reader.block()?);
    let trailers = read_fields(bytes, reader.block()?, 0)?;
    if !reader.is_empty() {
        return Err(StoredResponseError::TrailingBytes);
    }
    Ok(StoredResponse::new(status, headers, body, Some(trailers), meta))
}

/// A message up to its content.
pub(super) struct MessageHead {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    /// Where the content begins, counted from the beginning of the message.
    pub(super) content_at: usize,
    pub(super) content_len: usize,
}

/// The head of the response whose message begins with `message`, a part of `bytes`.
pub(super) fn decode_head(bytes: &Bytes, message: &[u8]) -> Result<MessageHead, StoredResponseError> {
    let mut reader = ByteReader::new(message);
    if reader.array()? != [KNOWN_LENGTH_RESPONSE] {
        return Err(StoredResponseError::Framing);
    }
    let status = check_status(reader.varint()?)?;
    let headers = read_fields(bytes, reader.block()?, ADDED)?;
    let content_len = usize::try_from(reader.varint()?).map_err(|_| StoredResponseError::Truncated)?;
    Ok(MessageHead {
        status,
        headers,
        content_at: message.len() - reader.rest().len(),
        content_len,
    })
}

/// The trailer fields in `bytes`, which are a message from the end of its content on.
pub(super) fn decode_end(bytes: &Bytes) -> Result<HeaderMap, StoredResponseError> {
    let mut reader = ByteReader::new(bytes);
    let trailers = read_fields(bytes, reader.block()?, 0)?;
    if !reader.is_empty() {
        return Err(StoredResponseError::TrailingBytes);
    }
    Ok(trailers)
}

pub(super) fn check_status(code: u64) -> Result<StatusCode, StoredResponseError> {
    u16::try_from(code)
        .ok()
        .filter(|code| (200..=599).contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or(StoredResponseError::Status(code))
}

/// The value as it is written. The `http` crate allows blanks at the ends, which are not part of a field's value
/// (RFC 9110, section 5.5) and must not be in a message (RFC 9292, section 3.6).
fn content(value: &HeaderValue) -> &[u8] {
    value.as_bytes().trim_ascii()
}

fn fields_len(fields: &HeaderMap) -> Result<usize, StoredResponseError> {
    if fields.len() > MAX_FIELDS {
        return Err(StoredResponseError::TooManyFields);
    }
    Ok(fields.iter().fold(0_usize, |sum, (name, value)| {
        sum.saturating_add(block_len(name.as_str().len()))
            .saturating_add(block_len(content(value).len()))
    }))
}

/// Appends the lines of a section, which may be of any number of fields that a section may have.
pub(super) fn put_lines(out: &mut Vec<u8>, fields: &HeaderMap) -> Result<(), StoredResponseError> {
    if fields.len() > MAX_FIELDS {
        return Err(StoredResponseError::TooManyFields);
    }
    put_fields(out, fields);
    out.push(TERMINATOR);
    Ok(())
}

fn put_fields(out: &mut Vec<u8>, fields: &HeaderMap) {
    for (name, value) in fields {
        put_block(out, name.as_str().as_bytes());
        put_block(out, content(value));
    }
}

/// The fields of a section, in a map with room for so many more.
fn read_fields(bytes: &Bytes, section: &[u8], more: usize) -> Result<HeaderMap, StoredResponseError> {
    // One field takes about this much. Room for more is made as it is needed, and never for more than there are bytes.
    let expected = (section.len() / 24).min(MAX_FIELDS) + more;
    let mut fields = HeaderMap::try_with_capacity(expected).map_err(|_| StoredResponseError::TooManyFields)?;
    let mut reader = ByteReader::new(section);
    while !reader.is_empty() {
        if fields.len() == MAX_FIELDS {
            return Err(StoredResponseError::TooManyFields);
        }
        let name = HeaderName::from_lowercase(reader.block()?).map_err(|_| StoredResponseError::FieldName)?;
        let value = read_value(bytes, reader.block()?)?;
        fields
            .try_append(name, value)
            .map_err(|_| StoredResponseError::TooManyFields)?;
    }
    Ok(fields)
}

/// The fields of a section that ends with a terminator (RFC 9292, section 3.2), from a reader of a part of `bytes`.
pub(super) fn read_lines(bytes: &Bytes, reader: &mut ByteReader<'_>) -> Result<HeaderMap, StoredResponseError> {
    let mut fields = HeaderMap::new();
    loop {
        let name = reader.block()?;
        if name.is_empty() {
            return Ok(fields);
        }
        if fields.len() == MAX_FIELDS {
            return Err(StoredResponseError::TooManyFields);
        }
        let value = reader.block()?;
        let name = HeaderName::from_lowercase(name).map_err(|_| StoredResponseError::FieldName)?;
        fields
            .try_append(name, read_value(bytes, value)?)
            .map_err(|_| StoredResponseError::TooManyFields)?;
    }
}

fn read_value(bytes: &Bytes, value: &[u8]) -> Result<HeaderValue, StoredResponseError> {
    if value.trim_ascii().len() != value.len() {
        return Err(StoredResponseError::FieldValue);
    }
    HeaderValue::from_maybe_shared(bytes.slice_ref(value)).map_err(|_| StoredResponseError::FieldValue)
}

//! Metadata that not every entry has: tagged fields behind the address.

use std::ops::Range;
use std::time::Duration;

use super::error::StoredResponseError;
use super::frame::{MAX_SPAN, put_millis, read_span};
use super::wire::ByteReader;
use crate::middleware::policy::meta::Meta;
use crate::trace::TraceContext;

const KEPT_FOR: u8 = 1;
const GENERATION: u8 = 2;
const RULES: u8 = 3;
const GROUP: u8 = 4;
/// For readers of a part of the entry; the checksum is for readers of all of it.
const DIGEST: u8 = 5;
/// A wrong value from another program does no harm: the field is ignored.
const COMPUTED_BY: u8 = 6;
const BEGAN: u8 = 7;

const MUST_REVALIDATE: u8 = 1;
const FOR_AUTHORIZED: u8 = 2;
const FOR_COOKIES: u8 = 4;

/// The section with its length in front; nothing where there is nothing to say.
#[derive(Default)]
pub(super) struct Extras {
    pub(super) bytes: Vec<u8>,
    /// Where in the bytes the digest is, if there is one.
    pub(super) digest: Range<usize>,
}

pub(super) fn encode(meta: &Meta, digest: &[u8]) -> Result<Extras, StoredResponseError> {
    // Taken apart, so that a field added to the metadata cannot be forgotten here.
    let Meta {
        stored_at: _,
        fresh_for: _,
        age: _,
        cost: _,
        stale_while_revalidate: _,
        stale_if_error: _,
        variant: _,
        kept_for,
        must_revalidate,
        for_authorized,
        for_cookies,
        generation,
        groups,
        computed_by,
        began,
        is_marker: _,
    } = meta;
    // The length of all of it.
    let mut section = vec![0; 2];
    if *kept_for != Duration::ZERO {
        let mut millis = Vec::with_capacity(8);
        put_millis(&mut millis, (*kept_for).min(MAX_SPAN));
        put(&mut section, KEPT_FOR, &millis)?;
    }
    if let Some(generation) = generation {
        put(&mut section, GENERATION, generation)?;
    }
    let flag = |is_set: bool, flag| if is_set { flag } else { 0 };
    let rules = flag(*must_revalidate, MUST_REVALIDATE)
        | flag(*for_authorized, FOR_AUTHORIZED)
        | flag(*for_cookies, FOR_COOKIES);
    if rules != 0 {
        put(&mut section, RULES, &[rules])?;
    }
    for group in groups {
        put(&mut section, GROUP, group.as_bytes())?;
    }
    if !digest.is_empty() {
        put(&mut section, DIGEST, digest)?;
    }
    let digest = section.len() - digest.len()..section.len();
    if let Some(context) = computed_by {
        put(&mut section, COMPUTED_BY, &context.to_bytes())?;
    }
    if let Some(began) = began {
        put(&mut section, BEGAN, &began.to_be_bytes())?;
    }
    match section.len() {
        2 => Ok(Extras::default()),
        _ => {
            let len = len(&section[2..])?;
            section[..2].copy_from_slice(&len);
            Ok(Extras { bytes: section, digest })
        }
    }
}

/// Reads the section into `meta`, and returns where in it the digest is, counted from its end, if there is one. A field with
/// an unknown tag is left out: it may be of a later version.
pub(super) fn read(reader: &mut ByteReader<'_>, meta: &mut Meta) -> Result<Option<Range<usize>>, StoredResponseError> {
    let len = u16::from_be_bytes(reader.array()?);
    let mut section = ByteReader::new(reader.take(len.into())?);
    let (mut last, mut digest) = (0, None);
    while !section.is_empty() {
        let [tag] = section.array()?;
        let len = u16::from_be_bytes(section.array()?);
        let content = section.take(len.into())?;
        // In order, and only groups more than once, so that there is one way to write what there is.
        if tag < last || (tag == last && tag != GROUP) {
            return Err(StoredResponseError::Metadata);
        }
        last = tag;
        match tag {
            COMPUTED_BY => meta.computed_by = TraceContext::from_bytes(content),
            DIGEST => digest = Some(section.len()..section.len() + content.len()),
            _ => field(tag, content, meta)?,
        }
    }
    Ok(digest)
}

fn field(tag: u8, content: &[u8], meta: &mut Meta) -> Result<(), StoredResponseError> {
    let mut content = ByteReader::new(content);
    match tag {
        KEPT_FOR => meta.kept_for = read_span(&mut content)?,
        BEGAN => meta.began = Some(u64::from_be_bytes(content.array()?)),
        GENERATION => meta.generation = Some(content.array()?),
        RULES => {
            let [rules] = content.array()?;
            meta.must_revalidate = rules & MUST_REVALIDATE != 0;
            meta.for_authorized = rules & FOR_AUTHORIZED != 0;
            meta.for_cookies = rules & FOR_COOKIES != 0;
        }
        GROUP => {
            let group = str::from_utf8(content.rest()).map_err(|_| StoredResponseError::Metadata)?;
            meta.groups.push(group.to_owned());
        }
        0 => return Err(StoredResponseError::Metadata),
        _ => return Ok(()),
    }
    if content.is_empty() {
        Ok(())
    } else {
        Err(StoredResponseError::Metadata)
    }
}

fn put(section: &mut Vec<u8>, tag: u8, content: &[u8]) -> Result<(), StoredResponseError> {
    section.push(tag);
    section.extend_from_slice(&len(content)?);
    section.extend_from_slice(content);
    Ok(())
}

fn len(content: &[u8]) -> Result<[u8; 2], StoredResponseError> {
    let len = u16::try_from(content.len()).map_err(|_| StoredResponseError::TooLong)?;
    Ok(len.to_be_bytes())
}

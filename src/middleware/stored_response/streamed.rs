//! The form of an entry that is written while its response still comes. Its bytes are documented in the
//! [module](super#an-entry-in-pieces).

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;

use super::error::StoredResponseError;
use super::extras;
use super::frame::{put_meta, read_meta};
use super::message::{TERMINATOR, check_status, put_lines, read_lines};
use super::response::StoredResponse;
use super::wire::{ByteReader, put_block, put_varint};
use crate::key::Address;
use crate::store::PartId;

pub(super) const MAGIC: [u8; 4] = *b"MLK\x02";

/// Where the checksum of the head is: behind the name of the attempt.
const CHECKSUM_AT: usize = MAGIC.len() + PartId::LEN;

/// Where the bytes begin that it covers.
const CHECKED: usize = CHECKSUM_AT + 4;

/// Where those begin that an entry in one piece has as well.
const META_AT: usize = CHECKED + 4;

/// The framing indicator of an indeterminate-length response (RFC 9292, section 3.3).
const INDETERMINATE_LENGTH_RESPONSE: u8 = 3;

/// The longest head: the followers that read along get it at once.
const MAX_HEAD: usize = 32 * 1024;

/// Writes an entry in pieces.
pub(crate) struct StreamedEncoder(crc32fast::Hasher);

impl StreamedEncoder {
    /// Begins with the head of a response, whose name is that of this attempt.
    pub(crate) fn begin(
        address: &Address,
        response: &StoredResponse,
        id: PartId,
    ) -> Result<(Self, Bytes), StoredResponseError> {
        check_status(response.status().as_u16().into())?;
        let name = address.as_str().as_bytes();
        let name_len = u16::try_from(name.len()).map_err(|_| StoredResponseError::TooLong)?;
        let extras = extras::encode(response.meta(), &[])?.bytes;
        let mut out = Vec::with_capacity(1024);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&id.to_bytes());
        out.extend_from_slice(&[0; META_AT - CHECKSUM_AT]);
        put_meta(&mut out, response.meta(), !extras.is_empty())?;
        out.extend_from_slice(&name_len.to_be_bytes());
        out.extend_from_slice(name);
        out.extend_from_slice(&extras);
        out.push(INDETERMINATE_LENGTH_RESPONSE);
        put_varint(&mut out, response.status().as_u16().into());
        put_lines(&mut out, response.headers())?;
        if out.len() > MAX_HEAD {
            return Err(StoredResponseError::TooLong);
        }
        let length = (out.len() as u32).to_be_bytes();
        out[CHECKED..META_AT].copy_from_slice(&length);
        let checksum = crc32fast::hash(&out[CHECKED..]);
        out[CHECKSUM_AT..CHECKED].copy_from_slice(&checksum.to_be_bytes());
        let mut encoder = Self(crc32fast::Hasher::new());
        encoder.0.update(&out);
        Ok((encoder, out.into()))
    }

    /// What goes in front of so much content.
    pub(crate) fn chunk(&mut self, content: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(content.len() + 8);
        put_block(&mut out, content);
        self.0.update(&out);
        out.into()
    }

    /// The end.
    pub(crate) fn end(mut self, trailers: Option<&HeaderMap>) -> Result<Bytes, StoredResponseError> {
        let mut out = vec![TERMINATOR];
        match trailers {
            Some(trailers) => put_lines(&mut out, trailers)?,
            None => out.push(TERMINATOR),
        }
        self.0.update(&out);
        out.extend_from_slice(&self.0.finalize().to_be_bytes());
        Ok(out.into())
    }
}

/// Whether these bytes begin like an entry of this form, of whatever address.
pub(super) fn is_entry(bytes: &[u8]) -> bool {
    bytes.starts_with(&MAGIC)
}

/// The response in `bytes`, which must be an entry of `address` and nothing else.
pub(super) fn decode(address: &Address, bytes: &Bytes) -> Result<StoredResponse, StoredResponseError> {
    let mut decoder = StreamedDecoder::new();
    decoder.push(bytes.clone());
    // Bytes without a whole head of this form are of no known form.
    let head = decoder.head().ok().flatten().ok_or(StoredResponseError::Magic)?;
    let head = decode_head(address, &head)?;
    decoder.state = DecoderState::Chunk;
    let mut content = BytesMut::new();
    loop {
        match decoder.next(address)? {
            Some(Streamed::Data(data)) => content.extend_from_slice(&data),
            Some(Streamed::End(trailers)) if decoder.is_empty() => {
                let (status, meta) = (head.status(), head.meta().clone());
                let (headers, ..) = head.into_content();
                return Ok(StoredResponse::new(
                    status,
                    headers,
                    content.freeze(),
                    Some(trailers),
                    meta,
                ));
            }
            Some(Streamed::End(_)) => return Err(StoredResponseError::TrailingBytes),
            Some(Streamed::Head(_)) | None => return Err(StoredResponseError::Truncated),
        }
    }
}

/// What comes of an entry in pieces.
pub(crate) enum Streamed {
    /// The response without its content.
    Head(Box<StoredResponse>),
    /// More of its content.
    Data(Bytes),
    /// It was whole.
    End(HeaderMap),
}

enum DecoderState {
    Head,
    Chunk,
    /// So much of a chunk.
    Content(usize),
    Trailers,
    Nothing,
}

/// Reads an entry in pieces.
pub(crate) struct StreamedDecoder {
    pieces: VecDeque<Bytes>,
    length: usize,
    state: DecoderState,
    checksum: crc32fast::Hasher,
}

impl StreamedDecoder {
    pub(crate) fn new() -> Self {
        Self {
            pieces: VecDeque::new(),
            length: 0,
            state: DecoderState::Head,
            checksum: crc32fast::Hasher::new(),
        }
    }

    /// Takes what comes next.
    pub(crate) fn push(&mut self, piece: Bytes) {
        self.length += piece.len();
        if !piece.is_empty() {
            self.pieces.push_back(piece);
        }
    }

    fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// The next part; `None` where more bytes are needed.
    pub(crate) fn next(&mut self, address: &Address) -> Result<Option<Streamed>, StoredResponseError> {
        loop {
            match self.state {
                DecoderState::Head => {
                    let Some(head) = self.head()? else {
                        return Ok(None);
                    };
                    let response = decode_head(address, &head)?;
                    self.state = DecoderState::Chunk;
                    return Ok(Some(Streamed::Head(Box::new(response))));
                }
                DecoderState::Chunk => match self.varint()? {
                    None => return Ok(None),
                    Some(0) => self.state = DecoderState::Trailers,
                    Some(length) => {
                        let length = usize::try_from(length).map_err(|_| StoredResponseError::TooLong)?;
                        self.state = DecoderState::Content(length);
                    }
                },
                DecoderState::Content(left) => {
                    let Some(mut piece) = self.pieces.pop_front() else {
                        return Ok(None);
                    };
                    let content = piece.split_to(left.min(piece.len()));
                    if !piece.is_empty() {
                        self.pieces.push_front(piece);
                    }
                    self.length -= content.len();
                    self.checksum.update(&content);
                    self.state = match left - content.len() {
                        0 => DecoderState::Chunk,
                        left => DecoderState::Content(left),
                    };
                    return Ok(Some(Streamed::Data(content)));
                }
                DecoderState::Trailers => {
                    let Some(trailers) = self.trailers()? else {
                        return Ok(None);
                    };
                    self.state = DecoderState::Nothing;
                    return Ok(Some(Streamed::End(trailers)));
                }
                DecoderState::Nothing if self.length > 0 => return Err(StoredResponseError::TrailingBytes),
                DecoderState::Nothing => return Ok(None),
            }
        }
    }

    /// The head, once all of it is there.
    fn head(&mut self) -> Result<Option<Bytes>, StoredResponseError> {
        let front = self.peek(META_AT);
        if !MAGIC.starts_with(&front[..front.len().min(MAGIC.len())]) {
            return Err(StoredResponseError::Magic);
        }
        let Some(length) = front.get(CHECKED..META_AT).and_then(|length| length.try_into().ok()) else {
            return Ok(None);
        };
        let length = u32::from_be_bytes(length) as usize;
        if !(META_AT..=MAX_HEAD).contains(&length) {
            return Err(StoredResponseError::TooLong);
        }
        if self.length < length {
            return Ok(None);
        }
        let head = self.take(length);
        let checksum = crc32fast::hash(&head[CHECKED..]).to_be_bytes();
        match head[CHECKSUM_AT..CHECKED] == checksum {
            true => Ok(Some(head)),
            false => Err(StoredResponseError::Checksum),
        }
    }

    fn varint(&mut self) -> Result<Option<u64>, StoredResponseError> {
        let front = self.peek(8);
        let Some(first) = front.first() else {
            return Ok(None);
        };
        let length = 1 << (first >> 6);
        if front.len() < length {
            return Ok(None);
        }
        ByteReader::new(&self.take(length)).varint().map(Some)
    }

    /// The trailer fields and the checksum, once all of them are there.
    fn trailers(&mut self) -> Result<Option<HeaderMap>, StoredResponseError> {
        let bytes = self.peek(self.length);
        let mut reader = ByteReader::new(&bytes);
        let trailers = match read_lines(&bytes, &mut reader) {
            Err(StoredResponseError::Truncated) => return Ok(None),
            trailers => trailers?,
        };
        if reader.len() < 4 {
            return Ok(None);
        }
        let section = bytes.len() - reader.len();
        drop(self.take(section));
        let checksum = self.checksum.clone().finalize().to_be_bytes();
        match *self.take(4) == checksum {
            true => Ok(Some(trailers)),
            false => Err(StoredResponseError::Checksum),
        }
    }

    /// So many bytes, or as many as there are.
    fn peek(&self, most: usize) -> Bytes {
        match self.pieces.front() {
            Some(piece) if piece.len() >= most => piece.slice(..most),
            _ => {
                let mut bytes = BytesMut::with_capacity(most.min(self.length));
                for piece in &self.pieces {
                    bytes.extend_from_slice(&piece[..piece.len().min(most - bytes.len())]);
                }
                bytes.freeze()
            }
        }
    }

    /// So many bytes, which are there.
    fn take(&mut self, length: usize) -> Bytes {
        let taken = self.peek(length);
        let mut left = taken.len();
        self.length -= left;
        while left > 0
            && let Some(piece) = self.pieces.front_mut()
        {
            let part = piece.split_to(left.min(piece.len()));
            left -= part.len();
            if piece.is_empty() {
                self.pieces.pop_front();
            }
        }
        self.checksum.update(&taken);
        taken
    }
}

fn decode_head(address: &Address, head: &Bytes) -> Result<StoredResponse, StoredResponseError> {
    let mut reader = ByteReader::new(&head[META_AT..]);
    let (mut meta, has_extras) = read_meta(&mut reader)?;
    let name_len = u16::from_be_bytes(reader.array()?);
    if reader.take(name_len.into())? != address.as_str().as_bytes() {
        return Err(StoredResponseError::Address);
    }
    if has_extras {
        extras::read(&mut reader, &mut meta)?;
    }
    if reader.array()? != [INDETERMINATE_LENGTH_RESPONSE] {
        return Err(StoredResponseError::Framing);
    }
    let status = check_status(reader.varint()?)?;
    let headers = read_lines(head, &mut reader)?;
    match reader.is_empty() && !meta.is_marker {
        true => Ok(StoredResponse::new(status, headers, Bytes::new(), None, meta)),
        false => Err(StoredResponseError::TrailingBytes),
    }
}

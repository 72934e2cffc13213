//! The form in which a response is stored: [`StoredResponse`], and [`BinaryHttp`], its codec.
//!
//! A stored response, an *entry*, is a small frame in front of a binary HTTP message (RFC 9292), which is a standard
//! form of status, fields and content that programs in any language can read and write. A worker that resolves a
//! promise sends exactly these bytes, or the [message alone](#a-message-alone).
//!
//! # The frame
//!
//! Integers are unsigned and big-endian, times and spans in milliseconds.
//!
//! | at   | bytes | content |
//! |------|-------|---------|
//! | 0    | 4     | `4D 4C 4B 01`: `MLK` and the version, 1 |
//! | 4    | 4     | CRC-32 of all bytes from 8 to the end, as zlib, gzip and PNG compute it |
//! | 8    | 4     | length of the entry, counted from byte 0; at most 2³¹ − 1 |
//! | 12   | 8     | [stored at](Meta::stored_at), since 1970-01-01 00:00:00 UTC; before the year 10000 |
//! | 20   | 8     | [fresh for](Meta::fresh_for) |
//! | 28   | 8     | [age](Meta::age) when it was stored |
//! | 36   | 8     | [cost](Meta::cost) |
//! | 44   | 8     | [stale while revalidate](Meta::stale_while_revalidate) |
//! | 52   | 8     | [stale if error](Meta::stale_if_error) |
//! | 60   | 1     | flags: bit 0 says that there is a variant, bit 1 that there are extras, bit 2, alone, that this is a [marker](Meta::is_marker); all others are 0 |
//! | 61   | 16    | [variant](Meta::variant); all 0 where there is none |
//! | 77   | 2     | length *n* of the address |
//! | 79   | *n*   | the [address](crate::Address): `TAG:ID`, the name of the stored value |
//! | 79+*n* | 2 + *m* | the extras, if there are any: their length *m*, and *m* bytes |
//! |      | rest  | the message |
//!
//! No span exceeds 2³¹ seconds (RFC 9111, section 1.2.2).
//!
//! # The extras
//!
//! Any number of fields: a tag of 1 byte, a length of 2 bytes, and that much content. Tags ascend; only groups come
//! more than once. A reader leaves out a field whose tag is not listed here. An entry has no extras rather than empty
//! ones.
//!
//! | tag | content |
//! |-----|---------|
//! | 1   | 8 bytes: [kept for](Meta::kept_for) |
//! | 2   | 8 bytes: [generation](Meta::generation) |
//! | 3   | 1 byte: bit 0 [must revalidate](Meta::must_revalidate), bit 1 [for authorized](Meta::for_authorized), bit 2 [for cookies](Meta::for_cookies) |
//! | 4   | the name of one of the [groups](Meta::groups), in UTF-8 |
//! | 5   | a [digest](#parts), where there is much content |
//! | 6   | 16 bytes: the id of the trace in which it was [computed](Meta::computed_by). Or 24: that, and the id of a span. Neither is all 0; what is no such id is ignored |
//! | 7   | 8 bytes: the number of the generation in which its computation [began](Meta::began) |
//!
//! # Parts
//!
//! `HEAD` requests, requests that get a 304, and requests for a range do not need all of a large entry. A node reads its
//! first 16 KiB for them, and some blocks of the content, with `GETRANGE`. So does a node that has no room for the whole: it
//! reads block after block as its client reads, and at the end the trailer section, for which the checksum at byte 4 vouches
//! once all the rest has been read. That checksum says nothing about a part, so entries with 16 KiB of content and more have a digest:
//!
//! | bytes | content |
//! |-------|---------|
//! | 1     | binary logarithm of the length of a block, 16 to 31 |
//! | 4     | CRC-32 of the head: all bytes from 8 up to the first one of the content, with these four as 0 |
//! | 4 each | CRC-32 of each block of the content. The last block may be shorter |
//!
//! There are at most 1024 blocks, each of 64 KiB or the next powers of two. A writer may leave the digest out. Where there
//! is none, where it does not fit, and where the head is longer than 16 KiB, the node reads the whole entry.
//!
//! # The message
//!
//! A known-length response (RFC 9292, section 3.1). Integers, lengths among them, are variable-length integers as
//! QUIC has them (RFC 9000, section 16).
//!
//! | content | section |
//! |---------|---------|
//! | framing indicator: the byte `01` | 3.3 |
//! | status, 200 to 599 | 3.5 |
//! | length of the header section in bytes, then for every field: length of the name, name, length of the value, value | 3.6 |
//! | length of the content, content | 3.7 |
//! | length of the trailer section in bytes, then its fields as above; `00` where there are none | 3.6 |
//!
//! Names are in lower case and values have no blanks at their ends (RFC 9113, section 8.2.1). A section has at most
//! 4096 fields. Lines of the same name keep their order.
//!
//! Narrower than the standard, an entry has no informational responses, no pseudo-fields, no padding, and is never
//! truncated: section 3.8 allows a message to end before an empty trailer section, which makes a message that *lost*
//! its trailers look whole.
//!
//! # A message alone
//!
//! Another program that resolves a promise need not write a frame. It writes a message with one more field, once:
//! `memolock-address`, with the address as its value, which is what a frame is most of all for. The reader takes the
//! field out.
//!
//! The store says how long the message is fresh: it answers until it expires, even if its fields say something else, as
//! with [`MemoControl::ttl`](super::policy::control::MemoControl::ttl). A message without an expiry answers until it is
//! [invalidated](crate::middleware::Handle::invalidate). `Date` and `Age`, where they are there, tell its age, and `public`,
//! `s-maxage` and `must-revalidate` what they tell of a handler's response.
//!
//! # An entry in pieces
//!
//! A node that uploads a response while it comes does not know how long it will be. Such an entry has this in front of
//! what the frame above has from byte 12 on:
//!
//! | at   | bytes | content |
//! |------|-------|---------|
//! | 0    | 4     | `4D 4C 4B 02` |
//! | 4    | 24    | the name of the attempt: the 16 bytes of the token of its lock, and 8 random ones |
//! | 28   | 4     | CRC-32 of the head: all bytes from 32 up to the first one of the content |
//! | 32   | 4     | length of the head, counted from byte 0; at most 32 KiB |
//!
//! It has no digest. The message is an indeterminate-length response (RFC 9292, section 3.2): the framing indicator `03`,
//! the status, the fields each as above and `00`, any number of pieces of content each with its length in front and `00`,
//! trailer fields and `00`. At the end stand four bytes more, the CRC-32 of all bytes in front of them. Without them it is
//! not whole.
//!
//! # What is refused
//!
//! [`StoredResponse::decode`] refuses everything that departs from the above, and every entry of another address,
//! version or length. The checksum guards against accidents, not against a program that can write to the store. A
//! message alone has no checksum: a changed byte goes unnoticed, but another address, or a message that is longer or
//! shorter, does not.
//!
//! The writer of an entry has judged the response. Nothing has judged a message alone, so it is refused where a layer
//! would not share it: with `Set-Cookie`, `private` or `no-store`; with `Vary` or `Cache-Groups`, which need what only
//! a node knows; with a status of 206, 226 or 304; as a stream of events; with a `Content-Length` that is wrong; as
//! gRPC without a `grpc-status`.
//!
//! A status beyond 599, which the `http` crate has a type for and RFC 9292 has none, cannot be encoded.
//!
//! # Writers in Python
//!
//! Of a message alone:
//!
//! ```python
//! def varint(n):
//!     size = next(size for size in (1, 2, 4, 8) if n < 1 << 8 * size - 2)
//!     return (n | (size.bit_length() - 1) << 8 * size - 2).to_bytes(size, "big")
//!
//! def block(content):
//!     return varint(len(content)) + content
//!
//! def fields(lines):
//!     return block(b"".join(block(name) + block(value) for name, value in lines))
//!
//! def message(address, status, headers, content, trailers=()):
//!     headers = [(b"memolock-address", address), *headers] if address else headers
//!     return b"\x01" + varint(status) + fields(headers) + block(content) + fields(trailers)
//! ```
//!
//! Everything but `status` is bytes; names and values come in pairs. Of an entry, with the above:
//!
//! ```python
//! import struct, zlib
//!
//! def entry(address, times, variant, status, headers, content, trailers, extras=()):
//!     flags = bool(variant) | bool(extras) << 1
//!     meta = struct.pack(">6QB16sH", *times, flags, variant or b"", len(address)) + address
//!     if extras:
//!         more = b"".join(struct.pack(">BH", tag, len(value)) + value for tag, value in extras)
//!         meta += struct.pack(">H", len(more)) + more
//!     rest = meta + message(None, status, headers, content, trailers)
//!     length = struct.pack(">I", 12 + len(rest))
//!     return b"MLK\x01" + struct.pack(">I", zlib.crc32(length + rest)) + length + rest
//! ```
//!
//! `times` are the six integers of the table, `variant` is 16 bytes or `None`, and tags and contents come in pairs.

mod apart;
pub(crate) mod bare;
mod binary_http;
mod copies;
mod digest;
pub(crate) mod draft;
mod error;
mod extras;
mod form;
mod frame;
mod message;
mod parted;
mod raw_body;
mod recent;
mod response;
mod streamed;
#[cfg(test)]
mod tests;
mod wire;

pub use self::binary_http::BinaryHttp;
pub use self::error::StoredResponseError;
pub(crate) use self::form::Form;
pub(crate) use self::parted::PartedBody;
pub use self::response::StoredResponse;
pub(crate) use self::streamed::{Streamed, StreamedDecoder, StreamedEncoder};
pub use super::policy::meta::Meta;

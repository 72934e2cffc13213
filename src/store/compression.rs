//! Values in fewer bytes, as zstd frames.

#[cfg(feature = "zstd")]
use std::cell::RefCell;

use bytes::Bytes;
#[cfg(feature = "zstd")]
use zstd::bulk::Decompressor;

#[cfg(feature = "zstd")]
thread_local! {
    /// Kept, because making a compressor takes longer than compressing a value of a few KiB.
    static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
}

/// The longest value that is compressed. A longer one can be read in parts as it is.
#[cfg(feature = "zstd")]
const MOST: usize = 4 << 20;

/// A frame with the value, and the length of the value, where that saves at least a tenth.
#[cfg(feature = "zstd")]
pub(super) fn compress(value: &[u8]) -> Option<(Vec<u8>, u32)> {
    if value.len() > MOST {
        return None;
    }
    let frame = zstd::bulk::compress(value, zstd::DEFAULT_COMPRESSION_LEVEL).ok()?;
    let len = u32::try_from(value.len()).ok()?;
    (frame.len() < value.len() - value.len() / 10).then_some((frame, len))
}

/// The value of this length in the frame. Whatever the frame says, it takes no more memory than a compressed value may.
#[cfg(feature = "zstd")]
pub(super) fn decompress(frame: &[u8], len: u32) -> Option<Bytes> {
    let len = usize::try_from(len).ok().filter(|len| *len <= MOST)?;
    let value = DECOMPRESSOR.with_borrow_mut(|decompressor| {
        let decompressor = match decompressor {
            Some(decompressor) => decompressor,
            none => none.insert(Decompressor::new().ok()?),
        };
        decompressor.decompress(frame, len).ok()
    })?;
    (value.len() == len).then(|| value.into())
}

/// A program without zstd finds no value.
#[cfg(not(feature = "zstd"))]
pub(super) fn decompress(_frame: &[u8], _len: u32) -> Option<Bytes> {
    None
}

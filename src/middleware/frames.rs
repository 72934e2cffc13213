//! Frames of bodies.

use bytes::{Buf, Bytes};
use http_body::{Frame, SizeHint};

/// The frame with its data as `Bytes`, which copies nothing where it is `Bytes` already.
pub(crate) fn into_bytes<D: Buf>(frame: Frame<D>) -> Frame<Bytes> {
    frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))
}

/// What remains of a body after this frame.
pub(crate) fn consume(remaining: &mut SizeHint, frame: &Frame<Bytes>) {
    let Some(data) = frame.data_ref() else { return };
    let length = data.len() as u64;
    let upper = remaining.upper().map(|upper| upper.saturating_sub(length));
    let mut hint = SizeHint::new();
    hint.set_lower(remaining.lower().saturating_sub(length));
    if let Some(upper) = upper {
        hint.set_upper(upper);
    }
    *remaining = hint;
}

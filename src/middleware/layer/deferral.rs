//! What can be set about responses that other programs make, and about the form in which they and others are stored.

use http::HeaderValue;

use super::MemoLockLayer;
use crate::middleware::stored_response::Form;
use crate::store::Store;

impl<St: Store, K> MemoLockLayer<St, K> {
    /// Stores of each response its body alone, to the letter, as the older members of the memolock family read and write
    /// it; replays what is stored as a 200 with this content type, for as long as the store keeps it. To be called
    /// first: what was done under the layer before does not count.
    ///
    /// A response to which there is more than that cannot be stored: with another status or content type, a
    /// `Content-Encoding`, `Vary`, trailers or tags. It goes to those who wait for it in this process, and other processes
    /// make their own. Header fields that only describe the response, `ETag` and `Cache-Control` among them, are lost, and
    /// with them whatever lets a response go on once it is stale, or be given to requests with credentials. A store in
    /// this process keeps responses whole nevertheless.
    ///
    /// A body has no checksum and no address: whoever can write to the store, or mixes two keys up, makes a response of
    /// whatever bytes there are. One that was written without an expiry answers until it is
    /// [invalidated](Self::invalidate). Only what a layer without this setting has stored is recognized, and counts as
    /// absent. All nodes have to agree; and [`stamped`](Self::stamped) puts something in front of the body.
    ///
    /// # Panics
    ///
    /// If `content_type` is no media type, like `application/pdf`. One that comes from outside the program has to be
    /// checked before.
    #[must_use]
    pub fn raw_body<T>(mut self, content_type: T) -> Self
    where
        T: TryInto<HeaderValue>,
    {
        let form = Form::raw(from_literal(content_type));
        self.settings.memo = self.settings.memo.codec(form);
        self
    }
}

/// A media type that the program itself wrote down.
#[track_caller]
fn from_literal<T: TryInto<HeaderValue>>(content_type: T) -> HeaderValue {
    let is_token = |token: &[u8]| {
        let is_tchar = |byte: &u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(byte);
        !token.is_empty() && token.iter().all(is_tchar)
    };
    let is_media_type = |value: &HeaderValue| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next();
        let mut parts = essence.unwrap_or_default().trim_ascii().splitn(2, |byte| *byte == b'/');
        parts.next().is_some_and(is_token) && parts.next().is_some_and(is_token)
    };
    match content_type.try_into().ok().filter(is_media_type) {
        Some(content_type) => content_type,
        None => panic!("not a media type"),
    }
}

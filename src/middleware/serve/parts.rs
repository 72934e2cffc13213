//! Parts of what is stored, for requests that want no more: the head for `HEAD` and a 304, and few bytes for a range.
//!
//! A store that is asked for a part may have another value in it than a moment before, so each part is checked by a
//! [digest](crate::middleware::stored_response#parts) in the head. Where that does not fit, or there is none, the whole is read.

use std::sync::Arc;

use bytes::Bytes;
use http::HeaderMap;

use crate::key::Address;
use crate::memo::HeadLook;
use crate::middleware::cache::Settings;
use crate::middleware::policy::request::Narrow;
use crate::middleware::respond::replay::{self, Wanted};
use crate::middleware::stored_response::StoredResponse;

/// Heads are read in one piece of this length. A longer one is read with the rest.
const HEAD: usize = 16 * 1024;

/// Longer parts are read with the rest: those who want the same at one time share that.
const LONGEST: usize = 1 << 20;

impl<K> Settings<K> {
    /// What is stored, perhaps without its body.
    pub(crate) async fn look_at(&self, address: &Address) -> Option<Arc<StoredResponse>> {
        let shared = &self.memo.shared;
        if shared.codec.is_raw() {
            return shared.look_up(address).await;
        }
        let head = |bytes, offset| StoredResponse::decode_head(address, &bytes, offset).ok().map(Arc::new);
        match shared.preview(address, HEAD, head).await {
            None => shared.look_up(address).await,
            Some(HeadLook::Nothing) => None,
            Some(HeadLook::Found(found)) => Some(found),
        }
    }

    /// The part of the body that this request wants, if it wants one and the store still has it. `Err` where it takes the
    /// whole.
    pub(crate) async fn part(
        &self,
        address: &Address,
        stored: &StoredResponse,
        narrow: Narrow,
        request: &HeaderMap,
    ) -> Result<Option<Bytes>, ()> {
        let Some(apart) = stored.apart_body() else {
            return Ok(None);
        };
        match replay::wanted(stored, narrow, request) {
            Wanted::Nothing => Ok(None),
            Wanted::Part(part) => {
                let blocks = Some(apart.blocks(&part)).filter(|blocks| blocks.len() <= LONGEST);
                let blocks = blocks.ok_or(())?;
                let bytes = self.memo.shared.store_part(address, blocks).await.ok_or(())?;
                apart.part(&part, &bytes).map(Some).ok_or(())
            }
            Wanted::Whole => Err(()),
        }
    }
}

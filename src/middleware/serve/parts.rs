//! Parts of stored responses, for requests that want no more: the head for `HEAD` and a 304, and a few bytes for a
//! range. They also serve all other requests while large bodies that clients have not read yet take up all the memory
//! that they may.
//!
//! The store may have another value by the time at which it is asked for a part. So each part is checked by a
//! [digest](crate::middleware::stored_response#parts) in the head. Where the digest does not fit, or there is none, the
//! whole is read.

use std::sync::Arc;

use http::HeaderMap;

use crate::key::Address;
use crate::middleware::cache::Cache;
use crate::middleware::lookup::{self, Depth, Lookup};
use crate::middleware::policy::request::RequestConstraints;
use crate::middleware::respond::replay::{self, Portion, Wanted};
use crate::middleware::stored_response::{PartedBody, StoredResponse};

/// Longer parts are read with the rest, because requests for one response at one time share a read of the whole.
const LONGEST: usize = 1 << 20;

/// From so many bytes on a body counts as large.
const LARGE: usize = 64 * 1024;

/// How much memory large bodies from a store elsewhere may hold, as a share of the bound on recordings.
const SHARE: u64 = 4;

/// Whether large bodies from a store elsewhere take up all the room there is for them, besides this one.
pub(super) fn is_crowded(cache: &Cache, body: usize) -> bool {
    let held = cache.memo.shared.codec.held();
    let others = held.saturating_sub(body);
    others > 0 && others as u64 >= cache.responses.max_recording / SHARE
}

/// The same, for a body that is in memory.
pub(super) fn is_crowded_beside(cache: &Cache, stored: &StoredResponse) -> bool {
    let body = stored.body().len();
    body >= LARGE && is_crowded(cache, body)
}

/// The response to a request with these fields, which wants all of it. Its body may be left in the store, and is then
/// read as the client reads.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
pub(super) fn find_whole(cache: &Cache, address: &Address, headers: &HeaderMap) -> impl Future<Output = Lookup> + Send {
    async move {
        if !is_crowded(cache, 0) {
            let found = lookup::find(cache, address, headers, Depth::Whole).await;
            match &found {
                Lookup::Stored(_, stored) if is_crowded_beside(cache, stored) => {}
                _ => return found,
            }
        }
        // Boxed, because it is seldom needed.
        Box::pin(find_in_parts(cache, address, headers)).await
    }
}

async fn find_in_parts(cache: &Cache, address: &Address, headers: &HeaderMap) -> Lookup {
    let found = lookup::find(cache, address, headers, Depth::Head).await;
    let Lookup::Stored(variant, stored) = found else {
        return found;
    };
    if stored.apart_body().is_none() {
        return Lookup::Stored(variant, stored);
    }
    match begin_in_parts(cache, &variant.address, stored).await {
        Some(parted) => Lookup::Stored(variant, parted),
        None => lookup::find(cache, address, headers, Depth::Whole).await,
    }
}

/// The response with this head, whose body was left in the store, to be read as the client reads.
async fn begin_in_parts(cache: &Cache, address: &Address, head: Arc<StoredResponse>) -> Option<Arc<StoredResponse>> {
    let apart = head.apart_body()?;
    let body = PartedBody::begin(&cache.memo.shared, address, apart, 0..apart.len()).await?;
    Some(Arc::new(Arc::unwrap_or_clone(head).in_parts(body)))
}

/// A response that this request has waited for. Where there is no room for its body, and the store has it too, it is read
/// there as the client reads.
pub(super) async fn make_room(cache: &Cache, address: &Address, followed: Arc<StoredResponse>) -> Arc<StoredResponse> {
    if !is_crowded_beside(cache, &followed) {
        return followed;
    }
    let parted = Box::pin(async {
        let head = lookup::head(cache, address).await?;
        match head.meta() == followed.meta() {
            true => begin_in_parts(cache, address, head).await,
            false => None,
        }
    });
    parted.await.unwrap_or(followed)
}

/// The part of the body that this request wants, if it wants any and the store still has it. `Err` where the whole
/// has to be read.
pub(super) async fn portion(
    cache: &Cache,
    address: &Address,
    stored: &StoredResponse,
    constraints: RequestConstraints,
    request: &HeaderMap,
) -> Result<Portion, ()> {
    let Some(apart) = stored.apart_body() else {
        return Ok(Portion::None);
    };
    let (range, blocks) = match replay::wanted(stored, constraints, request) {
        Wanted::Nothing => return Ok(Portion::None),
        Wanted::Part(range) => (range.clone(), Some(apart.blocks(&range))),
        Wanted::Whole => (0..apart.len(), None),
    };
    let shared = &cache.memo.shared;
    if let Some(blocks) = blocks.filter(|blocks| blocks.len() <= LONGEST) {
        let bytes = shared.store_part(address, blocks).await.ok_or(())?;
        return apart.part(&range, &bytes).map(Portion::Read).ok_or(());
    }
    if !is_crowded(cache, 0) {
        return Err(());
    }
    let body = PartedBody::begin(shared, address, apart, range);
    body.await.map(Portion::InParts).ok_or(())
}

//! Where the response to a request is stored, and whether it is there.

use std::sync::Arc;

use http::HeaderMap;
use tokio::time::Instant;

use super::cache::Cache;
use super::known::vary_index::Known;
use super::policy::cache_status::Forward;
use super::policy::credentials::Credentials;
use super::policy::reason::Reason;
use super::policy::vary::{self, Vary};
use super::stored_response::{Form, StoredResponse};
use crate::key::Address;
use crate::memo::{self, Aim, Caller, HeadLook};
use crate::store::{AnyStore, Peeked, Store};

/// How often a request may find that the response varies by other fields than were known, before it goes its own way.
const MAX_LESSONS: usize = 3;

/// Heads are read in one piece of this length. A longer one is read with the rest.
const HEAD: usize = 16 * 1024;

/// What a look-up finds for a request.
pub(crate) enum Lookup {
    /// Its own variant, stale or fresh.
    Stored(VariantAddress, Arc<StoredResponse>),
    /// Nothing, at this address, where the response would be.
    Nothing(VariantAddress),
    /// A marker at this address: the response that belongs there is not to be shared.
    Marker(VariantAddress),
    /// The fields by which the response varies change all the time.
    Unsettled,
}

/// How much of a response is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    Whole,
    /// The head, with or without the body.
    Head,
}

/// Where the response to a request is.
#[derive(Debug, Clone)]
pub(crate) struct VariantAddress {
    pub(crate) address: Address,
    /// The fingerprint, where this is not the address of the first variant.
    pub(crate) fingerprint: Option<[u8; 16]>,
}

impl VariantAddress {
    pub(crate) fn first(address: &Address) -> Self {
        Self {
            address: address.clone(),
            fingerprint: None,
        }
    }
}

/// The response to a request with these fields, where the store has it in this process and it is fresh. `variant` becomes
/// its address, unless that is the first variant's.
#[inline]
pub(crate) fn peek(
    cache: &Cache,
    address: &Address,
    headers: &HeaderMap,
    now: Instant,
    variant: &mut Option<VariantAddress>,
) -> Option<Peeked<Form>> {
    let shared = &cache.memo.shared;
    let first = memo::lookup::peek_at(shared, address, now)?;
    // Without a generation it has no variants.
    if first.meta().generation.is_some() {
        *variant = known_variant(cache, address, &first, headers);
    }
    let stored = match variant {
        Some(variant) => memo::lookup::peek_at(shared, &variant.address, now)?,
        None => first,
    };
    cache.credential_history.learn(stored.meta());
    (stored.is_fresh_at(now) && is_variant(&stored, headers)).then_some(stored)
}

/// Where the response to a request with these fields is, if it is not the first and is known.
fn known_variant(
    cache: &Cache,
    address: &Address,
    first: &StoredResponse,
    headers: &HeaderMap,
) -> Option<VariantAddress> {
    let known = cache.vary.get(address).filter(|known| known.is_of(first))?;
    let variant = variant_of(&known, address, headers);
    variant.fingerprint.is_some().then_some(variant)
}

/// The response to a request with these fields.
#[expect(clippy::manual_async_fn, reason = "an async fn keeps each of its arguments twice")]
pub(crate) fn find(
    cache: &Cache,
    address: &Address,
    headers: &HeaderMap,
    depth: Depth,
) -> impl Future<Output = Lookup> + Send {
    async move {
        for _ in 0..MAX_LESSONS {
            let known = cache.vary.get(address);
            let variant = known.as_ref().map_or_else(
                || VariantAddress::first(address),
                |known| variant_of(known, address, headers),
            );
            let (first, own) = match (&known, variant.fingerprint) {
                (Some(_), Some(_)) => {
                    // Boxed, because most responses have no variants.
                    Box::pin(async {
                        match depth {
                            Depth::Whole => tokio::join!(whole(cache, address), whole(cache, &variant.address)),
                            Depth::Head => tokio::join!(head(cache, address), head(cache, &variant.address)),
                        }
                    })
                    .await
                }
                _ => match depth {
                    Depth::Whole => (whole(cache, address).await, None),
                    Depth::Head => (Box::pin(head(cache, address)).await, None),
                },
            };
            let Some(first) = first else {
                return Lookup::Nothing(VariantAddress::first(address));
            };
            if first.meta().is_marker {
                return Lookup::Marker(VariantAddress::first(address));
            }
            cache.credential_history.learn(first.meta());
            if is_variant(&first, headers) {
                let is_first = variant.fingerprint.is_none();
                let variant = if is_first {
                    variant
                } else {
                    VariantAddress::first(address)
                };
                return Lookup::Stored(variant, first);
            }
            if known.is_some_and(|known| known.is_of(&first)) {
                return of_variant(variant, own, &first, headers);
            }
            if !learn(cache, address, &first) {
                break;
            }
        }
        Lookup::Unsettled
    }
}

/// What is stored, fresh or not.
pub(crate) async fn whole(cache: &Cache, address: &Address) -> Option<Arc<StoredResponse>> {
    memo::lookup::unless_computing(&cache.memo.shared, address)
        .await
        .map(|found| found.value)
}

/// The stored response, perhaps without its body.
pub(crate) async fn head(cache: &Cache, address: &Address) -> Option<Arc<StoredResponse>> {
    let shared = &cache.memo.shared;
    if shared.codec.is_raw() {
        return whole(cache, address).await;
    }
    let head = |bytes, offset| StoredResponse::decode_head(address, &bytes, offset).ok().map(Arc::new);
    match shared.preview(address, HEAD, head).await {
        None => whole(cache, address).await,
        Some(HeadLook::Nothing) => None,
        Some(HeadLook::Found(found)) => Some(found),
    }
}

/// The address of the variant for these fields, where another one was found at `address`.
pub(crate) fn other_variant(
    cache: &Cache,
    address: &Address,
    found: &StoredResponse,
    headers: &HeaderMap,
) -> Option<VariantAddress> {
    if !learn(cache, address, found) {
        return None;
    }
    let variant = variant_of(&cache.vary.get(address)?, address, headers);
    variant.fingerprint.is_some().then_some(variant)
}

fn learn(cache: &Cache, address: &Address, first: &StoredResponse) -> bool {
    let meta = first.meta();
    let (Vary::Names(names), Some(fingerprint), Some(generation)) =
        (vary::names(first.headers()), meta.variant, meta.generation)
    else {
        return false;
    };
    let known = Known {
        names: names.into(),
        first: fingerprint,
        generation,
    };
    cache.vary.learn(address, known);
    true
}

fn variant_of(known: &Known, address: &Address, headers: &HeaderMap) -> VariantAddress {
    match vary::fingerprint(&known.names, headers) {
        first if first == known.first => VariantAddress::first(address),
        fingerprint => VariantAddress {
            address: address.variant(known.generation, &fingerprint),
            fingerprint: Some(fingerprint),
        },
    }
}

/// What is found at the address of the request's variant, which has `own`, beside this first variant.
fn of_variant(
    variant: VariantAddress,
    own: Option<Arc<StoredResponse>>,
    first: &StoredResponse,
    headers: &HeaderMap,
) -> Lookup {
    // An invalidation of the first variant concerns all of them.
    let own = own.and_then(|own| own.as_soft_as(first));
    match own.filter(|own| is_variant(own, headers)) {
        Some(own) if own.meta().is_marker => Lookup::Marker(variant),
        Some(own) => Lookup::Stored(variant, own),
        None => Lookup::Nothing(variant),
    }
}

/// Whether the stored response is for a request with these fields (RFC 9111, section 4.1).
#[inline]
pub(crate) fn is_variant(stored: &StoredResponse, headers: &HeaderMap) -> bool {
    let variant = stored.meta().variant.as_ref();
    variant.is_none_or(|variant| is_for(variant, stored, headers))
}

fn is_for(variant: &[u8; 16], stored: &StoredResponse, headers: &HeaderMap) -> bool {
    match vary::names(stored.headers()) {
        Vary::Names(names) => vary::matches(&names, variant, headers),
        Vary::None | Vary::Any => false,
    }
}

/// A miss: what a request looked for and did not find.
pub(crate) struct Miss {
    /// The address of the first variant.
    pub(crate) first: Address,
    /// The address at which its response would be.
    pub(crate) variant: VariantAddress,
    /// The stale response that is stored there, if one is.
    pub(crate) stale: Option<Arc<StoredResponse>>,
    /// Why the inner service is asked, if it is.
    pub(crate) why: Forward,
    pub(crate) credentials: Credentials,
    /// Whether the request may go to the inner service once its client has an answer.
    pub(crate) can_lead: bool,
    pub(crate) aim: Aim,
    /// The request, as one of those that wait for the response.
    pub(crate) caller: Caller,
}

/// Why a request for the response at `address` was no hit, and the inner service is asked.
pub(crate) fn missed(store: &AnyStore, why: Forward, address: &Address) -> Reason {
    match why {
        _ if !store.accepts(address) => Reason::StoreDown,
        Forward::Stale => Reason::Expired,
        Forward::VaryMiss => Reason::Variant,
        Forward::Bypass | Forward::Method | Forward::Request | Forward::UriMiss => Reason::Absent,
    }
}

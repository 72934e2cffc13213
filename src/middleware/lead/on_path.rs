//! Requests that come through layers of one tag more than once: see [`Path`].

use http::Extensions;

use crate::key::Address;
use crate::memo::Path;
use crate::store::AnyStore;

/// Marks a request that a layer has seen to, for the layers beneath it.
#[derive(Clone)]
struct OnPath(Path);

/// Whether the request, or the computation that it is part of, has been at `address` before.
#[inline]
pub(crate) fn has_been_at(extensions: &Extensions, store: &AnyStore, address: &Address) -> bool {
    let mark = extensions.get::<OnPath>();
    mark.is_some_and(|OnPath(path)| path.leads_over(store, address)) || Path::current_leads_over(store, address)
}

/// Marks a request as being seen to at `address` from here on, unless it is marked already.
pub(crate) fn mark(extensions: &mut Extensions, store: &AnyStore, address: &Address) {
    let path = path(extensions);
    if !path.leads_over(store, address) {
        extensions.insert(OnPath(path.to(store, address)));
    }
}

/// The path that the request has come. A task that a service in between has spawned knows only the mark.
pub(crate) fn path(extensions: &Extensions) -> Path {
    let current = Path::current();
    match extensions.get::<OnPath>() {
        Some(OnPath(marked)) if marked.len() > current.len() => marked.clone(),
        _ => current,
    }
}

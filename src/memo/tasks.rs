//! The long futures of the core, behind pointers.
//!
//! A generic future is compiled in the crate that names its type. The layer makes its [`Shared`] in this crate. So the
//! futures behind these pointers are compiled here once, and not in every program that has a layer.

use std::sync::Arc;

use super::background::refresh::{Begin, IsSame, RefreshTask};
use super::background::solo::SoloTask;
use super::config::Config;
use super::coordinator::Coordinator;
use super::flights::lookups::Seeking;
use super::flights::patience::Patience;
use super::found::Found;
use super::join::{self, Caller, Obtained, Role};
use super::lookup;
use super::permit::MemoWaiter;
use super::shared::Shared;
use crate::codec::Codec;
use crate::key::Address;
use crate::task::BoxFuture;

/// Sees a flight through to its end.
type Run<C> = fn(Coordinator<C>) -> BoxFuture<'static, ()>;

/// Leads a flight that no caller joins.
type Alone<C> = fn(Coordinator<C>, SoloTask<C>) -> BoxFuture<'static, ()>;

/// Has a value computed that no caller waits for.
type Anew<C> = fn(
    Coordinator<C>,
    RefreshTask<C>,
    MemoWaiter<<C as Codec>::Value>,
    IsSame<<C as Codec>::Value>,
    Begin<<C as Codec>::Value>,
) -> BoxFuture<'static, ()>;

/// Waits for a value, or for the lead.
type Wait<C> = for<'a> fn(
    &'a Arc<Shared<C>>,
    &'a Address,
    &'a Config,
    &'a mut Patience,
    &'a Caller,
    Role,
    Option<MemoWaiter<<C as Codec>::Value>>,
) -> BoxFuture<'a, Obtained<<C as Codec>::Value>>;

/// Looks up together with others.
type Look<C> =
    for<'a> fn(&'a Arc<Shared<C>>, &'a Address, Seeking) -> BoxFuture<'a, Option<Found<<C as Codec>::Value>>>;

pub(super) struct Tasks<C: Codec> {
    pub(super) run: Run<C>,
    pub(super) solo: Alone<C>,
    pub(super) refresh: Anew<C>,
    pub(super) wait: Wait<C>,
    pub(super) look: Look<C>,
}

impl<C: Codec> Tasks<C> {
    pub(super) fn new() -> Self {
        Self {
            run: |coordinator| Box::pin(coordinator.run()),
            solo: |coordinator, solo| Box::pin(solo.run(coordinator)),
            refresh: |coordinator, refresh, waiter, is_same, begin| {
                Box::pin(refresh.run(coordinator, waiter, is_same, begin))
            },
            wait: |shared, address, config, patience, caller, role, place| {
                Box::pin(join::wait(shared, address, config, patience, caller, role, place))
            },
            look: |shared, address, seeking| Box::pin(lookup::together(shared, address, seeking)),
        }
    }
}

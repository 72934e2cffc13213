//! What one layer and all its services share.

use std::sync::Arc;

use http::request::Parts;
use http::{Extensions, HeaderMap};
use tokio::time::Instant;
use tracing::Level;

use super::incoming::Incoming;
use super::key_extractor::digest_of_fields;
use super::known::credential_history::CredentialHistory;
use super::known::demand::Demand;
use super::known::hit_for_pass::HitForPass;
use super::known::misuse::Misuse;
use super::known::pauses::Pauses;
use super::known::vary_index::VaryIndex;
use super::policy::recency;
use super::policy::request::RequestRules;
use super::policy::response_rules::ResponseRules;
use super::respond::tally::{Tally, Teller};
use super::respond::told_key::ToldKey;
use super::settings::GrpcMethod;
#[cfg(feature = "admin")]
use super::shadow::{Shadow, Verify};
use super::stored_response::Form;
use crate::key::{Address, Key};
use crate::memo::{Aim, MemoLock};
use crate::simulation::{Planted, planted};
use crate::trace;

/// The name of the part with the fields that the layer adds to the key. A `:` cannot stand in the name of one.
const HEADERS: &str = "headers:sha256";

/// What a [`MemoLockLayer`](super::layer::MemoLockLayer) is: its core, its rules, and what it remembers.
#[derive(Clone)]
pub(crate) struct Cache {
    pub(crate) memo: MemoLock<Form>,
    pub(crate) requests: RequestRules,
    pub(crate) responses: ResponseRules,
    /// Whether responses say what the layer did.
    pub(crate) cache_status: bool,
    /// Whether they say the key, too.
    pub(crate) cache_status_key: bool,
    pub(crate) tally: Arc<Tally>,
    pub(crate) vary: Arc<VaryIndex>,
    pub(crate) credential_history: Arc<CredentialHistory>,
    pub(crate) hit_for_pass: Arc<HitForPass>,
    /// The responses that other processes compute and requests here read along.
    pub(crate) incoming: Arc<Incoming>,
    pub(crate) pauses: Arc<Pauses>,
    pub(crate) misuse: Arc<Misuse>,
    /// Counts how often keys are asked for, if only responses to frequent keys are stored.
    pub(crate) demand: Option<Arc<Demand>>,
    /// Of a layer for gRPC, the methods whose calls it collapses.
    pub(crate) methods: Option<Arc<[GrpcMethod]>>,
    /// Where the layer only watches.
    #[cfg(feature = "admin")]
    pub(crate) shadow: Option<Arc<Shadow>>,
    /// Which hits are verified, if any are.
    #[cfg(feature = "admin")]
    pub(crate) verify: Option<Arc<Verify>>,
}

impl Cache {
    /// A place for the request's key, where the response or the log is to tell the key.
    pub(crate) fn told_key(&self) -> Option<ToldKey> {
        let in_response = self.cache_status_key;
        (in_response || is_logged()).then(|| ToldKey::new(in_response))
    }

    /// The same for a request that has no key of its own, where the log is to tell the key that it concerns.
    pub(crate) fn logged_key(&self) -> Option<ToldKey> {
        is_logged().then(|| ToldKey::new(false))
    }

    /// Tells the outcome of a request with this key.
    pub(crate) fn teller(&self, key: Option<ToldKey>) -> Teller {
        Teller::new(&self.tally, self.cache_status, key)
    }

    /// What a request with these fields wants.
    #[inline]
    pub(crate) fn aim(&self, headers: &HeaderMap, extensions: &Extensions) -> Aim {
        match extensions.is_empty() && !self.requests.receipts {
            true => Aim::Fresh,
            false => recency::aim(headers, extensions, self.requests.receipts),
        }
    }

    /// The same aim, if it can be met. Asks the store.
    pub(crate) async fn settled(&self, aim: Aim, head: &Parts) -> Aim {
        let receipts = recency::receipts(&head.headers, &head.extensions, self.requests.receipts);
        self.memo.shared.settled(aim, receipts).await
    }

    /// Whether handlers may leave a response to a worker.
    pub(crate) fn may_defer(&self) -> bool {
        self.memo.config.requests
    }

    /// Counts a request.
    #[inline]
    pub(crate) fn ask(&self, address: &Address) {
        self.memo.shared.insight.asked(address);
        if let Some(demand) = &self.demand {
            demand.ask(address, Instant::now());
        }
    }

    /// The key under which the layer stores the response to a request with these fields.
    #[inline]
    pub(crate) fn whole_key(&self, key: Key, headers: &HeaderMap) -> Key {
        let key = key.apart();
        match &*self.requests.key_headers {
            _ if planted(Planted::KeyWithoutFields) => key,
            [] => key,
            names => key.with_digest(HEADERS, &digest_of_fields(headers, names)),
        }
    }
}

/// Whether the log has the event of each request.
fn is_logged() -> bool {
    tracing::enabled!(target: trace::REQUESTS, Level::DEBUG)
}

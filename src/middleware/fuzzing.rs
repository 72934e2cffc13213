//! What only the fuzzers reach: this module exists only under `--cfg fuzzing`.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, StatusCode, Uri};
use http_body_util::{BodyExt, Full};
use tokio::runtime::{Builder, Runtime};

use super::grpc;
use super::key_extractor::{GrpcKey, KeyExtractor};
use super::policy::control::MemoControl;
use super::policy::ending::{Ended, Incomplete, at_end};
use super::policy::grpc::{self as grpc_policy, GrpcRules};
use super::policy::range::{self, Selection};
use super::policy::request::{Access, RequestRules, access};
use super::policy::response::{Head, at_head};
use super::policy::response_rules::ResponseRules;
use super::policy::sharing::Sharing;
use super::policy::vary::{self, Vary};
use super::policy::{age, conditions, fields, groups, invalidation, revalidation, targeted};
use crate::key::Key;

/// A day in 2033: the decisions are to be the same whenever an input is tried again.
const NOW: Duration = Duration::from_secs(2_000_000_000);

/// Which clients may have a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SharedWith {
    /// Only the client that asked, or it is not whole.
    No,
    /// The followers.
    Waiting,
    /// Clients that ask within this time, too.
    For(Duration),
}

/// Decides about a response with `body_len` bytes to a GET.
#[must_use]
pub fn shared(status: StatusCode, headers: &HeaderMap, trailers: Option<&HeaderMap>, body_len: u64) -> SharedWith {
    let rules = ResponseRules {
        ttl: Some(Duration::from_secs(1)),
        // They come before what the input says in Cache-Control.
        targets: Arc::new([]),
        ..ResponseRules::default()
    };
    let head = Head {
        method: &Method::GET,
        status,
        headers,
        control: &MemoControl::new(),
    };
    let at_head = at_head(&head, &rules, SystemTime::UNIX_EPOCH + NOW);
    let ended = Ended {
        method: &Method::GET,
        status,
        headers,
        trailers,
        body_len,
        set_cookie: rules.set_cookie,
    };
    extent(at_end(at_head, &ended))
}

/// Decides about a reply of a gRPC method that has failures stored whose status is 5.
#[must_use]
pub fn shared_reply(headers: &HeaderMap, trailers: Option<&HeaderMap>, content: &[u8]) -> SharedWith {
    let ttl = Duration::from_secs(1);
    let rules = ResponseRules {
        ttl: Some(ttl),
        grpc: Some(GrpcRules {
            status_ttl: Arc::new([(5, ttl)]),
        }),
        ..ResponseRules::default()
    };
    let head = Head {
        method: &Method::POST,
        status: StatusCode::OK,
        headers,
        control: &MemoControl::new(),
    };
    let at_head = at_head(&head, &rules, SystemTime::UNIX_EPOCH + NOW);
    let ended = Ended {
        method: &Method::POST,
        status: StatusCode::OK,
        headers,
        trailers,
        body_len: content.len() as u64,
        set_cookie: rules.set_cookie,
    };
    extent(grpc_policy::at_end(at_head, &ended, content, &rules))
}

fn extent(ended: Result<Sharing, Incomplete>) -> SharedWith {
    match ended {
        Ok(Sharing::Store(terms)) if terms.no_cache => SharedWith::No,
        Ok(Sharing::Store(terms)) => SharedWith::For(terms.fresh_for),
        Ok(Sharing::Share) => SharedWith::Waiting,
        Ok(Sharing::Pass(_)) | Err(_) => SharedWith::No,
    }
}

/// Whether a GET with these fields may share a response.
#[must_use]
pub fn may_collapse(headers: &HeaderMap) -> bool {
    access(&Method::GET, headers, false, |_| false, &RequestRules::default()) == Access::Share
}

/// Reads everything else that comes from outside: structured fields, conditions, ranges, references.
pub fn read(request: &HeaderMap, stored: &HeaderMap) {
    let rules = ResponseRules::default();
    let _ = targeted::directives(stored, &rules.targets);
    let _ = groups::groups(stored);
    let _ = conditions::not_modified(request, stored, SystemTime::UNIX_EPOCH + NOW);
    if let Selection::Part(range) = range::select(request, stored, 100) {
        assert!(range.start < range.end && range.end <= 100, "{range:?}");
    }
    let uri = Uri::from_static("http://example.com/a/b?c");
    for target in invalidation::locations(&uri, request, stored) {
        assert!(target.as_str().starts_with('/'), "{target}");
    }
    let _ = revalidation::updated(stored, request, SystemTime::UNIX_EPOCH + NOW);
}

/// How old a response is when it arrives.
#[must_use]
pub fn age(headers: &HeaderMap) -> Duration {
    age::on_arrival(headers, SystemTime::UNIX_EPOCH + NOW).unwrap_or_default()
}

/// The fields of `request` that selected `response`. `None` where no other request selects it.
#[must_use]
pub fn variant(response: &HeaderMap, request: &HeaderMap) -> Option<[u8; 16]> {
    match vary::names(response) {
        Vary::None => Some([0; 16]),
        Vary::Any => None,
        Vary::Names(names) => Some(vary::fingerprint(&names, request)),
    }
}

/// Removes the fields that are about one connection.
pub fn strip_connection_fields(headers: &mut HeaderMap) {
    fields::strip_connection_fields(headers);
}

/// The key of a gRPC call, and the body that the inner service gets.
#[must_use]
pub fn grpc_call(headers: &HeaderMap, body: &[u8]) -> (Option<Key>, Bytes) {
    // Nothing waits in it: the body is there.
    static RUNTIME: LazyLock<Option<Runtime>> =
        LazyLock::new(|| Builder::new_current_thread().enable_time().build().ok());
    let _ = grpc::deadline(headers);
    let mut request = Request::new(Full::new(Bytes::copy_from_slice(body)));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = Uri::from_static("http://example.com/p.S/M");
    request.headers_mut().clone_from(headers);
    let read = async {
        let (key, request) = GrpcKey::new().body_key(request).await;
        let body = request.into_body().collect().await;
        (key, body.map(http_body_util::Collected::to_bytes).unwrap_or_default())
    };
    match &*RUNTIME {
        Some(runtime) => runtime.block_on(read),
        None => (None, Bytes::copy_from_slice(body)),
    }
}

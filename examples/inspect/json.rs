//! `list`, `locks` and `show` for programs: one JSON document each.
//!
//! Names are written as they are for people, so that `show` takes them. Times are in milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::http::HeaderMap;
use serde_json::{Map, Value, json};
use support::println;
use tower::BoxError;
use tower_memolock::middleware::stored_response::StoredResponse;
use tower_memolock::store::Standing;
use tower_memolock::{Store, TraceContext};

use super::entry::{Entry, What};
use super::list::token;
use super::server::{Read, Server, Ttl};
use super::show::{BODY, find};
use super::text::{NAME, plain, plain_lines};

/// What is stored under the tag.
pub(crate) async fn values(server: &mut Server, limit: usize) -> Result<(), BoxError> {
    let found = server.ids("", limit, |_| true).await?;
    let mut values = Vec::new();
    for id in &found.ids {
        let read = server.read("", id, false).await?;
        if read.ttl != Ttl::Gone {
            let entry = Entry::new(&server.tag, id, read);
            values.push(value(server, id, &entry).await?);
        }
    }
    println!(
        "{}",
        json!({"tag": server.tag.as_str(), "values": values, "more": found.more})
    );
    Ok(())
}

/// The holder of each lock.
pub(crate) async fn locks(server: &mut Server, limit: usize) -> Result<(), BoxError> {
    let found = server.ids("/lock", limit, |_| true).await?;
    let mut locks = Vec::new();
    for id in &found.ids {
        if let Some(Value::Object(mut lock)) = lock(&server.read("/lock", id, false).await?) {
            lock.insert("key".to_owned(), plain(id, NAME).into());
            locks.push(lock);
        }
    }
    println!(
        "{}",
        json!({"tag": server.tag.as_str(), "locks": locks, "more": found.more})
    );
    Ok(())
}

/// What is stored under a key, and its lock. The body only if it `is_wanted`.
pub(crate) async fn show(server: &mut Server, key: &str, body_is_wanted: bool) -> Result<(), BoxError> {
    let id = find(server, key).await?;
    let read = server.read("", &id, true).await?;
    let stored = match read.ttl {
        Ttl::Gone => Value::Null,
        _ => {
            let entry = Entry::new(&server.tag, &id, read);
            let mut stored = value(server, &id, &entry).await?;
            details(&mut stored, &entry, body_is_wanted);
            stored.into()
        }
    };
    let lock = lock(&server.read("/lock", &id, false).await?);
    let (tag, key) = (server.tag.as_str(), plain(&id, NAME));
    println!("{}", json!({"tag": tag, "key": key, "value": stored, "lock": lock}));
    Ok(())
}

async fn value(server: &Server, id: &[u8], entry: &Entry) -> Result<Map<String, Value>, BoxError> {
    let mut value = Map::new();
    let mut put = |name: &str, what: Value| drop(value.insert(name.to_owned(), what));
    put("key", plain(id, NAME).into());
    put("bytes", entry.len.into());
    put("ttl_ms", ttl(entry.ttl));
    match &entry.what {
        What::Response(response) => {
            let meta = response.meta();
            put("kind", "response".into());
            put("status", response.status().as_u16().into());
            put("stored_at_ms", millis(since(meta.stored_at)));
            put("fresh_for_ms", millis(meta.fresh_for));
            put("took_ms", millis(meta.cost));
            put("computed_by", meta.computed_by.map_or(Value::Null, context));
        }
        What::Marker => put("kind", "marker".into()),
        What::Raw(_) => put("kind", "raw".into()),
        What::Nothing(why) => {
            put("kind", "unreadable".into());
            put("why", why.as_str().into());
        }
    }
    if let Some(stamp) = &entry.stamp {
        put("tags", entry.tags().into());
        let standing = match server.store.standing(&server.tag, stamp).await? {
            Standing::Current => "current",
            Standing::Soft { .. } => "stale",
            Standing::Outdated => "out-of-date",
        };
        put("standing", standing.into());
    }
    Ok(value)
}

/// What `show` says besides.
fn details(value: &mut Map<String, Value>, entry: &Entry, body_is_wanted: bool) {
    let body = match &entry.what {
        What::Response(response) => {
            value.extend(head(response));
            response.body()
        }
        What::Raw(bytes) => bytes,
        What::Marker | What::Nothing(_) => return,
    };
    if body_is_wanted {
        value.insert("body".to_owned(), plain_lines(body, BODY).into());
    }
}

fn head(response: &StoredResponse) -> Map<String, Value> {
    let meta = response.meta();
    let mut head = Map::new();
    let mut put = |name: &str, what: Value| drop(head.insert(name.to_owned(), what));
    put("age_before_ms", millis(meta.age));
    put("stale_while_revalidate_ms", millis(meta.stale_while_revalidate));
    put("stale_if_error_ms", millis(meta.stale_if_error));
    put("kept_for_ms", millis(meta.kept_for));
    put("must_revalidate", meta.must_revalidate.into());
    put("for_authorized", meta.for_authorized.into());
    put("for_cookies", meta.for_cookies.into());
    put("is_variant", meta.variant.is_some().into());
    put("groups", meta.groups.clone().into());
    put("fields", fields(response.headers()));
    put("trailers", response.trailers().map_or(Value::Null, fields));
    put("body_bytes", response.body_len().into());
    head
}

/// Names and values, in pairs, because a name may come more than once.
fn fields(fields: &HeaderMap) -> Value {
    let pairs = fields.iter();
    pairs
        .map(|(name, value)| json!([name.as_str(), plain(value.as_bytes(), NAME)]))
        .collect()
}

fn lock(read: &Read) -> Option<Value> {
    if read.ttl == Ttl::Gone {
        return None;
    }
    let (token, by) = match token(&read.bytes) {
        Some((token, by)) => (token.to_owned(), context(by)),
        None => (plain(&read.bytes, 128), Value::Null),
    };
    Some(json!({"token": token, "type": read.kind, "ttl_ms": ttl(read.ttl), "computed_by": by}))
}

fn context(by: TraceContext) -> Value {
    let text = by.to_string();
    match text.split_once('-') {
        Some((trace, span)) => json!({"trace_id": trace, "span_id": span}),
        None => json!({"trace_id": text, "span_id": null}),
    }
}

/// `null` is for ever.
fn ttl(ttl: Ttl) -> Value {
    match ttl {
        Ttl::For(time) => millis(time),
        Ttl::Ever | Ttl::Gone => Value::Null,
    }
}

fn since(at: SystemTime) -> Duration {
    at.duration_since(UNIX_EPOCH).unwrap_or_default()
}

fn millis(time: Duration) -> Value {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}

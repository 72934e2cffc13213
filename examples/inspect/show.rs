//! `show`: all that is known of one key.

use std::time::Duration;

use axum::http::HeaderMap;
use support::println;
use tower::BoxError;
use tower_memolock::Store;
use tower_memolock::middleware::stored_response::StoredResponse;
use tower_memolock::store::Standing;

use super::entry::{Entry, What, computed_by, freshness, kept};
use super::list;
use super::server::{Server, Ttl};
use super::text::{NAME, date, from_plain, plain, plain_lines, size, span};

/// How much of a body is shown.
pub(crate) const BODY: usize = 64 * 1024;

/// How many keys are named that may be meant.
const ALIKE: usize = 10;

/// Shows what is stored under a key, and its lock. The body only if it `is_wanted`.
pub(crate) async fn show(server: &mut Server, key: &str, body_is_wanted: bool) -> Result<(), BoxError> {
    let id = find(server, key).await?;
    line("key", &plain(&id, NAME));
    let read = server.read("", &id, true).await?;
    if read.ttl == Ttl::Gone {
        line("value", "absent");
    } else {
        let entry = Entry::new(&server.tag, &id, read);
        value(server, &entry).await?;
        if body_is_wanted {
            body(&entry);
        }
    }
    let lock = list::lock(server, &id).await?;
    line("lock", &lock.unwrap_or_else(|| "free".to_owned()));
    Ok(())
}

/// The id that is meant: this one, or the only one that it is a part of.
pub(crate) async fn find(server: &mut Server, key: &str) -> Result<Vec<u8>, BoxError> {
    let meant = [Some(key.as_bytes().to_vec()), from_plain(key)];
    for id in meant.into_iter().flatten() {
        for infix in ["", "/lock"] {
            if server.read(infix, &id, false).await?.ttl != Ttl::Gone {
                return Ok(id);
            }
        }
    }
    let is_alike = |id: &[u8]| plain(id, NAME).contains(key);
    let mut alike = server.ids("", ALIKE, is_alike).await?.ids;
    match alike.len() {
        0 => Err(format!(
            "nothing is stored under {:?}, and its lock is free",
            plain(key.as_bytes(), NAME)
        )
        .into()),
        1 => Ok(alike.remove(0)),
        _ => {
            let names: Vec<_> = alike.iter().map(|id| plain(id, NAME)).collect();
            Err(format!("several keys have this in them:\n{}", names.join("\n")).into())
        }
    }
}

async fn value(server: &Server, entry: &Entry) -> Result<(), BoxError> {
    let what = match &entry.what {
        What::Response(_) => "an HTTP response".to_owned(),
        What::Marker => "a marker: what belongs here is not one to share, so requests do not wait".to_owned(),
        What::Raw(_) => "raw bytes, as a program of the family stores them".to_owned(),
        What::Nothing(why) => format!("counts as absent: {why}"),
    };
    line("value", &format!("{what}, {}, {}", size(entry.len), kept(entry.ttl)));
    if let Some(stamp) = &entry.stamp {
        let standing = server.store.standing(&server.tag, stamp).await?;
        line(
            "stamp",
            match standing {
                Standing::Current => "current",
                Standing::Soft { .. } => "softly invalidated: it is stale",
                Standing::Outdated => "out of date: it counts as absent",
            },
        );
        let tags = entry.tags();
        if !tags.is_empty() {
            line("tags", &tags.join(", "));
        }
    }
    if let What::Response(response) = &entry.what {
        head(response);
    }
    Ok(())
}

fn head(response: &StoredResponse) {
    let meta = response.meta();
    line("status", &response.status().to_string());
    line(
        "stored",
        &format!("{}; it took {}", date(meta.stored_at), span(meta.cost)),
    );
    if let Some(by) = meta.computed_by {
        line("computed by", &computed_by(by));
    }
    line(
        "freshness",
        &format!("{}, of {} in all", freshness(meta), span(meta.fresh_for)),
    );
    for (name, time) in [
        ("age before", meta.age),
        ("while recomputed", meta.stale_while_revalidate),
        ("if that fails", meta.stale_if_error),
        ("to be validated", meta.kept_for),
    ] {
        if time > Duration::ZERO {
            line(name, &span(time));
        }
    }
    let mut terms = Vec::new();
    for (is_so, term) in [
        (meta.must_revalidate, "never stale"),
        (meta.for_authorized, "for Authorization"),
        (meta.for_cookies, "for credentials"),
        (meta.variant.is_some(), "one of several variants"),
    ] {
        if is_so {
            terms.push(term);
        }
    }
    if !terms.is_empty() {
        line("terms", &terms.join(", "));
    }
    if !meta.groups.is_empty() {
        let groups: Vec<_> = meta.groups.iter().map(|group| plain(group.as_bytes(), 256)).collect();
        line("groups", &groups.join(", "));
    }
    fields("field", response.headers());
    line("body", &size(response.body_len()));
    if let Some(trailers) = response.trailers() {
        fields("trailer", trailers);
    }
}

fn fields(what: &str, fields: &HeaderMap) {
    for (name, value) in fields {
        line(what, &format!("{name}: {}", plain(value.as_bytes(), NAME)));
    }
}

fn body(entry: &Entry) {
    let bytes = match &entry.what {
        What::Response(response) => response.body(),
        What::Raw(bytes) => bytes,
        What::Marker | What::Nothing(_) => return,
    };
    println!("\n{}\n", plain_lines(bytes, BODY));
}

fn line(name: &str, text: &str) {
    println!("{name:16}  {text}");
}

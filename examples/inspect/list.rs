//! `list` and `locks`.

use support::println;
use tower::BoxError;
use tower_memolock::store::{Standing, Token};
use tower_memolock::{Store, TraceContext};

use super::entry::{Entry, computed_by};
use super::server::{Server, Ttl};
use super::text::{NAME, plain, span};

/// What is stored under the tag.
pub(crate) async fn values(server: &mut Server, limit: usize) -> Result<(), BoxError> {
    let found = server.ids("", limit, |_| true).await?;
    let mut lines = Vec::new();
    for id in &found.ids {
        let read = server.read("", id, false).await?;
        if read.ttl == Ttl::Gone {
            continue;
        }
        let entry = Entry::new(&server.tag, id, read);
        let mut summary = entry.summary();
        if let Some(stamp) = &entry.stamp {
            summary += match server.store.standing(&server.tag, stamp).await? {
                Standing::Current => "",
                Standing::Soft { .. } => ", softly invalidated",
                Standing::Outdated => ", out of date",
            };
        }
        lines.push((plain(id, NAME), summary));
    }
    print("values", &lines, found.more, limit);
    Ok(())
}

/// The holder of each lock.
pub(crate) async fn locks(server: &mut Server, limit: usize) -> Result<(), BoxError> {
    let found = server.ids("/lock", limit, |_| true).await?;
    let mut lines = Vec::new();
    for id in &found.ids {
        if let Some(lock) = lock(server, id).await? {
            lines.push((plain(id, NAME), lock));
        }
    }
    print("locks", &lines, found.more, limit);
    Ok(())
}

/// The holder of the lock of an id, and for how long it has that.
pub(crate) async fn lock(server: &mut Server, id: &[u8]) -> Result<Option<String>, BoxError> {
    let read = server.read("/lock", id, false).await?;
    let time = match read.ttl {
        Ttl::Gone => return Ok(None),
        Ttl::For(time) => format!("for another {}", span(time)),
        Ttl::Ever => "for ever, which no member of the family does on purpose".to_owned(),
    };
    let holder = match read.kind.as_str() {
        "string" => match token(&read.bytes) {
            Some((token, by)) => format!("with the token {token} by {}", computed_by(by)),
            None => format!("with the token {}", plain(&read.bytes, 128)),
        },
        other => format!("by a {}, which is another program's", plain(other.as_bytes(), 32)),
    };
    Ok(Some(format!("held {holder}, {time}")))
}

/// The token of a lock, and the trace in which its holder computes, where the token tells that.
pub(crate) fn token(lock: &[u8]) -> Option<(&str, TraceContext)> {
    let text = std::str::from_utf8(lock).ok()?;
    // Behind a `~` stands that the value was softly invalidated.
    let text = text.split('~').next()?;
    let by = text.parse::<Token>().ok()?.trace_context()?;
    let (token, _) = text.split_once('-')?;
    Some((token, by))
}

fn print(what: &str, lines: &[(String, String)], more: bool, limit: usize) {
    for (key, summary) in lines {
        println!("{key}\n    {summary}");
    }
    match (lines.len(), more) {
        (0, false) => println!("no {what}"),
        (_, true) => println!("and more: --limit {} shows some of them", limit.saturating_mul(10)),
        _ => {}
    }
}

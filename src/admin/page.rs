//! The page: a document without a request to any other, whose script fetches the same page again and again.

use std::fmt::{self, Write};
use std::sync::LazyLock;
use std::time::Duration;

use http::HeaderValue;
use http::request::Parts;
use sha2::{Digest, Sha256};

use super::html::{HtmlText, Percent, Time, section};
use super::state::{AdminState, InFlight, TagFigures};
use crate::key::Readable;
use crate::memo::{FailureNote, Hot};
use crate::middleware::uri_as_received;

pub(super) const CONTENT_TYPE: &str = "text/html; charset=utf-8";

const STYLE: &str = include_str!("page.css");
const SCRIPT: &str = include_str!("page.js");

/// Only the page's own style and script, and requests to the page's own server.
pub(super) fn security_policy() -> HeaderValue {
    static POLICY: LazyLock<HeaderValue> = LazyLock::new(|| {
        let policy = format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; img-src data:; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            base64(&Sha256::digest(STYLE)),
            base64(&Sha256::digest(SCRIPT)),
        );
        HeaderValue::from_str(&policy).unwrap_or(HeaderValue::from_static("default-src 'none'"))
    });
    POLICY.clone()
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0, |group, at| group << 8 | chunk.get(at).copied().map_or(0, u32::from));
        for at in 0..4 {
            let digit = DIGITS[(group >> (18 - 6 * at)) as usize & 63];
            text.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    text
}

pub(super) fn page(state: &AdminState, head: &Parts) -> String {
    let here = HtmlText(here(head));
    let mut page = String::with_capacity(16 * 1024);
    // Writing to a text cannot fail.
    let _ = write!(
        page,
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>tower-memolock</title>\n\
         <link rel=\"icon\" href=\"data:,\">\n<style>{STYLE}</style>\n</head>\n<body data-here=\"{here}\">\n\
         <header><h1>tower-memolock</h1><p id=\"online\">live</p></header>\n<main>\n"
    );
    live(&mut page, state);
    let _ = write!(
        page,
        "</main>\n<section>\n<h2>Invalidate</h2>\n\
         <form id=\"invalidate\">\n\
         <label for=\"what\">A URL, or a tag of responses</label>\n\
         <input id=\"what\" autocomplete=\"off\" spellcheck=\"false\" placeholder=\"/report/42\">\n\
         <button name=\"url\">URL</button> <button name=\"tag\">Tag</button> \
         <button name=\"all\" class=\"danger\">Everything</button>\n</form>\n\
         <output id=\"said\" for=\"invalidate\" role=\"status\"></output>\n\
         <p class=\"hint\">For programs: <a href=\"{here}state.json\">state.json</a>, \
         <a href=\"{here}metrics\">metrics</a>, and <code>POST {here}invalidate?url=</code></p>\n\
         <noscript><p class=\"hint\">Without scripts the page shows one moment, and does not invalidate.</p></noscript>\n\
         </section>\n<script>{SCRIPT}</script>\n</body>\n</html>\n"
    );
    page
}

/// The text in front of a relative link on this page: where the page is a folder whose name has no slash at its end,
/// browsers take the folder off.
fn here(head: &Parts) -> String {
    let path = uri_as_received(&head.uri, &head.extensions).path();
    match path.rsplit('/').next() {
        Some(folder) if !folder.is_empty() => format!("./{folder}/"),
        _ => "./".to_owned(),
    }
}

/// How each Redis is connected.
fn links(page: &mut String, state: &AdminState) {
    for link in &state.stores {
        let pending = link.pending_invalidations;
        let _ = match (link.connected, pending) {
            (true, 0) => writeln!(page, "<p class=\"link\">Redis is connected.</p>"),
            (true, _) => writeln!(
                page,
                "<p class=\"link bad\">Redis has not taken {pending} invalidations yet.</p>"
            ),
            (false, _) => writeln!(
                page,
                "<p class=\"link bad\">Redis is out of reach: processes do not share. {pending} invalidations wait for it.</p>"
            ),
        };
    }
}

/// The part of the page that changes.
fn live(page: &mut String, state: &AdminState) {
    links(page, state);
    for watched in &state.shadows {
        watched.show(page);
    }
    for verified in &state.verified {
        verified.show(page);
    }
    section(
        page,
        "Tags",
        "No layer was given to this service.",
        &[
            "tag",
            "hits",
            "collapsed",
            "found",
            "stale",
            "led",
            "followed",
            "waiting",
            "in flight",
        ],
        &state.tags,
        tag_row,
    );
    section(
        page,
        "In flight",
        "Nothing is computed or waited for.",
        &["key", "this process", "waiters", "age", "lease"],
        &state.in_flight,
        flight_row,
    );
    section(
        page,
        "Hottest keys of the last five to ten minutes",
        "No request yet.",
        &["key", "requests"],
        &state.hottest,
        hot_row,
    );
    section(
        page,
        "Recent failures",
        "None.",
        &["what", "times", "last", "last key"],
        &state.failures,
        failure_row,
    );
}

fn tag_row(page: &mut String, figures: &TagFigures) -> fmt::Result {
    let stats = &figures.stats;
    write!(
        page,
        "<th scope=\"row\">{}</th><td>{}</td><td>{}</td>",
        HtmlText(&figures.tag),
        Percent(figures.hit_ratio()),
        Percent(figures.collapse_ratio())
    )?;
    let counts = [
        stats.hits,
        stats.stale,
        stats.led,
        stats.followed,
        stats.waiting,
        stats.in_flight,
    ];
    counts.iter().try_for_each(|count| write!(page, "<td>{count}</td>"))
}

fn flight_row(page: &mut String, flight: &InFlight) -> fmt::Result {
    let role = match flight.role {
        "leader" => "leads",
        "follower" => "follows",
        _ => "asks the store",
    };
    write!(
        page,
        "<th scope=\"row\"><code>{}</code></th><td class=\"{}\">{role}</td><td>{}</td><td>{}</td><td>",
        HtmlText(flight.address.readable()),
        flight.role,
        flight.waiters,
        Time(flight.age),
    )?;
    match flight.lease {
        Some(lease) => write!(page, "{} left</td>", Time(lease)),
        None => page.write_str("none</td>"),
    }
}

fn hot_row(page: &mut String, hot: &Hot) -> fmt::Result {
    let key = HtmlText(Readable(&hot.address));
    write!(
        page,
        "<th scope=\"row\"><code>{key}</code></th><td>{}</td>",
        hot.requests
    )
}

fn failure_row(page: &mut String, (note, since): &(FailureNote, Duration)) -> fmt::Result {
    write!(
        page,
        "<th scope=\"row\">{}</th><td>{}</td><td>{} ago</td><td><code>{}</code></td>",
        HtmlText(&note.what),
        note.count,
        Time(*since),
        HtmlText(&note.key)
    )
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn base64_is_that_of_the_standard() {
        for (bytes, text) in [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foobar", "Zm9vYmFy"),
        ] {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }

    #[test]
    fn links_are_relative_to_where_the_page_is() {
        for (uri, expected) in [
            ("/", "./"),
            ("/memolock/", "./"),
            ("/a/memolock", "./memolock/"),
            ("/memolock?x=/", "./memolock/"),
        ] {
            let (head, ()) = Request::get(uri).body(()).unwrap().into_parts();
            assert_eq!(here(&head), expected, "{uri}");
        }
    }

    #[test]
    fn style_and_script_end_nothing_early() {
        for text in [STYLE, SCRIPT] {
            assert!(!text.contains("</") && !text.contains("<!--"));
        }
        let policy = security_policy();
        let policy = policy.to_str().unwrap();
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-") && !policy.contains("unsafe"));
    }
}

use std::time::UNIX_EPOCH;

use super::super::headers;
use super::Sharing::{Pass, Share};
use super::*;

type Lines<'a> = &'a [(&'static str, &'a str)];

const NOW: u64 = 784_111_777;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn date(offset: i64) -> String {
    let at = UNIX_EPOCH + Duration::from_secs(NOW.checked_add_signed(offset).unwrap());
    httpdate::fmt_http_date(at)
}

fn store(seconds: u64) -> Sharing {
    Sharing::Store {
        fresh_for: Duration::from_secs(seconds),
    }
}

fn head(status: u16, lines: Lines<'_>, ttl: Option<u64>) -> Sharing {
    let rules = ResponseRules {
        ttl: ttl.map(Duration::from_secs),
        ..ResponseRules::default()
    };
    let status = StatusCode::from_u16(status).unwrap();
    at_head(&Method::GET, status, &headers(lines), &rules, now())
}

#[test]
fn what_is_for_one_client_is_passed_on_whatever_else_it_says() {
    let cc = "cache-control";
    for (reason, line) in [
        (Reason::NoStore, (cc, "no-store")),
        (Reason::NoStore, (cc, "No-Store")),
        (Reason::Private, (cc, "private")),
        (Reason::Private, (cc, "private=\"x\"")),
        (Reason::NoCache, (cc, "no-cache")),
        (Reason::NoCache, (cc, "no-cache=\"set-cookie\"")),
        (Reason::Malformed, (cc, "x=\"")),
        (Reason::Malformed, (cc, "max-age=60;")),
        (Reason::SetCookie, ("set-cookie", "a=b")),
        (Reason::SetCookie, ("set-cookie2", "a=b")),
        (Reason::Vary, ("vary", "*")),
        (Reason::Vary, ("vary", "accept, *")),
        (Reason::TooLarge, ("content-length", "8388609")),
    ] {
        for status in [200, 404, 500] {
            let lines = [(cc, "public, max-age=60"), ("vary", "accept"), line];
            assert_eq!(head(status, &lines, Some(9)), Pass(reason), "{status} {line:?}");
            assert_eq!(head(status, &[line], Some(9)), Pass(reason), "{status} {line:?}");
        }
    }
    for status in [100, 101, 103, 206, 226, 304] {
        let lines = [(cc, "max-age=60")];
        assert_eq!(head(status, &lines, Some(9)), Pass(Reason::Status), "{status}");
    }
}

#[test]
fn status_decides_where_the_response_does_not_say() {
    for status in [200, 203, 204, 300, 301, 308] {
        assert_eq!(head(status, &[], Some(9)), store(9), "{status}");
        assert_eq!(head(status, &[], Some(0)), Share, "{status}");
        assert_eq!(head(status, &[], None), Share, "{status}");
        let public = [("cache-control", "public")];
        assert_eq!(head(status, &public, None), Share, "{status}");
    }
    for status in [
        201, 202, 205, 302, 303, 307, 400, 401, 403, 404, 410, 414, 429, 299, 499,
    ] {
        assert_eq!(head(status, &[], Some(9)), Share, "{status}");
        let explicit = [("cache-control", "max-age=60")];
        assert_eq!(head(status, &explicit, None), store(60), "{status}");
    }
    for status in [500, 501, 502, 503, 504, 599] {
        let explicit = [("cache-control", "max-age=60")];
        assert_eq!(head(status, &explicit, Some(9)), Share, "{status}");
        assert_eq!(head(status, &[], Some(9)), Share, "{status}");
    }
}

#[test]
fn explicit_freshness_wins_over_the_ttl() {
    let (past, at, soon, later) = (date(-20), date(0), date(30), date(100));
    let cc = |value| ("cache-control", value);
    for (lines, expected) in [
        (&[cc("max-age=60")][..], store(60)),
        (&[cc("max-age=0")], Share),
        (&[cc("max-age=x")], Share),
        (&[cc("max-age=60, s-maxage=10")], store(10)),
        (&[cc("max-age=10, s-maxage=60")], store(60)),
        (&[cc("max-age=10, s-maxage=0")], Share),
        (&[cc("max-age=10, s-maxage")], Share),
        (&[cc("max-age=60, max-age=30")], store(30)),
        (&[cc("max-age=4294967296")], store(1 << 31)),
        (&[cc("max-age=60"), ("expires", "0")], store(60)),
        (&[cc("max-age=60"), ("age", "10")], store(50)),
        (&[cc("max-age=60"), ("age", "60")], Share),
        (&[cc("max-age=60"), ("age", "18446744073709551615")], Share),
        (&[cc("max-age=60"), ("date", &past)], store(40)),
        (&[cc("max-age=60"), ("date", &past), ("age", "5")], store(40)),
        (&[cc("max-age=60"), ("date", &past), ("age", "25")], store(35)),
        (&[("expires", &soon)], store(30)),
        (&[("expires", &soon), ("date", &at)], store(30)),
        (&[("expires", &soon), ("date", &past)], store(30)),
        (&[("expires", &later), ("date", &soon)], store(70)),
        (&[("expires", &soon), ("age", "10")], store(20)),
        (&[("expires", &past)], Share),
        (&[("expires", &at)], Share),
        (&[("expires", "0")], Share),
        (&[("expires", "")], Share),
        (&[("expires", &soon), ("expires", &later)], Share),
        (&[cc("must-revalidate")], store(9)),
        (&[cc("x=\"max-age=60\"")], store(9)),
    ] {
        assert_eq!(head(200, lines, Some(9)), expected, "{lines:?}");
    }
}

#[test]
fn must_understand_replaces_no_store_for_known_statuses() {
    let lines = [("cache-control", "no-store, must-understand, max-age=60")];
    assert_eq!(head(200, &lines, None), store(60));
    assert_eq!(head(404, &lines, None), store(60));
    assert_eq!(head(299, &lines, None), Pass(Reason::Status));
    assert_eq!(head(499, &lines, None), Pass(Reason::Status));
}

#[test]
fn length_that_nothing_is_sent_of_does_not_count() {
    let lines = headers(&[("content-length", "9999999"), ("cache-control", "max-age=1")]);
    let rules = ResponseRules::default();
    let found = at_head(&Method::HEAD, StatusCode::OK, &lines, &rules, now());
    assert_eq!(found, store(1));
}

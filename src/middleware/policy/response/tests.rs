mod freshness;

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use super::super::headers;
use super::Sharing::{Pass, Share};
use super::*;

type Lines<'a> = &'a [(&'static str, &'a str)];

fn cc(value: &str) -> (&'static str, &str) {
    ("cache-control", value)
}

const NOW: u64 = 784_111_777;

fn now() -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(NOW)
}

fn date(offset: i64) -> String {
    let at = UNIX_EPOCH + Duration::from_secs(NOW.checked_add_signed(offset).unwrap());
    httpdate::fmt_http_date(at)
}

fn store(seconds: u64) -> Sharing {
    Sharing::Store(Terms {
        fresh_for: Duration::from_secs(seconds),
        ..Terms::default()
    })
}

fn head(status: u16, lines: Lines<'_>, ttl: Option<u64>) -> Sharing {
    let rules = ResponseRules {
        ttl: ttl.map(Duration::from_secs),
        ..ResponseRules::default()
    };
    match judged(status, lines, &rules, &MemoControl::new()) {
        Sharing::Store(terms) => Sharing::Store(Terms {
            fresh_for: terms.fresh_for,
            ..Terms::default()
        }),
        sharing => sharing,
    }
}

fn judged(status: u16, lines: Lines<'_>, rules: &ResponseRules, control: &MemoControl) -> Sharing {
    let head = Head {
        method: &Method::GET,
        status: StatusCode::from_u16(status).unwrap(),
        headers: &headers(lines),
        control,
    };
    at_head(&head, rules, now())
}

fn terms(lines: Lines<'_>) -> Terms {
    match judged(200, lines, &ResponseRules::default(), &MemoControl::new()) {
        Sharing::Store(terms) => terms,
        sharing => panic!("{sharing:?}"),
    }
}

#[test]
fn what_is_for_one_client_is_passed_on_whatever_else_it_says() {
    for (reason, line) in [
        (Reason::NoStore, cc("no-store")),
        (Reason::NoStore, cc("No-Store")),
        (Reason::Private, cc("private")),
        (Reason::Private, cc("private=\"x\"")),
        (Reason::NoCache, cc("no-cache")),
        (Reason::NoCache, cc("no-cache=\"set-cookie\"")),
        (Reason::Malformed, cc("x=\"")),
        (Reason::Malformed, cc("max-age=60;")),
        (Reason::SetCookie, ("set-cookie", "a=b")),
        (Reason::SetCookie, ("set-cookie2", "a=b")),
        (Reason::Vary, ("vary", "*")),
        (Reason::Vary, ("vary", "accept, *")),
        (Reason::TooLarge, ("content-length", "8388609")),
    ] {
        for status in [200, 404, 500] {
            let lines = [cc("public, max-age=60"), ("vary", "accept"), line];
            assert_eq!(head(status, &lines, Some(9)), Pass(reason), "{status} {line:?}");
            assert_eq!(head(status, &[line], Some(9)), Pass(reason), "{status} {line:?}");
        }
    }
    for status in [100, 101, 103, 206, 226, 304] {
        let lines = [cc("max-age=60")];
        assert_eq!(head(status, &lines, Some(9)), Pass(Reason::Status), "{status}");
    }
}

#[test]
fn status_decides_where_the_response_does_not_say() {
    for status in [200, 203, 204, 300, 301, 308] {
        assert_eq!(head(status, &[], Some(9)), store(9), "{status}");
        assert_eq!(head(status, &[], Some(0)), Share, "{status}");
        assert_eq!(head(status, &[], None), Share, "{status}");
        let public = [cc("public")];
        assert_eq!(head(status, &public, None), Share, "{status}");
    }
    for status in [404, 405, 410, 414, 501] {
        assert_eq!(head(status, &[], Some(9)), Share, "{status}");
    }
    for status in [
        201, 202, 205, 302, 303, 307, 400, 401, 403, 408, 413, 421, 425, 429, 431, 451, 299,
    ] {
        assert_eq!(head(status, &[], Some(9)), Pass(Reason::Unconfirmed), "{status}");
        let stale = [cc("max-age=0")];
        assert_eq!(head(status, &stale, Some(9)), Pass(Reason::Unconfirmed), "{status}");
    }
    for status in [201, 202, 205, 302, 303, 307, 404, 405, 410, 414, 451, 299] {
        let explicit = [cc("max-age=60")];
        assert_eq!(head(status, &explicit, None), store(60), "{status}");
    }
    for status in [500, 502, 503, 504, 599] {
        assert_eq!(head(status, &[], Some(9)), Pass(Reason::Failure), "{status}");
    }
}

#[test]
fn what_a_response_or_handler_says_is_for_all_whatever_the_status() {
    let rules = ResponseRules::default();
    let silent = MemoControl::new();
    for status in [302, 403, 500] {
        let aged = [cc("max-age=60"), ("age", "60")];
        assert_eq!(judged(status, &aged, &rules, &silent), Share, "{status}");
        let handler = MemoControl::new().ttl(Duration::ZERO);
        assert_eq!(judged(status, &[], &rules, &handler), Share, "{status}");
        let share = ResponseRules {
            on_unconfirmed: Unconfirmed::Share,
            ..ResponseRules::default()
        };
        assert_eq!(judged(status, &[], &share, &silent), Share, "{status}");
        let by_status = ResponseRules {
            status_ttl: Arc::new([(StatusCode::from_u16(status).expect("a status"), Duration::from_secs(1))]),
            no_store: true,
            ..ResponseRules::default()
        };
        assert_eq!(judged(status, &[], &by_status, &silent), Share, "{status}");
    }
}

#[test]
fn errors_stay_for_seconds_even_where_they_say_longer() {
    for status in [400, 401, 403, 408, 413, 429, 431, 499, 500, 502, 503, 504, 599] {
        let explicit = |value| [cc(value)];
        assert_eq!(head(status, &explicit("max-age=60"), Some(9)), store(10), "{status}");
        assert_eq!(head(status, &explicit("max-age=3"), Some(9)), store(3), "{status}");
    }
}

#[test]
fn terms_say_who_may_have_it_and_how_long_it_is_of_use() {
    let allowed = |lines: Lines<'_>| {
        let terms = terms(lines);
        (terms.for_authorized, terms.for_cookies)
    };
    assert_eq!(allowed(&[cc("max-age=60")]), (false, false));
    assert_eq!(allowed(&[cc("max-age=60, public")]), (true, true));
    assert_eq!(allowed(&[cc("s-maxage=60")]), (true, true));
    assert_eq!(allowed(&[cc("max-age=60, must-revalidate")]), (true, false));
    assert_eq!(allowed(&[cc("max-age=60, proxy-revalidate")]), (false, false));

    let windows = |lines: Lines<'_>| {
        let terms = terms(lines);
        let [while_revalidate, if_error] = [terms.stale_while_revalidate, terms.stale_if_error];
        (while_revalidate.as_secs(), if_error.as_secs(), terms.must_revalidate)
    };
    let stale = "stale-while-revalidate=5, stale-if-error=6";
    for (directives, expected) in [
        ("max-age=60", (5, 6, false)),
        ("max-age=60, must-revalidate", (0, 0, true)),
        ("max-age=60, proxy-revalidate", (0, 0, true)),
        ("s-maxage=60", (0, 0, true)),
    ] {
        assert_eq!(windows(&[cc(stale), cc(directives)]), expected, "{directives}");
    }

    let kept = |lines: Lines<'_>| terms(lines).kept_for.as_secs();
    assert_eq!(kept(&[cc("max-age=60")]), 0);
    assert_eq!(kept(&[cc("max-age=60"), ("etag", "\"a\"")]), 60);
    assert_eq!(kept(&[cc("max-age=60"), ("last-modified", "x")]), 60);
    let no_cache = terms(&[cc("no-cache, max-age=60"), ("etag", "\"a\"")]);
    assert!(no_cache.no_cache && no_cache.must_revalidate && no_cache.fresh_for.is_zero());
    assert_eq!(
        no_cache.left_after(Duration::from_secs(20)),
        Some(Duration::from_secs(40))
    );
    let plain = terms(&[cc("max-age=60"), ("etag", "\"a\"")]);
    assert_eq!(
        plain.left_after(Duration::from_secs(20)),
        Some(Duration::from_secs(100))
    );
    assert_eq!(plain.left_after(Duration::from_secs(60)), None);
}

#[test]
fn response_or_its_handler_says_that_it_is_fresh() {
    let says = |lines: Lines<'_>, control: MemoControl| {
        is_fresh_by_itself(&headers(lines), &control, &ResponseRules::default(), now())
    };
    let minute = Duration::from_secs(60);
    assert!(says(&[cc("max-age=60")], MemoControl::new()));
    assert!(says(&[], MemoControl::new().ttl(minute)));
    assert!(says(&[cc("no-store")], MemoControl::new().ttl(minute)));
    for lines in [&[][..], &[cc("max-age=0")]] {
        assert!(!says(lines, MemoControl::new()), "{lines:?}");
    }
}

#[test]
fn must_understand_replaces_no_store_for_known_statuses() {
    let lines = [cc("no-store, must-understand, max-age=60")];
    assert_eq!(head(200, &lines, None), store(60));
    assert_eq!(head(404, &lines, None), store(60));
    assert_eq!(head(599, &lines, None), Pass(Reason::Status));
    assert_eq!(head(299, &lines, None), Pass(Reason::Status));
    assert_eq!(head(499, &lines, None), Pass(Reason::Status));
}

#[test]
fn length_that_nothing_is_sent_of_does_not_count() {
    let lines = headers(&[("content-length", "9999999"), cc("max-age=1")]);
    let rules = ResponseRules::default();
    let head = Head {
        method: &Method::HEAD,
        status: StatusCode::OK,
        headers: &lines,
        control: &MemoControl::new(),
    };
    assert!(matches!(at_head(&head, &rules, now()), Sharing::Store(_)));
}

use std::time::Duration;

use super::super::freshness::Terms;
use super::super::headers;
use super::super::sharing::Sharing::{Pass, Share};
use super::*;

type Lines<'a> = &'a [(&'static str, &'a str)];

fn store(seconds: u64) -> Sharing {
    Sharing::Store(Terms {
        fresh_for: Duration::from_secs(seconds),
        ..Terms::default()
    })
}

fn end(sharing: Sharing, lines: Lines<'_>, trailers: Option<Lines<'_>>, body_len: u64) -> Result<Sharing, Incomplete> {
    let (headers, trailers) = (headers(lines), trailers.map(headers));
    let response = Ended {
        method: &Method::GET,
        status: StatusCode::OK,
        headers: &headers,
        trailers: trailers.as_ref(),
        body_len,
        set_cookie: SetCookie::Refuse,
    };
    at_end(sharing, &response)
}

#[test]
fn body_shorter_or_longer_than_announced_is_incomplete() {
    let length = |value| ("content-length", value);
    for (lines, body_len, whole) in [
        (&[][..], 3, true),
        (&[length("3")], 3, true),
        (&[length("3")], 2, false),
        (&[length("3")], 4, false),
        (&[length("3"), length("3")], 3, true),
        (&[length("3, 3")], 3, true),
        (&[length("3, 4")], 3, false),
        (&[length("3"), length("4")], 4, false),
        (&[length("+3")], 3, false),
        (&[length("")], 0, false),
        (&[length("99999999999999999999")], 3, false),
    ] {
        let expected = if whole { Ok(store(1)) } else { Err(Incomplete) };
        assert_eq!(end(store(1), lines, None, body_len), expected, "{lines:?}");
    }

    let headers = headers(&[length("3")]);
    for (method, status) in [(Method::HEAD, StatusCode::OK), (Method::GET, StatusCode::NO_CONTENT)] {
        let response = Ended {
            method: &method,
            status,
            headers: &headers,
            trailers: None,
            body_len: 0,
            set_cookie: SetCookie::Refuse,
        };
        assert_eq!(at_end(Share, &response), Ok(Share));
    }
}

#[test]
fn grpc_is_whole_with_its_status_and_stored_where_that_is_zero() {
    let grpc = ("content-type", "application/grpc");
    let status = |value| ("grpc-status", value);
    for (lines, trailers, expected) in [
        (&[grpc][..], None, Err(Incomplete)),
        (&[grpc], Some(&[][..]), Err(Incomplete)),
        (&[grpc], Some(&[("grpc-message", "x")]), Err(Incomplete)),
        (&[grpc], Some(&[status("0")]), Ok(store(1))),
        (&[grpc], Some(&[status("5")]), Ok(Share)),
        (&[grpc], Some(&[status("x")]), Ok(Share)),
        (&[grpc], Some(&[status("0"), status("5")]), Ok(Share)),
        (&[grpc, status("0")], None, Ok(store(1))),
        (&[grpc, status("5")], None, Ok(Share)),
        (&[grpc, status("5")], Some(&[status("0")]), Ok(Share)),
        (&[("content-type", "Application/gRPC+proto")], None, Err(Incomplete)),
        (&[("content-type", "application/grpc-web+proto")], None, Ok(Share)),
        (&[("content-type", "application/json")], None, Ok(store(1))),
        (
            &[("content-type", "application/json")],
            Some(&[status("5")]),
            Ok(store(1)),
        ),
    ] {
        assert_eq!(end(store(1), lines, trailers, 0), expected, "{lines:?} {trailers:?}");
    }
    let passed = Pass(Reason::Private);
    assert_eq!(end(passed, &[grpc], Some(&[status("5")]), 0), Ok(passed));
}

#[test]
fn cookie_in_the_trailers_is_for_one_client() {
    let found = end(store(1), &[], Some(&[("set-cookie", "a=b")]), 0);
    assert_eq!(found, Ok(Pass(Reason::SetCookie)));
}

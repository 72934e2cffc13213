use super::*;

/// Checks for how many seconds responses are fresh, by these rules and by what their handler says.
fn are_fresh_for(rules: &ResponseRules, control: &MemoControl, cases: &[(u16, Lines<'_>, Result<u64, Sharing>)]) {
    for (status, lines, expected) in cases {
        let found = match judged(*status, lines, rules, control) {
            Sharing::Store(terms) => Ok(terms.fresh_for.as_secs()),
            sharing => Err(sharing),
        };
        assert_eq!(found, *expected, "{status} {lines:?}");
    }
}

fn overriding() -> ResponseRules {
    ResponseRules {
        override_ttl: Some(Duration::from_secs(5)),
        ..ResponseRules::default()
    }
}

fn storing_nothing() -> ResponseRules {
    ResponseRules {
        no_store: true,
        ..ResponseRules::default()
    }
}

#[test]
fn a_route_comes_before_the_response() {
    let silent = MemoControl::new();
    let of_the_route = [
        (200, &[][..], Ok(5)),
        (200, &[cc("max-age=60")], Ok(5)),
        (200, &[cc("max-age=0")], Ok(5)),
        (200, &[cc("no-cache")], Ok(5)),
        (200, &[cc("max-age=60"), ("age", "60")], Ok(5)),
        (200, &[cc("no-store")], Err(Pass(Reason::NoStore))),
        (200, &[cc("private")], Err(Pass(Reason::Private))),
        (200, &[("set-cookie", "a=b")], Err(Pass(Reason::SetCookie))),
        (500, &[], Err(Pass(Reason::Failure))),
        (404, &[cc("max-age=60")], Ok(60)),
    ];
    are_fresh_for(&overriding(), &silent, &of_the_route);
    are_fresh_for(&storing_nothing(), &silent, &[(200, &[cc("max-age=60")], Err(Share))]);
}

#[test]
fn a_status_may_have_a_ttl_of_its_own() {
    let by_status = ResponseRules {
        ttl: Some(Duration::from_secs(9)),
        status_ttl: Arc::new([
            (StatusCode::NOT_FOUND, Duration::from_secs(2)),
            (StatusCode::OK, Duration::ZERO),
        ]),
        ..ResponseRules::default()
    };
    let cases = [
        (404, &[][..], Ok(2)),
        (404, &[cc("max-age=60")], Ok(60)),
        (200, &[], Err(Share)),
        (301, &[], Ok(9)),
        (500, &[], Err(Pass(Reason::Failure))),
    ];
    are_fresh_for(&by_status, &MemoControl::new(), &cases);
}

#[test]
fn a_handler_comes_before_route_and_response() {
    let handler = MemoControl::new().ttl(Duration::from_secs(7));
    let of_the_handler = [
        (200, &[cc("max-age=60")][..], Ok(7)),
        (500, &[], Ok(7)),
        (200, &[cc("no-cache")], Ok(7)),
        (200, &[cc("private")], Err(Pass(Reason::Private))),
    ];
    are_fresh_for(&overriding(), &handler, &of_the_handler);
    are_fresh_for(&storing_nothing(), &handler, &[(200, &[], Err(Share))]);
    let refused = [(200, &[cc("max-age=60")][..], Err(Pass(Reason::NoStore)))];
    are_fresh_for(&overriding(), &MemoControl::new().no_store(), &refused);
}

#[test]
fn explicit_freshness_wins_over_the_ttl() {
    let (past, at, soon, later) = (date(-20), date(0), date(30), date(100));
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
        (&[cc("max-age=60"), ("age", "x")], Share),
        (&[("expires", &soon), ("cdn-cache-control", "foo")], store(30)),
        (
            &[("expires", &soon), ("cdn-cache-control", "stale-if-error=5")],
            store(9),
        ),
        (&[cc("max-age=0"), ("cdn-cache-control", "max-age=7")], store(7)),
        (&[cc("max-age=7"), ("cdn-cache-control", "max-age=0")], Share),
        (&[cc("no-store"), ("cdn-cache-control", "max-age=7")], store(7)),
        (
            &[cc("max-age=7"), ("cdn-cache-control", "private")],
            Pass(Reason::Private),
        ),
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

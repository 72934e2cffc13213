//! Which replies of gRPC methods are shared or stored: only their ends tell.

use std::sync::Arc;
use std::time::Duration;

use http::header::EXPIRES;

use super::ending::{self, Ended, Incomplete};
use super::freshness::{Said, Terms};
use super::response_rules::{ResponseRules, Unconfirmed};
use super::sharing::{Reason, Sharing};
use super::syntax::grpc_statuses;
use super::targeted;
use crate::middleware::grpc::{Framing, is_call};
use crate::system;

const UNKNOWN: i32 = 2;
const NOT_FOUND: i32 = 5;
const UNIMPLEMENTED: i32 = 12;
const INTERNAL: i32 = 13;
const UNAVAILABLE: i32 = 14;
const DATA_LOSS: i32 = 15;

/// What is stored of a gRPC method's replies.
#[derive(Debug, Clone, Default)]
pub(crate) struct GrpcRules {
    /// For how long replies with these statuses are stored. Defaults to none.
    pub(crate) status_ttl: Arc<[(i32, Duration)]>,
}

impl GrpcRules {
    fn ttl_of(&self, status: i32) -> Option<Duration> {
        let known = self.status_ttl.iter().find(|(known, _)| *known == status);
        known.map(|(_, ttl)| *ttl).filter(|ttl| !ttl.is_zero())
    }
}

/// Decides as [`ending::at_end`] does, and for a gRPC method by its message and its status as well.
pub(crate) fn at_end(
    sharing: Sharing,
    response: &Ended<'_>,
    content: &[u8],
    rules: &ResponseRules,
) -> Result<Sharing, Incomplete> {
    let ended = ending::at_end(sharing, response)?;
    let Some(grpc) = &rules.grpc else {
        return Ok(confirmed(ended, response, rules));
    };
    if matches!(ended, Sharing::Pass(_)) {
        return Ok(ended);
    }
    if !is_call(response.headers) {
        // The server beneath answered in place of the method.
        return Ok(ended.at_most_share());
    }
    let (status, framing) = (status(response), Framing::of(content));
    let is_unary = framing.is_one() || (framing.is_empty() && status != Some(0));
    if !is_unary {
        return Ok(Sharing::Pass(Reason::Messages));
    }
    let ttl = status
        .filter(|status| *status != 0)
        .and_then(|status| grpc.ttl_of(status));
    Ok(match ttl {
        Some(ttl) if !rules.no_store => failed(sharing, ttl, response, rules),
        _ => confirmed(ended, response, rules),
    })
}

/// The same, but a call that failed is for its own caller where nothing says that others would fail alike.
fn confirmed(ended: Sharing, response: &Ended<'_>, rules: &ResponseRules) -> Sharing {
    let is_share = matches!(ended, Sharing::Share) && rules.on_unconfirmed != Unconfirmed::Share;
    if !is_share || !ending::is_failed_call(response) {
        return ended;
    }
    let said = Said::by(response.headers, &rules.targets, system::now());
    if said.is_ok_and(|said| said.forbidden.is_none() && said.is_fresh()) {
        return ended;
    }
    match status(response) {
        // These statuses are about the method and the message, which the key has.
        Some(NOT_FOUND | UNIMPLEMENTED) => ended,
        Some(UNKNOWN | INTERNAL | UNAVAILABLE | DATA_LOSS) | None => Sharing::Pass(Reason::Failure),
        Some(_) => Sharing::Pass(Reason::Unconfirmed),
    }
}

/// The terms of a failure that is to be kept for `ttl`, or less if it says so itself.
fn failed(sharing: Sharing, ttl: Duration, response: &Ended<'_>, rules: &ResponseRules) -> Sharing {
    let directives = targeted::directives(response.headers, &rules.targets);
    let says_so = directives.is_ok_and(|(directives, targeted)| {
        directives.s_maxage.or(directives.max_age).is_some() || (!targeted && response.headers.contains_key(EXPIRES))
    });
    let ttl = rules.random.shortened(ttl, rules.ttl_jitter);
    let fresh_for = match sharing {
        Sharing::Pass(_) => return sharing,
        Sharing::Store(terms) if says_so => terms.fresh_for.min(ttl),
        Sharing::Share if says_so => return Sharing::Share,
        Sharing::Store(_) | Sharing::Share => ttl,
    };
    Sharing::Store(Terms {
        fresh_for,
        ..Terms::default()
    })
}

/// The status, where there is one that can be read.
fn status(response: &Ended<'_>) -> Option<i32> {
    let mut statuses = grpc_statuses(response.headers, response.trailers);
    let first = statuses.next()?;
    if statuses.any(|other| other != first) {
        return None;
    }
    first.to_str().ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use http::{Method, StatusCode};

    use super::super::cookies::SetCookie;
    use super::super::headers;
    use super::*;

    type Lines<'a> = &'a [(&'static str, &'a str)];

    const ONE: &[u8] = &[0, 0, 0, 0, 1, b'x'];
    const GRPC: (&str, &str) = ("content-type", "application/grpc");

    fn store(seconds: u64) -> Sharing {
        Sharing::Store(Terms {
            fresh_for: Duration::from_secs(seconds),
            ..Terms::default()
        })
    }

    /// `NOT_FOUND` is stored for 30 seconds. The time of `OK` is that of the method, and not of a failure.
    fn rules(on_unconfirmed: Unconfirmed) -> ResponseRules {
        let seconds = [(0, 40), (7, 0), (NOT_FOUND, 30)];
        let status_ttl = seconds.map(|(status, seconds)| (status, Duration::from_secs(seconds)));
        ResponseRules {
            on_unconfirmed,
            ttl_jitter: 0.0,
            grpc: Some(GrpcRules {
                status_ttl: status_ttl.into(),
            }),
            ..ResponseRules::default()
        }
    }

    fn end(sharing: Sharing, lines: Lines<'_>, status: &str, content: &[u8], rules: &ResponseRules) -> Sharing {
        let (headers, trailers) = (headers(lines), headers(&[("grpc-status", status)]));
        let response = Ended {
            method: &Method::POST,
            status: StatusCode::OK,
            headers: &headers,
            trailers: Some(&trailers),
            body_len: content.len() as u64,
            set_cookie: SetCookie::Refuse,
        };
        at_end(sharing, &response, content, rules).unwrap()
    }

    #[test]
    fn one_message_and_its_status_decide() {
        let rules = rules(Unconfirmed::Share);
        let no_store = ResponseRules {
            no_store: true,
            ..rules.clone()
        };
        let two = [ONE, ONE].concat();
        let (passed, messages) = (Sharing::Pass(Reason::NoStore), Sharing::Pass(Reason::Messages));
        for (sharing, status, content, expected) in [
            (store(60), "0", ONE, store(60)),
            (Sharing::Share, "0", ONE, Sharing::Share),
            (store(60), "0", b"", messages),
            (store(60), "0", &two, messages),
            (store(60), "0", &ONE[..5], messages),
            (store(60), "13", ONE, Sharing::Share),
            (store(60), "13", b"", Sharing::Share),
            (store(60), "13", &two, messages),
            (store(60), "5", b"", store(30)),
            (store(60), "7", b"", Sharing::Share),
            (passed, "0", ONE, passed),
            (passed, "0", b"", passed),
            (passed, "5", b"", passed),
        ] {
            assert_eq!(
                end(sharing, &[GRPC], status, content, &rules),
                expected,
                "{status} {content:?}"
            );
        }
        assert_eq!(end(store(60), &[GRPC], "5", b"", &no_store), Sharing::Share);
        // Not by the method.
        assert_eq!(end(store(60), &[], "0", ONE, &rules), Sharing::Share);
    }

    #[test]
    fn statuses_that_contradict_each_other_are_none() {
        let rules = rules(Unconfirmed::Share);
        for (last, expected) in [("5", store(30)), ("7", Sharing::Share)] {
            let lines = [GRPC, ("grpc-status", "5")];
            assert_eq!(end(store(60), &lines, last, b"", &rules), expected, "{last}");
        }
    }

    #[test]
    fn a_failure_is_kept_no_longer_than_it_says() {
        let rules = rules(Unconfirmed::Share);
        for (sharing, lines, expected) in [
            (store(10), &[GRPC][..], store(30)),
            (store(10), &[GRPC, ("cache-control", "max-age=10")], store(10)),
            (store(10), &[GRPC, ("cache-control", "s-maxage=10")], store(10)),
            (store(99), &[GRPC, ("cache-control", "max-age=99")], store(30)),
            (store(10), &[GRPC, ("expires", "0")], store(10)),
            (
                store(10),
                &[GRPC, ("expires", "0"), ("cdn-cache-control", "public")],
                store(30),
            ),
            (Sharing::Share, &[GRPC], store(30)),
            (Sharing::Share, &[GRPC, ("cache-control", "max-age=10")], Sharing::Share),
        ] {
            assert_eq!(end(sharing, lines, "5", b"", &rules), expected, "{lines:?}");
        }
    }

    #[test]
    fn a_failure_of_which_nothing_says_that_others_fail_alike_is_for_one_caller() {
        let of_method = ResponseRules {
            no_store: true,
            ..rules(Unconfirmed::Confirm)
        };
        let of_any = ResponseRules {
            grpc: None,
            ..rules(Unconfirmed::Confirm)
        };
        let (failure, unconfirmed) = (Sharing::Pass(Reason::Failure), Sharing::Pass(Reason::Unconfirmed));
        for rules in [&of_method, &of_any] {
            for (status, expected) in [
                ("0", store(60)),
                ("5", Sharing::Share),
                ("12", Sharing::Share),
                ("2", failure),
                ("13", failure),
                ("14", failure),
                ("15", failure),
                ("x", failure),
                ("7", unconfirmed),
                ("16", unconfirmed),
            ] {
                assert_eq!(end(store(60), &[GRPC], status, ONE, rules), expected, "{status}");
            }
            assert_eq!(end(Sharing::Share, &[GRPC], "0", ONE, rules), Sharing::Share);
            let passed = Sharing::Pass(Reason::NoStore);
            assert_eq!(end(passed, &[GRPC], "13", ONE, rules), passed);
            for (control, expected) in [
                ("max-age=10", Sharing::Share),
                ("max-age=0", failure),
                ("max-age=10, no-store", failure),
                ("public", failure),
            ] {
                let lines = [GRPC, ("cache-control", control)];
                assert_eq!(end(store(60), &lines, "13", ONE, rules), expected, "{control}");
            }
        }
        assert_eq!(end(store(60), &[GRPC], "0", b"", &of_any), store(60));
    }
}

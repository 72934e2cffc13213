//! Requests with credentials: what says that it is for all of them is stored, and shared among them; what does not
//! reaches its own client alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::advance;
use tower::Layer;
use tower_memolock::middleware::CacheStatus;
use tower_memolock::{MemoLockLayer, MemoryStore};

use super::fixture::{
    Asked, Broken, Failure, Gate, Inner, Node, Reply, TestBody, answer, data, get, pair, parts, send, send_many,
    settle, text, with,
};
use crate::support::within;

const WAVE: usize = 10;

/// Longer than anything here is fresh.
const STALE: Duration = Duration::from_secs(61);

/// The client that asks.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Anybody,
    Authorized,
    Cookie,
    Both,
}

const ALL: [Who; 4] = [Who::Anybody, Who::Authorized, Who::Cookie, Who::Both];

impl Who {
    /// A request that no other one of this kind is like.
    fn request(self) -> Request<Full<Bytes>> {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        let id = NEXT.fetch_add(1, Ordering::Relaxed);
        let mut request = get("/");
        let mut add = |name, value: String| request.headers_mut().insert(name, value.parse().expect("a value"));
        if matches!(self, Self::Authorized | Self::Both) {
            add("authorization", format!("Bearer {id}"));
        }
        if matches!(self, Self::Cookie | Self::Both) {
            add("cookie", format!("id={id}"));
        }
        request
    }
}

/// What a response says, and whom it says to be for.
#[derive(Debug, Clone, Copy)]
struct Says {
    directives: &'static str,
    /// Whether the layer has a ttl for what says nothing.
    ttl: bool,
    stored: bool,
    authorized: bool,
    cookies: bool,
}

const fn says(directives: &'static str, ttl: bool, stored: bool, authorized: bool, cookies: bool) -> Says {
    Says {
        directives,
        ttl,
        stored,
        authorized,
        cookies,
    }
}

const SAID: [Says; 9] = [
    says("public, max-age=60", false, true, true, true),
    says("s-maxage=60", false, true, true, true),
    says("must-revalidate, max-age=60", false, true, true, false),
    says("max-age=60", false, true, false, false),
    says("x=1", true, true, false, false),
    says("public", true, true, true, true),
    says("private, max-age=60", false, false, false, false),
    says("public, private, max-age=60", true, false, false, false),
    says("x=1", false, false, false, false),
];

impl Says {
    fn is_for(&self, who: Who) -> bool {
        match who {
            Who::Anybody => true,
            Who::Authorized => self.authorized,
            Who::Cookie => self.cookies,
            Who::Both => self.authorized && self.cookies,
        }
    }

    fn nodes(&self, inner: &Inner) -> [Node; 2] {
        let ttl = if self.ttl {
            STALE - Duration::from_secs(1)
        } else {
            Duration::ZERO
        };
        // A marker would hide which requests wait.
        pair(inner, |layer| layer.ttl(ttl).cache_status(CacheStatus::Outcome))
    }
}

/// Whose credentials a request has, in a body.
fn owner(request: &Request<Full<Bytes>>) -> String {
    let fields = ["authorization", "cookie"].map(|name| request.headers().get(name));
    let values = fields.into_iter().flatten();
    let values: Vec<_> = values.map(|value| value.to_str().expect("ASCII")).collect();
    match values.is_empty() {
        true => "nobody".to_owned(),
        false => values.join(" "),
    }
}

fn reply(call: usize, request: &Request<Full<Bytes>>, directives: &'static str) -> Response<TestBody> {
    let reply = text(format!("{call} for {}", owner(request)));
    with(with(reply, "cache-control", directives), "etag", "\"a\"")
}

fn echo(directives: &'static str) -> Inner {
    Inner::new(move |request, call| {
        let reply = reply(call, &request, directives);
        async move { Ok(reply) }
    })
}

/// Answers as the gate lets calls go, with what `make` makes of them.
fn gated<F>(gate: &Gate, make: F) -> Inner
where
    F: Fn(usize, &Request<Full<Bytes>>) -> Reply + Clone + Send + Sync + 'static,
{
    let gate = gate.clone();
    Inner::new(move |request, call| {
        let (gate, make) = (gate.clone(), make.clone());
        async move {
            gate.pass().await;
            make(call, &request)
        }
    })
}

struct Sent(String, Asked);

fn ask(node: &Node, who: Who) -> Sent {
    let request = who.request();
    Sent(owner(&request), send(node, request))
}

fn ask_many(nodes: &[Node; 2], count: usize, who: Who) -> Vec<Sent> {
    (0..count).map(|i| ask(&nodes[i % 2], who)).collect()
}

/// The number of the call that was answered, and whether the response was made for this very request.
async fn told(Sent(owner, asked): Sent) -> (usize, bool) {
    let body = answer(asked).await.body;
    let body = std::str::from_utf8(&body).expect("UTF-8");
    let (call, made_for) = body.split_once(" for ").expect("a body");
    (call.parse().expect("a number"), made_for == owner)
}

#[tokio::test(start_paused = true)]
async fn what_one_gets_the_next_gets_only_where_it_is_for_both() {
    for says in SAID {
        for first in ALL {
            for second in ALL {
                let inner = echo(says.directives);
                let nodes = says.nodes(&inner);
                assert_eq!(told(ask(&nodes[0], first)).await, (1, true));
                settle().await;
                let stored = says.stored && says.is_for(first);
                let shared = stored && says.is_for(second);
                let mut calls = 1;
                for node in [&nodes[0], &nodes[1], &nodes[1]] {
                    let (call, own) = told(ask(node, second)).await;
                    settle().await;
                    let case = format!("{says:?}: {first:?}, then {second:?}");
                    let is_hit = shared || (calls > 1 && says.stored && says.is_for(second) && !stored);
                    calls += usize::from(!is_hit);
                    assert_eq!(inner.calls(), calls, "{case}");
                    let made_for_nobody = first == Who::Anybody && second == Who::Anybody;
                    assert_eq!(
                        own,
                        !is_hit || made_for_nobody || second == Who::Anybody && !stored,
                        "{case}"
                    );
                    assert_eq!(call == 1, shared, "{case}");
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_client_with_credentials_waits_for_an_unknown_key_and_the_next_wave_finds_what_is_for_it() {
    for says in SAID {
        for who in ALL.into_iter().skip(1) {
            let gate = Gate::new();
            let inner = gated(&gate, move |call, request| Ok(reply(call, request, says.directives)));
            let nodes = says.nodes(&inner);
            let case = format!("{says:?}: {who:?}");
            for wave in 1..=2 {
                let stored = wave == 2 && says.stored && says.is_for(who);
                let before = inner.calls();
                let asked = ask_many(&nodes, WAVE, who);
                if !stored {
                    gate.reached_by(before + WAVE).await;
                    gate.let_go(WAVE);
                }
                for asked in asked {
                    assert_ne!(told(asked).await.1, stored, "{case}");
                }
                settle().await;
                assert_eq!(inner.calls() - before, if stored { 0 } else { WAVE }, "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn once_it_is_stale_those_it_is_for_collapse_and_the_others_do_not_wait() {
    for says in SAID {
        for first in ALL {
            for who in ALL.into_iter().skip(1) {
                let gate = Gate::new();
                let inner = gated(&gate, move |call, request| Ok(reply(call, request, says.directives)));
                let nodes = says.nodes(&inner);
                let asked = ask(&nodes[0], first);
                gate.let_go(1);
                told(asked).await;
                settle().await;
                advance(STALE).await;

                let asked = ask_many(&nodes, WAVE, who);
                gate.reached_by(2).await;
                settle().await;
                let collapses = says.stored && says.is_for(first) && says.is_for(who);
                let case = format!("{says:?}: {first:?}, then {who:?}");
                assert_eq!(inner.calls(), if collapses { 2 } else { 1 + WAVE }, "{case}");
                gate.open();
                let mut own = 0;
                for asked in asked {
                    own += usize::from(told(asked).await.1);
                }
                assert_eq!(own, if collapses { 1 } else { WAVE }, "{case}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn without_a_validator_a_node_remembers_that_it_was_for_them() {
    let gate = Gate::new();
    let inner = gated(&gate, |call, request| {
        let mut reply = reply(call, request, "public, max-age=60");
        reply.headers_mut().remove("etag");
        Ok(reply)
    });
    let nodes = pair(&inner, |layer| layer);
    let asked = ask(&nodes[0], Who::Cookie);
    gate.let_go(1);
    told(asked).await;
    settle().await;
    assert_eq!(told(ask(&nodes[1], Who::Cookie)).await, (1, false));
    for (after, calls) in [(STALE, 1), (STALE * 4, WAVE)] {
        advance(after).await;
        let before = inner.calls();
        let asked = ask_many(&nodes, WAVE, Who::Cookie);
        gate.reached_by(before + 1).await;
        settle().await;
        assert_eq!(inner.calls() - before, calls);
        gate.let_go(WAVE);
        for asked in asked {
            told(asked).await;
        }
        settle().await;
        gate.take_back();
    }
}

type Make = fn(usize, &Request<Full<Bytes>>) -> Reply;

/// What a client with credentials gets that is for no other caller.
const OWN: [Make; 6] = [
    |call, request| Ok(reply(call, request, "max-age=60")),
    |call, request| Ok(reply(call, request, "private")),
    |call, request| Ok(with(reply(call, request, "public, max-age=60"), "set-cookie", "id=1")),
    |call, request| Ok(with(reply(call, request, "public, max-age=60"), "vary", "*")),
    |call, request| Ok(status(500, reply(call, request, "x=1"))),
    |call, request| Ok(status(403, reply(call, request, "x=1"))),
];

fn status(status: u16, mut reply: Response<TestBody>) -> Response<TestBody> {
    *reply.status_mut() = StatusCode::from_u16(status).expect("a status");
    reply
}

/// Whether a case of [`OWN`] is an error.
fn is_error(case: usize) -> bool {
    case >= 4
}

#[tokio::test(start_paused = true)]
async fn a_record_that_is_none_any_more_sets_all_free_and_is_gone() {
    for (case, own) in OWN.into_iter().enumerate() {
        for who in ALL.into_iter().skip(1) {
            let gate = Gate::new();
            let inner = gated(&gate, move |call, request| match call {
                1 => Ok(reply(call, request, "public, max-age=60")),
                _ if owner(request) != "nobody" => own(call, request),
                _ => Ok(reply(call, request, "max-age=60")),
            });
            let nodes = pair(&inner, |layer| layer);
            let asked = ask(&nodes[0], who);
            gate.let_go(1);
            told(asked).await;
            settle().await;
            advance(STALE).await;

            let asked = ask_many(&nodes, WAVE, who);
            gate.reached_by(2).await;
            settle().await;
            assert_eq!(gate.reached(), 2, "{case} {who:?}");
            gate.let_go(1);
            // After an error of one of them, another tries before all do.
            if is_error(case) {
                gate.reached_by(3).await;
                settle().await;
                assert_eq!(gate.reached(), 3, "{case} {who:?}");
            }
            gate.let_go(usize::from(is_error(case)));
            gate.reached_by(1 + WAVE).await;
            gate.let_go(WAVE - 1 - usize::from(is_error(case)));
            for asked in asked {
                assert!(told(asked).await.1, "{case} {who:?}");
            }
            settle().await;
            // An error says nothing of what others get, so what is stale stays.
            if !is_error(case) {
                let asked = ask_many(&nodes, WAVE, who);
                gate.reached_by(1 + 2 * WAVE).await;
                gate.let_go(WAVE);
                for asked in asked {
                    assert!(told(asked).await.1, "{case} {who:?}");
                }
                settle().await;
            }
            // For those without credentials it meant nothing.
            let before = gate.reached();
            let asked = ask_many(&nodes, WAVE, Who::Anybody);
            gate.reached_by(before + 1).await;
            settle().await;
            assert_eq!(gate.reached(), before + 1, "{case} {who:?}: no marker");
            gate.open();
            for asked in asked {
                assert_eq!(told(asked).await.0, before + 1, "{case} {who:?}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_followers_of_a_client_with_credentials_get_nothing_of_that_client_and_stay_together() {
    let mut all = OWN.to_vec();
    all.push(|_, _| Err(Broken("on purpose")));
    all.push(|_, _| panic!("on purpose"));
    for (case, own) in all.into_iter().enumerate() {
        for who in ALL.into_iter().skip(1) {
            let (hers, theirs) = (Gate::new(), Gate::new());
            let inner = {
                let (hers, theirs) = (hers.clone(), theirs.clone());
                Inner::new(move |request, call| {
                    let (hers, theirs) = (hers.clone(), theirs.clone());
                    async move {
                        if owner(&request) == "nobody" {
                            theirs.pass().await;
                            return Ok(reply(call, &request, "max-age=60"));
                        }
                        hers.pass().await;
                        own(call, &request)
                    }
                })
            };
            let nodes = pair(&inner, |layer| layer);
            let own = ask(&nodes[0], who);
            hers.reached_by(1).await;
            let others = ask_many(&nodes, WAVE, Who::Anybody);
            settle().await;
            assert_eq!(theirs.reached(), 0, "{case} {who:?}: they wait");
            hers.let_go(1);
            theirs.reached_by(1).await;
            settle().await;
            assert_eq!(theirs.reached(), 1, "{case} {who:?}: one takes over");
            theirs.open();
            for asked in others {
                assert_eq!(told(asked).await, (2, true), "{case} {who:?}");
            }
            if case < OWN.len() {
                assert_eq!(told(own).await, (1, true), "{case} {who:?}");
            }
            assert_eq!(inner.calls(), 2, "{case} {who:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn the_followers_of_a_client_with_credentials_get_what_is_for_all_clients() {
    let gate = Gate::new();
    let inner = gated(&gate, |call, request| Ok(reply(call, request, "public, max-age=60")));
    let nodes = pair(&inner, |layer| layer);
    let own = ask(&nodes[0], Who::Cookie);
    gate.reached_by(1).await;
    let others = ask_many(&nodes, WAVE, Who::Anybody);
    settle().await;
    gate.open();
    assert_eq!(told(own).await, (1, true));
    for asked in others {
        assert_eq!(told(asked).await, (1, false));
    }
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_body_that_breaks_off_is_neither_stored_nor_shared() {
    let inner = Inner::new(|request, call| async move {
        if call == 1 {
            let broken = parts([data("half"), Err(Broken("on purpose"))]);
            return Ok(with(broken, "cache-control", "public, max-age=60"));
        }
        Ok(reply(call, &request, "public, max-age=60"))
    });
    let nodes = pair(&inner, |layer| layer);
    let Sent(_, asked) = ask(&nodes[0], Who::Cookie);
    let broken = within("an answer", asked).await.expect("no panic");
    assert!(matches!(broken, Err(Failure::Body(_))));
    settle().await;
    assert_eq!(told(ask(&nodes[1], Who::Cookie)).await, (2, true));
    settle().await;
    assert_eq!(told(ask(&nodes[0], Who::Both)).await, (2, false));
}

#[tokio::test(start_paused = true)]
async fn an_invalidation_fences_off_what_a_client_with_credentials_computes() {
    let gate = Gate::new();
    let inner = gated(&gate, |call, request| Ok(reply(call, request, "public, max-age=60")));
    let store = MemoryStore::new();
    let layer = MemoLockLayer::new(store, "layer");
    let node = layer.layer(inner.clone());
    let asked = ask(&node, Who::Authorized);
    gate.reached_by(1).await;
    layer
        .handle()
        .invalidate(&super::failures::key("/"))
        .await
        .expect("an invalidation");
    gate.open();
    assert_eq!(told(asked).await, (1, true));
    settle().await;
    assert_eq!(told(ask(&node, Who::Authorized)).await, (2, true));
}

#[tokio::test(start_paused = true)]
async fn what_is_for_no_other_client_is_not_tried_again_until_the_first_that_is() {
    let inner = Inner::new(|request, call| {
        let directives = if call <= 10 { "max-age=60" } else { "public, max-age=60" };
        let reply = reply(call, &request, directives);
        async move { Ok(reply) }
    });
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
    let node = layer.layer(inner.clone());
    for call in 1..=10 {
        assert_eq!(told(ask(&node, Who::Cookie)).await, (call, true));
        settle().await;
        assert_eq!(layer.handle().stats().led, 1);
    }
    // The first one tells that it has changed, the second is stored.
    for (call, led) in [(11, 1), (12, 2)] {
        assert_eq!(told(ask(&node, Who::Cookie)).await, (call, true));
        settle().await;
        assert_eq!(layer.handle().stats().led, led);
    }
    assert_eq!(told(ask(&node, Who::Cookie)).await, (12, false));
}

#[tokio::test(start_paused = true)]
async fn what_fails_is_not_tried_again_at_once() {
    let failures: [Make; 4] = [
        |_, _| Err(Broken("on purpose")),
        |_, _| panic!("on purpose"),
        |call, request| Ok(status(401, reply(call, request, "max-age=60"))),
        |call, request| Ok(status(503, reply(call, request, "x=1"))),
    ];
    for (case, fail) in failures.into_iter().enumerate() {
        let inner = Inner::new(move |request, call| async move { fail(call, &request) });
        let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
        let node = layer.layer(inner.clone());
        for (after, led) in [(0, 1), (1, 1), (3, 2)] {
            advance(Duration::from_secs(after)).await;
            let Sent(_, asked) = ask(&node, Who::Cookie);
            drop(within("an answer", asked).await);
            settle().await;
            assert_eq!(layer.handle().stats().led, led, "{case}");
        }
        assert_eq!(inner.calls(), 3);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stale_record_answers_while_one_of_them_computes_anew() {
    let inner = echo("public, max-age=60, stale-while-revalidate=10");
    let nodes = pair(&inner, |layer| layer);
    told(ask(&nodes[0], Who::Cookie)).await;
    settle().await;
    advance(STALE).await;
    for asked in ask_many(&nodes, WAVE, Who::Both) {
        assert_eq!(told(asked).await, (1, false));
    }
    settle().await;
    assert_eq!(inner.calls(), 2);
    assert_eq!(told(ask(&nodes[1], Who::Authorized)).await, (2, false));
}

#[tokio::test(start_paused = true)]
async fn a_stale_record_stands_in_for_a_failure_for_those_it_is_for() {
    for (directives, who, shared) in [
        ("public, max-age=60, stale-if-error=60", Who::Cookie, true),
        ("public, max-age=60, stale-if-error=60", Who::Both, true),
        ("max-age=60, stale-if-error=60", Who::Cookie, false),
    ] {
        let inner = Inner::new(move |request, call| {
            let reply = reply(call, &request, directives);
            let reply = if call > 1 { status(503, reply) } else { reply };
            async move { Ok(reply) }
        });
        let nodes = pair(&inner, |layer| layer);
        told(ask(&nodes[0], Who::Anybody)).await;
        settle().await;
        advance(STALE).await;
        for asked in ask_many(&nodes, WAVE, who) {
            assert_ne!(told(asked).await.1, shared, "{directives} {who:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_varies_by_the_credentials_is_stored_for_each_of_them() {
    for (field, who) in [("cookie", Who::Cookie), ("authorization", Who::Authorized)] {
        let inner = Inner::new(move |request, call| {
            let reply = with(reply(call, &request, "public, max-age=60"), "vary", field);
            async move { Ok(reply) }
        });
        let nodes = pair(&inner, |layer| layer);
        let requests: Vec<_> = (0..5).map(|_| who.request()).collect();
        for round in 0..3 {
            for (i, request) in requests.iter().enumerate() {
                let sent = Sent(owner(request), send(&nodes[(i + round) % 2], request.clone()));
                assert_eq!(told(sent).await, (i + 1, true), "{field}");
                settle().await;
            }
        }
        assert_eq!(inner.calls(), requests.len());
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_is_computed_for_a_client_with_credentials_is_waited_for_at_the_end() {
    let gate = Gate::new();
    let inner = gated(&gate, |call, request| Ok(reply(call, request, "public, max-age=60")));
    let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
    let node = layer.layer(inner.clone());
    let Sent(_, asked) = ask(&node, Who::Cookie);
    gate.reached_by(1).await;
    // A client that hangs up stops nothing.
    asked.abort();
    let drained = tokio::spawn(async move { layer.handle().drained().await });
    settle().await;
    assert!(!drained.is_finished());
    gate.open();
    within("the end of it", drained).await.expect("no panic");
    assert_eq!(told(ask(&node, Who::Cookie)).await, (1, false));
}

#[tokio::test(start_paused = true)]
async fn a_marker_of_those_without_credentials_is_ended_by_what_is_for_all_clients() {
    let inner = Inner::new(|request, call| {
        let mut reply = reply(call, &request, "public, max-age=60");
        if owner(&request) == "nobody" {
            // Every newcomer gets a cookie.
            reply = with(reply, "set-cookie", "id=1");
        }
        async move { Ok(reply) }
    });
    let nodes = pair(&inner, |layer| layer);
    told(ask(&nodes[0], Who::Anybody)).await;
    settle().await;
    for call in 2..=3 {
        assert_eq!(told(ask(&nodes[0], Who::Cookie)).await, (call, true));
        settle().await;
    }
    for who in [Who::Cookie, Who::Anybody] {
        assert_eq!(told(ask(&nodes[0], who)).await, (3, false));
    }
}

#[tokio::test(start_paused = true)]
async fn those_who_lead_with_credentials_release_the_others_of_their_kind_to_their_own_answers() {
    // Two users at once, one of whom leads by a record: what is only hers must not reach the other.
    let calls = Arc::new(AtomicUsize::new(0));
    let inner = {
        let calls = Arc::clone(&calls);
        Inner::new(move |request, call| {
            calls.store(call, Ordering::SeqCst);
            let directives = if call == 1 { "public, max-age=60" } else { "max-age=60" };
            let reply = reply(call, &request, directives);
            async move {
                settle().await;
                Ok(reply)
            }
        })
    };
    let nodes = pair(&inner, |layer| layer);
    told(ask(&nodes[0], Who::Cookie)).await;
    settle().await;
    advance(STALE).await;
    let asked = send_many(&nodes, WAVE, || Who::Cookie.request());
    let mut bodies = super::fixture::bodies(asked).await;
    bodies.sort();
    bodies.dedup();
    assert_eq!((bodies.len(), calls.load(Ordering::SeqCst)), (WAVE, WAVE + 1));
}

#[tokio::test(start_paused = true)]
async fn a_failure_for_a_client_with_credentials_does_not_count_for_those_who_take_over() {
    for panics in [false, true] {
        let inner = Inner::new(move |_, _| async move {
            assert!(!panics, "on purpose");
            Err(Broken("on purpose"))
        });
        let layer = MemoLockLayer::new(MemoryStore::new(), "layer");
        let node = layer.layer(inner.clone());
        for (who, abandoned) in [(Who::Cookie, 0), (Who::Anybody, 1)] {
            let Sent(_, asked) = ask(&node, who);
            let failed = within("an answer", asked).await;
            assert!(failed.map_or(true, |answer| answer.is_err()));
            settle().await;
            assert_eq!(layer.handle().stats().abandoned, abandoned, "{who:?} {panics}");
        }
        assert_eq!(inner.calls(), 2);
    }
}

#[tokio::test(start_paused = true)]
async fn what_those_without_credentials_compute_reaches_the_others_only_if_it_is_for_them() {
    for (directives, shared) in [("max-age=60", false), ("public, max-age=60", true)] {
        let gate = Gate::new();
        let inner = gated(&gate, move |call, request| {
            let directives = if call == 1 { "public, max-age=60" } else { directives };
            Ok(reply(call, request, directives))
        });
        let nodes = pair(&inner, |layer| layer);
        let first = ask(&nodes[0], Who::Cookie);
        gate.let_go(1);
        told(first).await;
        settle().await;
        advance(STALE).await;

        let leader = ask(&nodes[0], Who::Anybody);
        gate.reached_by(2).await;
        let asked = ask_many(&nodes, WAVE, Who::Cookie);
        settle().await;
        assert_eq!(inner.calls(), 2, "{directives}");
        gate.open();
        assert_eq!(told(leader).await, (2, true));
        for asked in asked {
            assert_eq!(told(asked).await.1, !shared, "{directives}");
        }
        assert_eq!(inner.calls(), if shared { 2 } else { 2 + WAVE }, "{directives}");
    }
}

#[tokio::test(start_paused = true)]
async fn an_error_for_one_of_them_leaves_the_record_to_be_validated() {
    for error in [401, 403, 500] {
        let inner = Inner::new(move |request, call| async move {
            let validates = request.headers().contains_key("if-none-match");
            let reply = reply(call, &request, "public, max-age=60");
            Ok(match call {
                2 => status(error, text(format!("{call} for {}", owner(&request)))),
                _ if validates => status(304, reply),
                _ => reply,
            })
        });
        let nodes = pair(&inner, |layer| layer);
        told(ask(&nodes[0], Who::Cookie)).await;
        settle().await;
        advance(STALE).await;
        assert_eq!(told(ask(&nodes[0], Who::Cookie)).await, (2, true), "{error}");
        settle().await;
        // The third call says that the first response is still right.
        assert_eq!(told(ask(&nodes[1], Who::Cookie)).await, (1, false), "{error}");
        assert_eq!(inner.calls(), 3);
    }
}

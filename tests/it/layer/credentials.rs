//! Requests with credentials: what says that it is for all of them is stored, and shared among them; what does not
//! reaches its own client alone.

mod leaders;
mod mixed;
mod records;

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

/// What a response says, and which clients it is for.
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

/// The credentials of a request, as the body of a response.
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

//! Responses that vary: each variant is one computation, and goes to those clients only that asked for it.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;

use super::fixture::{Gate, Inner, TestBody, answer, bodies, fresh, get, get_with, pair, send, settle, text, with};

const LANGUAGES: [&str; 4] = ["en", "de", "en, de", "fr"];

fn spoken(headers: &HeaderMap) -> String {
    let languages = headers.get("accept-language");
    languages.map_or_else(|| "none".to_owned(), |value| value.to_str().expect("ASCII").to_owned())
}

/// Answers in the language asked for.
fn polyglot(reply: fn(String) -> Response<TestBody>) -> Inner {
    Inner::new(move |request, _| async move {
        tokio::task::yield_now().await;
        Ok(with(reply(spoken(request.headers())), "vary", "Accept-Language"))
    })
}

fn in_language(language: &str) -> Request<Full<Bytes>> {
    get_with("/", "accept-language", language)
}

#[tokio::test(start_paused = true)]
async fn variants_asked_for_one_after_another_never_cross_and_cost_one_call_each() {
    let inner = polyglot(fresh);
    let nodes = pair(&inner, |layer| layer);
    for round in 0..4 {
        for (i, language) in LANGUAGES.iter().enumerate() {
            let got = answer(send(&nodes[(i + round) % 2], in_language(language))).await;
            assert_eq!(got.body, language);
        }
        assert_eq!(answer(send(&nodes[round % 2], get("/"))).await.body, "none");
        assert_eq!(inner.calls(), LANGUAGES.len() + 1);
    }
}

#[tokio::test(start_paused = true)]
async fn variants_asked_for_at_the_same_time_never_cross_and_cost_one_call_each() {
    let inner = polyglot(fresh);
    let nodes = pair(&inner, |layer| layer);
    let mut asked = Vec::new();
    for i in 0..120 {
        let language = LANGUAGES[i % LANGUAGES.len()];
        asked.push((language, send(&nodes[i / 4 % 2], in_language(language))));
    }
    for (language, asked) in asked {
        assert_eq!(answer(asked).await.body, language);
    }
    assert_eq!(inner.calls(), LANGUAGES.len());
}

#[tokio::test(start_paused = true)]
async fn variants_that_are_not_stored_never_cross_either() {
    let inner = polyglot(text);
    let nodes = pair(&inner, |layer| layer);
    for _ in 0..3 {
        let mut asked = Vec::new();
        for i in 0..40 {
            let language = LANGUAGES[i % LANGUAGES.len()];
            asked.push((language, send(&nodes[i / 4 % 2], in_language(language))));
        }
        for (language, asked) in asked {
            assert_eq!(answer(asked).await.body, language);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn variants_stored_anew_in_another_order_never_cross() {
    let inner = polyglot(fresh);
    let nodes = pair(&inner, |layer| layer);
    for first in 0..LANGUAGES.len() {
        for i in 0..LANGUAGES.len() * 2 {
            let language = LANGUAGES[(first + i) % LANGUAGES.len()];
            let got = answer(send(&nodes[(first + i) % 2], in_language(language))).await;
            assert_eq!(got.body, language);
        }
        assert_eq!(inner.calls(), LANGUAGES.len() * (first + 1));
        tokio::time::advance(Duration::from_secs(61)).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_response_that_begins_to_vary_by_another_field_is_heeded() {
    let inner = Inner::new(|request, call| async move {
        let by = if call == 1 {
            "accept-language"
        } else {
            "accept-encoding"
        };
        let coding = request.headers().get("accept-encoding");
        let coding = coding.map_or("none", |value| value.to_str().expect("ASCII"));
        let body = format!("{} {coding}", spoken(request.headers()));
        Ok(with(with(fresh(body), "vary", by), "x-call", "1"))
    });
    let nodes = pair(&inner, |layer| layer);
    assert_eq!(answer(send(&nodes[0], in_language("en"))).await.body, "en none");
    for (node, coding) in [(0, "br"), (1, "gzip"), (1, "br"), (0, "gzip")] {
        let mut request = in_language("de");
        request
            .headers_mut()
            .insert("accept-encoding", coding.parse().expect("a value"));
        let got = answer(send(&nodes[node], request)).await;
        assert_eq!(got.body, format!("de {coding}"));
    }
    tokio::time::advance(Duration::from_secs(61)).await;
    for (node, coding) in [(0, "br"), (1, "gzip"), (1, "br"), (0, "gzip")] {
        let request = get_with("/", "accept-encoding", coding);
        let got = answer(send(&nodes[node], request)).await;
        assert_eq!(got.body, format!("none {coding}"));
    }
}

#[tokio::test(start_paused = true)]
async fn lines_and_white_space_do_not_make_another_variant() {
    let inner = polyglot(fresh);
    let nodes = pair(&inner, |layer| layer);
    let mut two_lines = in_language("en");
    two_lines
        .headers_mut()
        .append("accept-language", "de".parse().expect("a value"));
    answer(send(&nodes[0], in_language("en, de"))).await;
    assert_eq!(answer(send(&nodes[1], two_lines)).await.body, "en, de");
    assert_eq!(inner.calls(), 1);
}

#[tokio::test(start_paused = true)]
async fn those_who_wait_for_another_variant_get_their_own() {
    let gate = Gate::new();
    let inner = Inner::gated(&gate, move |request, _| {
        Ok(with(fresh(spoken(request.headers())), "vary", "accept-language"))
    });
    let nodes = pair(&inner, |layer| layer);
    let english: Vec<_> = (0..6).map(|i| send(&nodes[i % 2], in_language("en"))).collect();
    gate.reached_by(1).await;
    let german: Vec<_> = (0..6).map(|i| send(&nodes[i % 2], in_language("de"))).collect();
    settle().await;
    gate.let_go(1);
    gate.reached_by(2).await;
    assert_eq!(bodies(english).await, ["en"; 6]);
    gate.let_go(1);
    assert_eq!(bodies(german).await, ["de"; 6]);
    assert_eq!(inner.calls(), 2);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_one_variant_after_another_waits_no_longer_in_all() {
    // Eight seconds for each of the first two calls, and none for those that come later.
    let inner = Inner::new(|request, call| async move {
        if call <= 2 {
            tokio::time::sleep(Duration::from_secs(8)).await;
        }
        let body = format!("{} {call}", spoken(request.headers()));
        Ok(with(fresh(body), "vary", "Accept-Language"))
    });
    let nodes = pair(&inner, |layer| layer.wait_timeout(Duration::from_secs(10)));
    let first = send(&nodes[0], in_language("en"));
    settle().await;
    let start = tokio::time::Instant::now();
    let others = [send(&nodes[0], in_language("de")), send(&nodes[0], in_language("de"))];

    // Both wait eight seconds for English; then one leads, and the other has two seconds left.
    let direct = others.map(|other| async move { (answer(other).await.body, start.elapsed().as_secs()) });
    let mut answers = futures_util::future::join_all(direct).await;
    answers.sort_by_key(|(_, seconds)| *seconds);
    assert_eq!(answers, [("de 3".into(), 10), ("de 2".into(), 16)]);
    assert_eq!(answer(first).await.body, "en 1");
}

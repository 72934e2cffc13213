//! Hits that are compared with what the upstream says now.

use super::*;

/// Waits until so many hits of this route were verified, or could not be.
async fn verified(proxy: &Proxy, name: &str, hits: u64) -> Value {
    within("verified hits", async {
        loop {
            let state = proxy.state().await;
            let routes = state["verify"][0]["routes"].as_array().expect("a list").clone();
            let route = routes.into_iter().find(|route| route["route"] == name);
            match route {
                Some(route) if count(&route, "verified") + count(&route, "failed") >= hits => return route,
                _ => tokio::time::sleep(Duration::from_millis(10)).await,
            }
        }
    })
    .await
}

#[tokio::test]
async fn a_hit_that_is_verified_is_compared_and_answers_its_client_all_the_same() {
    let gate = Gate::new();
    let (origin, redis) = (origin(&gate).await, RedisServer::start());
    let url = redis.url();
    for store in [&["--redis", &url][..], &[]] {
        let proxy = Proxy::start(&origin, &[&["--verify", "1"], store].concat()).await;
        let first = ask(&proxy, "/clock", &[]).await.text().to_owned();
        ask(&proxy, "/plain", &[]).await;
        for _ in 0..5 {
            assert_eq!(ask(&proxy, "/clock", &[]).await.text(), first);
            assert_eq!(ask(&proxy, "/plain", &[]).await.text(), "plain");
        }
        // What comes before the first is stored is no hit.
        let clock = verified(&proxy, "GET /clock", 3).await;
        assert_eq!((&clock["different"], &clock["failed"]), (&clock["verified"], &0.into()));
        let plain = verified(&proxy, "GET /plain", 3).await;
        assert_eq!((&plain["different"], &plain["failed"]), (&0.into(), &0.into()));
        let state = proxy.state().await;
        let failure = &state["failures"][0];
        assert_eq!(
            failure["what"],
            "a hit was verified: it is not what the inner service says now"
        );
        assert!(
            failure["key"].as_str().is_some_and(|key| key.ends_with("/clock}")),
            "{state}"
        );
        assert!(
            proxy
                .told("/")
                .await
                .text()
                .contains("Hits of proxy that were verified")
        );
        proxy.invalidate("all=1").await;
    }
}

#[tokio::test]
async fn without_a_fraction_no_hit_is_verified() {
    let origin = origin(&Gate::new()).await;
    let proxy = Proxy::start(&origin, &[]).await;
    for _ in 0..5 {
        ask(&proxy, "/plain", &[]).await;
    }
    assert_eq!(origin.calls("/plain"), 1);
    assert_eq!(proxy.state().await["verify"], serde_json::json!([]));
    for wrong in ["2", "-0.1", "NaN", "some"] {
        let flags = [
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            "http://127.0.0.1:9",
            "--verify",
            wrong,
        ];
        let output = run_example("reverse_proxy", &flags).await;
        assert_eq!(output.status.code(), Some(2), "{wrong}");
        let said = String::from_utf8(output.stderr).expect("UTF-8");
        assert!(
            said.starts_with("error: --verify takes a fraction from 0 to 1 like 0.01, not"),
            "{said}"
        );
    }
}

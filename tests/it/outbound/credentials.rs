//! Cookies and credentials of a program that calls others.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_cookie_of_the_api_reaches_no_follower_no_later_request_and_not_the_store() {
    let redis = RedisServer::start();
    for reqwest in [false, true] {
        let gate = Arc::new(Gate::new());
        let behind = Arc::clone(&gate);
        let origin = Origin::start(move |_| {
            let gate = Arc::clone(&behind);
            async move {
                gate.pass().await;
                Reply::fresh("rates").header("set-cookie", "session=secret")
            }
        })
        .await;
        let url = format!("{}/rates", origin.url());
        let mut layers = Vec::new();
        for _ in 0..3 {
            let store = redis.store().await;
            layers.push(MemoLockLayer::client(store, "client"));
        }
        let clients: Vec<_> = layers
            .iter()
            .map(|layer| both(layer)[usize::from(reqwest)].clone())
            .collect();
        let asked: Vec<_> = (0..30)
            .map(|at| tokio::spawn(clients[at % 3].clone().oneshot(get(&url, &[]))))
            .collect();
        let waiting = || layers.iter().map(|layer| layer.handle().stats().waiting).sum::<u64>() == 29;
        eventually("those who wait", waiting).await;
        gate.open();
        let mut cookies = 0;
        for answer in asked {
            let answer = within("an answer", answer)
                .await
                .expect("no panic")
                .expect("a response");
            assert_eq!(answer.body, "rates");
            cookies += usize::from(answer.headers.contains_key(SET_COOKIE));
        }
        assert_eq!((cookies, origin.all_calls()), (1, 1));
        for layer in &layers {
            within("the end", layer.handle().drained()).await;
        }
        for client in &clients {
            assert!(!ask(client, &url, &[]).await.headers.contains_key(SET_COOKIE));
        }
        assert_eq!(origin.all_calls(), 1);
        let values = redis.keys().into_iter().filter(|key| key.starts_with("client:"));
        let values: Vec<_> = values.map(|key| redis.cli(&["GET", &key])).collect();
        assert!(!values.is_empty() && !values.concat().contains("secret"), "{values:?}");
    }
}

#[tokio::test]
async fn requests_with_different_credentials_share_only_if_they_are_said_to_be_the_programs_own() {
    let origin = Origin::start(async |call: Call| Reply::fresh(token_of(&call))).await;
    let layer = |tag| MemoLockLayer::client(MemoryStore::new(), tag);
    let (a, b) = (&[("authorization", "Bearer a")], &[("authorization", "Bearer b")]);

    for (at, (layer, expected)) in [
        (layer("unsaid"), ["Bearer a 1", "Bearer b 2", "Bearer a 3"]),
        (
            layer("own").privacy(Privacy::new().own_credentials([AUTHORIZATION])),
            ["Bearer a 1", "Bearer a 1", "Bearer a 1"],
        ),
        (
            layer("users").key_headers([AUTHORIZATION]),
            ["Bearer a 1", "Bearer b 2", "Bearer a 1"],
        ),
        // Said of another field.
        (
            layer("other").privacy(Privacy::new().own_credentials(["x-api-key"])),
            ["Bearer a 1", "Bearer b 2", "Bearer a 3"],
        ),
    ]
    .into_iter()
    .enumerate()
    {
        for (of, client) in both(&layer).iter().enumerate() {
            // A target of its own for each client.
            let url = format!("{}/{at}/{of}", origin.url());
            let mut bodies = Vec::new();
            for fields in [a, b, a] {
                bodies.push(ask(client, &url, fields).await.body);
            }
            assert_eq!(bodies, expected, "{at} {of}");
        }
    }
}

#[tokio::test]
async fn a_private_response_is_shared_by_the_program_that_says_that_the_credentials_are_its_own() {
    for field in [
        "private, max-age=60",
        "private, s-maxage=60",
        "private, must-revalidate, max-age=60",
    ] {
        let private = move |call: Call| async move { Reply::ok(token_of(&call)).header("cache-control", field) };
        let origin = Origin::start(private).await;
        let layer = MemoLockLayer::client(MemoryStore::new(), "unsaid");
        let own =
            MemoLockLayer::client(MemoryStore::new(), "own").privacy(Privacy::new().own_credentials([AUTHORIZATION]));
        let (token, both_of_them) = (
            &[("authorization", "Bearer a")][..],
            &[("authorization", "Bearer a"), ("cookie", "user=1")][..],
        );
        let url = |path: &str| format!("{}{path}", origin.url());
        let client = hyper_client(&layer);
        for fields in [token, &[], token, both_of_them] {
            ask(&client, &url("/unsaid"), fields).await;
        }
        assert_eq!(origin.calls("/unsaid"), 4, "{field}");

        let client = hyper_client(&own);
        for _ in 0..3 {
            assert_eq!(ask(&client, &url("/own"), token).await.body, "Bearer a 1", "{field}");
        }
        // The cookie was not said to be the program's own: such a request takes nothing, and leaves nothing behind.
        assert_eq!(ask(&client, &url("/own"), both_of_them).await.body, "Bearer a 2");
        assert_eq!(ask(&client, &url("/own"), token).await.body, "Bearer a 1");
        assert_eq!(ask(&client, &url("/cookie"), both_of_them).await.body, "Bearer a 1");
        assert_eq!(ask(&client, &url("/cookie"), both_of_them).await.body, "Bearer a 2");
        assert_eq!(ask(&client, &url("/cookie"), token).await.body, "Bearer a 3");
    }
}

#[tokio::test]
async fn what_is_not_to_be_stored_is_not_whosever_the_credentials_are() {
    let no_store = |call: Call| async move { Reply::ok(token_of(&call)).header("cache-control", "private, no-store") };
    let elsewhere = |call: Call| async move {
        let reply = Reply::ok(token_of(&call)).header("cache-control", "private");
        reply.header("surrogate-control", "no-store")
    };
    let layer = || {
        MemoLockLayer::client(MemoryStore::new(), "own")
            .privacy(Privacy::new().own_credentials([AUTHORIZATION, COOKIE]))
    };
    let layer = || layer().ttl(Duration::from_secs(60));
    for origin in [Origin::start(no_store).await, Origin::start(elsewhere).await] {
        let client = hyper_client(&layer());
        for call in 1..=2 {
            let answer = ask(&client, &origin.url(), &[("authorization", "Bearer a")]).await;
            assert_eq!(
                answer.body,
                format!("Bearer a {call}"),
                "{:?}",
                answer.headers.get(CACHE_CONTROL)
            );
        }
    }
}

//! Clusters, sentinels, many keys, and a Redis that lets no client in.

use super::*;

#[tokio::test]
async fn all_masters_of_a_cluster_are_asked() {
    let cluster = RedisCluster::start();
    let ids: Vec<_> = (0..3).map(|node| cluster.id_on(node, "{GET /#}")).collect();
    let homes: Vec<_> = ids.iter().map(|id| cluster.home(&format!("t:{id}"))).collect();
    let urls = cluster.urls();
    let seeds: Vec<_> = urls[..1].iter().flat_map(|url| ["--redis", url]).collect();
    let run = async |args: &[&str]| {
        let args = [&["--tag", "t", "--cluster"], &seeds[..], args].concat();
        let run = run_example("inspect", &args).await;
        let stderr = String::from_utf8(run.stderr).expect("UTF-8");
        assert_eq!(run.status.code(), Some(0), "{args:?}: {stderr}");
        String::from_utf8(run.stdout).expect("UTF-8")
    };
    for (id, home) in ids.iter().zip(&homes) {
        cluster.nodes[*home].cli(&["SET", &format!("t:{id}"), "raw"]);
        cluster.nodes[*home].cli(&["SET", &format!("t/lock:{id}"), "held", "PX", "90000"]);
    }
    let (list, locks) = (run(&["list"]).await, run(&["locks"]).await);
    for id in &ids {
        assert!(list.contains(&format!("{id}\n    raw value, 3 bytes")), "{list}");
        assert!(
            locks.contains(&format!("{id}\n    held with the token held")),
            "{locks}"
        );
        let shown = run(&["show", id]).await;
        assert!(
            shown.contains("raw bytes") && shown.contains("with the token held"),
            "{shown}"
        );
    }
    run(&["invalidate", &ids[1]]).await;
    assert!(!run(&["list"]).await.contains(&ids[1]));
}

#[tokio::test]
async fn the_master_that_sentinels_name_is_asked() {
    let all = Sentinels::start();
    all.servers[0].cli(&["SET", "t:a", "raw"]);
    let urls = all.urls();
    let sentinels: Vec<_> = urls.iter().flat_map(|url| ["--redis", url]).collect();
    let run = async |master: &str| {
        let args = [&["--tag", "t", "--sentinel", master], &sentinels[..]].concat();
        let run = run_example("inspect", &args).await;
        let text = |bytes| String::from_utf8(bytes).expect("UTF-8");
        (text(run.stdout), text(run.stderr), run.status.code())
    };
    let (list, stderr, _) = run(MASTER).await;
    assert!(list.contains("a\n    raw value, 3 bytes"), "{list}{stderr}");
    let (_, stderr, code) = run("nosuch").await;
    assert_eq!(code, Some(1), "{stderr}");
}

#[tokio::test]
async fn many_keys_are_scanned_and_few_are_printed() {
    let redis = RedisServer::start();
    let fill = "for i = 1, 20000 do redis.call('SET', 'other:' .. i, i) if i % 2 == 0 then redis.call('SET', 't:' .. i, i) end end";
    redis.cli(&["EVAL", fill, "0"]);
    redis.reset_commandstats();
    let list = stdout(&redis, &["--limit", "7"]).await;
    assert_eq!(list.lines().count(), 15, "{list}");
    assert!(list.ends_with("and more: --limit 70 shows some of them\n"), "{list}");
    let stats = redis.commandstats();
    assert!(stats.contains_key("scan") && !stats.contains_key("keys"), "{stats:?}");
}

#[tokio::test]
async fn a_redis_that_does_not_let_it_in_is_explained_without_the_password() {
    let redis = RedisServer::start();
    redis.cli(&["CONFIG", "SET", "requirepass", "open sesame"]);
    for (url, words) in [
        ("redis://127.0.0.1:1".to_owned(), "cannot be reached"),
        (
            format!("redis://:close%20sesame@127.0.0.1:{}", redis.port()),
            "rejects the user name or password",
        ),
        (redis.url(), "NOAUTH"),
    ] {
        let run = run_example("inspect", &["--redis", &url, "--tag", "t"]).await;
        let stderr = String::from_utf8(run.stderr).expect("UTF-8");
        assert_eq!(run.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
        assert!(!stderr.contains("sesame"), "{stderr}");
    }
}

//! The first example that a reader runs.

use super::*;

#[tokio::test]
async fn quickstart_is_one_call_in_one_process() {
    let run = run("quickstart", &[]).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout.lines().last(), Some(ONE_CALL), "{}", run.stdout);
    assert_eq!(calls(&run.stdout), [1000, 1, 0]);
    for (name, [_, p50, p99]) in rows(&run.stdout) {
        assert!(p50 <= p99, "{name}: {p50} and {p99}");
        assert!(name == "warm" || p50 >= 500, "{name}: {p50}");
    }
    let widths = run.stdout.lines().filter(|line| line.ends_with(" ms"));
    let widths: Vec<usize> = widths.map(str::len).collect();
    assert_eq!(widths.len(), 3, "{}", run.stdout);
    assert!(widths.iter().all(|width| *width == widths[0]), "{}", run.stdout);
    for progress in ["without the layer: 100 200 ", " 900 1000 answered", "warm: 100 "] {
        assert!(run.stderr.contains(progress), "no {progress} in {}", run.stderr);
    }
}

#[tokio::test]
async fn quickstart_is_one_call_over_redis_as_often_as_it_runs() {
    let redis = RedisServer::start();
    for _ in 0..2 {
        let run = run("quickstart", &["--redis", &redis.url()]).await;
        assert_eq!(run.code, Some(0), "{}", run.stderr);
        assert_eq!(run.stdout.lines().last(), Some(ONE_CALL), "{}", run.stdout);
        assert_eq!(calls(&run.stdout), [1000, 1, 0]);
    }
    let mut quickstart = command("quickstart", &[]);
    quickstart.env("REDIS_URL", redis.url());
    let run = finish(quickstart).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
    assert_eq!(run.stdout.lines().last(), Some(ONE_CALL), "{}", run.stdout);
    assert_eq!(redis.cli(&["KEYS", "quickstart:*"]).lines().count(), 3);
}

#[tokio::test]
async fn quickstart_without_the_redis_it_was_given_says_so_and_fails() {
    for by_flag in [true, false] {
        let mut quickstart = command("quickstart", if by_flag { &["--redis", NO_REDIS] } else { &[] });
        if !by_flag {
            quickstart.env("REDIS_URL", NO_REDIS);
        }
        let run = finish(quickstart).await;
        assert_eq!(run.code, Some(1), "{}", run.stderr);
        let [without, with, warm] = calls(&run.stdout)[..] else {
            panic!("{}", run.stdout);
        };
        // Each node collapses its own. A request that a busy machine delivers after the response makes one more call, because
        // nothing is stored.
        assert_eq!(without, 1000);
        assert!((3..100).contains(&with) && (3..100).contains(&warm), "{}", run.stdout);
        let said = format!("1000 requests on 3 nodes: {with} upstream calls");
        assert_eq!(run.stdout.lines().last(), Some(&*said), "{}", run.stdout);
        for words in [
            "warning: no help from this Redis",
            "error: it should have been one call",
        ] {
            assert!(run.stderr.contains(words), "{}", run.stderr);
        }
    }
}

#[tokio::test]
async fn quickstart_does_not_tell_the_password() {
    let redis = RedisServer::start();
    redis.cli(&["CONFIG", "SET", "requirepass", "open sesame"]);
    for (password, code) in [("open%20sesame", 0), ("close%20sesame", 1)] {
        let url = format!("redis://:{password}@127.0.0.1:{}", redis.port());
        let run = run("quickstart", &["--redis", &url]).await;
        assert_eq!(run.code, Some(code), "{}", run.stderr);
        let output = run.stdout + &run.stderr;
        assert!(!output.contains("sesame"), "{output}");
        let explained = output.contains("rejects the user name or password");
        assert_eq!(explained, code == 1, "{output}");
    }
}

#[tokio::test]
async fn quickstart_stops_when_asked_to() {
    for name in ["TERM", "INT"] {
        let mut quickstart = command("quickstart", &[]).spawn().expect("a process");
        // The first round is under way.
        let mut stderr = quickstart.stderr.take().expect("its stderr");
        let mut progress = [0; 7];
        within("progress", stderr.read_exact(&mut progress))
            .await
            .expect("progress");
        assert_eq!(&progress, b"without");
        signal(quickstart.id().expect("a process that lives"), name);
        let output = within("its end", quickstart.wait_with_output()).await.expect("output");
        let mut rest = String::new();
        stderr.read_to_string(&mut rest).await.expect("UTF-8");
        assert_eq!(output.status.code(), Some(1), "{rest}");
        assert!(rest.ends_with("error: stopped before the end\n"), "{rest}");
    }
}

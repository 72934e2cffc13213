//! What the examples say of their command lines, and of wrong ones.

use super::*;

#[tokio::test]
async fn every_example_says_how_to_use_it() {
    for example in ALL {
        for flags in [&["--help"][..], &["-h"]] {
            let run = run(example, flags).await;
            assert_eq!(run.code, Some(0), "{example}: {}", run.stderr);
            assert!(
                run.stdout.starts_with(&format!("Usage: {example}")),
                "{example}: {}",
                run.stdout
            );
            assert!(run.stdout.contains("--help "), "{example}: {}", run.stdout);
            assert_eq!(run.stderr, "", "{example}");
        }
    }
}

#[tokio::test]
async fn every_example_refuses_what_it_does_not_know() {
    for example in ALL {
        for (flags, word) in [
            (&["--bogus"][..], "--bogus"),
            (&["--bogus=1"], "--bogus"),
            (&["-b"], "-b"),
            (&["stray"], "stray"),
        ] {
            let run = run(example, flags).await;
            assert_eq!(run.code, Some(2), "{example} {flags:?}: {}", run.stderr);
            assert!(run.stderr.contains(word), "{example} {flags:?}: {}", run.stderr);
            assert!(run.stderr.contains("--help"), "{example} {flags:?}: {}", run.stderr);
            assert_eq!(run.stdout, "", "{example} {flags:?}");
        }
    }
}

/// An example, its flags, and words of what it says to them.
type Wrong = (&'static str, &'static [&'static str], &'static [&'static str]);

const WRONG: &[Wrong] = &[
    ("axum", &["--listen"], &["--listen", "nothing"]),
    (
        "axum",
        &["--listen", "3000"],
        &["--listen", "127.0.0.1:8080", "\"3000\""],
    ),
    (
        "extended",
        &["--listen", "127.0.0.1:0"],
        &["--redis is missing", "share"],
    ),
    (
        "reverse_proxy",
        &[
            "--listen",
            "127.0.0.1:0",
            "--upstream",
            "http://127.0.0.1:1",
            "--stream-followers",
            "cluster",
        ],
        &["--redis is missing", "--stream-followers"],
    ),
    ("extended", &["--worker", "running"], &["--redis is missing"]),
    ("extended", &["--redis", NO_REDIS], &["--listen is missing"]),
    (
        "extended",
        &["--redis", NO_REDIS, "--listen", "127.0.0.1:0", "--worker", "running"],
        &["--listen", "--worker"],
    ),
    (
        "extended",
        &["--redis", NO_REDIS, "--worker", ""],
        &["--worker", "a word"],
    ),
    (
        "live",
        &["--listen", "3000"],
        &["--listen", "127.0.0.1:8080", "\"3000\""],
    ),
    ("live", &["--redis", "localhost"], &["--redis", "redis://", "localhost"]),
    ("live", &["--redis", "rediss://localhost"], &["--redis", "redis://127"]),
    ("live", &["--node", "1"], &["--node"]),
    ("tonic", &[], &["--listen is missing"]),
    ("tonic", &["--listen", "nowhere"], &["--listen", "nowhere"]),
    ("tonic", &["--listen", "127.0.0.1:99999"], &["--listen", "99999"]),
    ("tonic", &["--node", ""], &["--node", "name"]),
    (
        "tonic",
        &["--listen", "127.0.0.1:0", "--redis", "localhost"],
        &["--redis", "redis://", "localhost"],
    ),
    ("quickstart", &["--redis"], &["--redis", "nothing"]),
    (
        "quickstart",
        &["--redis", "http://localhost"],
        &["--redis", "redis://", "http://localhost"],
    ),
    ("quickstart", &["--redis", "redis://"], &["--redis"]),
    ("quickstart", &["--redis", "redis://host:port"], &["--redis"]),
];

#[tokio::test]
async fn wrong_and_missing_values_are_explained() {
    for (example, flags, words) in WRONG {
        let run = run(example, flags).await;
        assert_eq!(run.code, Some(2), "{example} {flags:?}: {}", run.stderr);
        for word in *words {
            assert!(
                run.stderr.contains(word),
                "{example} {flags:?}: no {word} in {}",
                run.stderr
            );
        }
        assert_eq!(run.stdout, "", "{example} {flags:?}");
    }
}

#[tokio::test]
async fn a_wrong_url_is_told_without_its_password() {
    for (example, flags) in [
        ("quickstart", ["--redis", "redis://:s3cret@127.0.0.1:99999"]),
        ("quickstart", ["--redis", "user:s3cret@127.0.0.1:6379"]),
        ("reverse_proxy", ["--upstream", "http://user:s3cret@127.0.0.1:1"]),
        ("outbound", ["--call", "http://user:s3cret@127.0.0.1:1/x"]),
    ] {
        let run = run(example, &flags).await;
        assert_eq!(run.code, Some(2), "{example} {flags:?}: {}", run.stderr);
        assert!(
            run.stderr.contains("***@127.0.0.1:"),
            "{example} {flags:?}: {}",
            run.stderr
        );
        assert!(!run.stderr.contains("s3cret"), "{example} {flags:?}: {}", run.stderr);
    }
}

#[tokio::test]
async fn a_wrong_redis_url_in_the_environment_is_explained_unless_a_flag_replaces_it() {
    let mut quickstart = command("quickstart", &[]);
    quickstart.env("REDIS_URL", "localhost");
    let run = finish(quickstart).await;
    assert_eq!(run.code, Some(2), "{}", run.stderr);
    assert!(run.stderr.contains("REDIS_URL"), "{}", run.stderr);

    let redis = RedisServer::start();
    let mut quickstart = command("quickstart", &["--redis", &redis.url()]);
    quickstart.env("REDIS_URL", "localhost");
    let run = finish(quickstart).await;
    assert_eq!(run.code, Some(0), "{}", run.stderr);
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_names_it() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("its number").to_string();
    for example in ["axum", "live", "tonic"] {
        let run = run(example, &["--listen", &taken]).await;
        assert_eq!(run.code, Some(1), "{example}");
        assert!(run.stderr.contains(&taken), "{example}: {}", run.stderr);
    }
}

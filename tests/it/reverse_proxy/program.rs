//! The proxy as a program: its command line, how it starts and how it stops.

use super::*;

#[tokio::test]
async fn help_goes_to_stdout_and_is_a_success() {
    let output = run_example("reverse_proxy", &["--help"]).await;
    assert_eq!(output.status.code(), Some(0));
    let stdout = String::from_utf8(output.stdout).expect("UTF-8");
    for flag in [
        "--listen",
        "--upstream",
        "--redis",
        "--sentinel",
        "--cluster",
        "--redis-ca",
        "--redis-cert",
        "--redis-key",
        "--tag",
        "--ttl",
        "--set-cookie",
        "--lease",
        "--wait-timeout",
        "--max-body",
    ] {
        assert!(stdout.contains(flag), "{flag} in {stdout}");
    }
}

#[tokio::test]
async fn a_wrong_command_line_is_explained() {
    const PLACES: [&str; 4] = ["--listen", "127.0.0.1:0", "--upstream", "http://127.0.0.1:1"];
    for (flags, words) in [
        (&["--bogus"][..], &["--bogus"][..]),
        (&["-b"], &["-b"]),
        (&["stray"], &["stray"]),
        (&["--ttl", "5"], &["--ttl", "500ms", "\"5\""]),
        (&["--ttl", "5 s"], &["--ttl", "500ms"]),
        (
            &["--set-cookie", "keep"],
            &["--set-cookie", "refuse, strip or share", "\"keep\""],
        ),
        (&["--set-cookie"], &["--set-cookie", "nothing"]),
        (&["--lease", "0s"], &["--lease", "500ms"]),
        (&["--lease", "99999999999999999999s"], &["--lease", "500ms"]),
        (&["--wait-timeout", "-1s"], &["--wait-timeout", "500ms"]),
        (&["--max-body", "8MiB"], &["--max-body", "bytes"]),
        (&["--max-body"], &["--max-body", "bytes", "nothing"]),
        (&["--tag", "likes/lock"], &["--tag", "likes/lock"]),
        (&["--tag", ""], &["--tag"]),
        (&["--listen", "nowhere"], &["--listen", "127.0.0.1:8080", "nowhere"]),
        (
            &["--upstream", "https://localhost"],
            &["--upstream", "cleartext", "https://localhost"],
        ),
        (&["--upstream", "localhost:80"], &["--upstream", "http://"]),
        (&["--redis", "http://localhost"], &["--redis", "redis://"]),
        (&["--sentinel", "m"], &["--redis is missing", "sentinel"]),
        (&["--sentinel", ""], &["--sentinel", "master"]),
        (&["--cluster"], &["--redis is missing", "cluster"]),
        (&["--cluster", "--sentinel", "m"], &["exclude"]),
        (&["--redis-ca", "/nowhere.pem"], &["--redis-ca", "/nowhere.pem"]),
        (&["--redis-ca", "Cargo.toml"], &["--redis is missing"]),
        (
            &["--redis", "rediss://localhost", "--redis-cert", "Cargo.toml"],
            &["--redis-key is missing"],
        ),
        (
            &["--redis", "rediss://localhost", "--redis-key", "Cargo.toml"],
            &["--redis-cert is missing"],
        ),
    ] {
        let all: Vec<&str> = PLACES.iter().chain(flags).copied().collect();
        let output = run_example("reverse_proxy", &all).await;
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        for word in words {
            assert!(stderr.contains(word), "{flags:?}: no {word} in {stderr}");
        }
        assert!(output.stdout.is_empty(), "{flags:?}");
    }
    let output = run_example("reverse_proxy", &PLACES[..2]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("--upstream is missing"));
}

#[tokio::test]
async fn a_port_in_use_is_an_error_that_says_so() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let taken = holder.local_addr().expect("its number").to_string();
    let flags = ["--listen", &taken, "--upstream", "http://127.0.0.1:1"];
    let output = run_example("reverse_proxy", &flags).await;
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains(&taken));
}

#[tokio::test]
async fn it_stops_cleanly_when_asked_to() {
    let origin = Origin::start(|_| async { Reply::ok("") }).await;
    for signal in ["TERM", "INT"] {
        let mut node = Node::reverse_proxy(&origin.url(), &[]).await;
        let client = HttpClient::http1();
        client.get(&node.url("/")).await.expect("an answer");
        node.signal(signal);
        assert_eq!(node.ended().await.code(), Some(0), "{}", node.stderr());
    }
}

#[tokio::test]
async fn it_answers_requests_under_way_before_it_stops() {
    let open = Arc::new(Semaphore::new(0));
    let gate = Arc::clone(&open);
    let origin = Origin::start(move |_| {
        let gate = Arc::clone(&gate);
        async move {
            gate.acquire().await.expect("a gate").forget();
            Reply::ok("in time")
        }
    })
    .await;
    let mut node = Node::reverse_proxy(&origin.url(), &[]).await;
    let (client, url) = (HttpClient::http1(), node.url("/"));
    let answer = tokio::spawn(async move { client.get(&url).await });
    origin.called("/", 1).await;
    node.signal("TERM");
    within("an end to listening", async {
        while TcpStream::connect(node.authority()).await.is_ok() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    open.add_permits(1);
    let answer = answer.await.expect("no panic").expect("an answer");
    assert_eq!(answer.text(), "in time");
    assert_eq!(node.ended().await.code(), Some(0), "{}", node.stderr());
}

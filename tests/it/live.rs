//! The `live` example as a program: what it says when it cannot start, and what becomes of its nodes. What its page does
//! is in `tests/live`.

use crate::support::{HttpClient, Node, RedisServer, eventually, run_example, signal};

/// The processes that `pid` has started.
fn children(pid: u32) -> Vec<u32> {
    let all = std::fs::read_dir("/proc").expect("/proc");
    let pids = all.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    pids.filter(|child| status(*child).contains(&format!("\nPPid:\t{pid}\n")))
        .collect()
}

/// What the system says of a process; nothing where there is none.
fn status(pid: u32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default()
}

fn is_alive(pid: u32) -> bool {
    // What has ended without a parent stays as a zombie in a container that reaps none.
    let status = status(pid);
    !status.is_empty() && !status.contains("\nState:\tZ")
}

async fn with_redis(redis: &RedisServer) -> Node {
    Node::start("live", &["--listen", "127.0.0.1:0", "--redis", &redis.url()]).await
}

#[tokio::test]
async fn nodes_end_with_the_program_even_when_that_is_killed() {
    let redis = RedisServer::start();
    for killed in [true, false] {
        let mut live = with_redis(&redis).await;
        let nodes = children(live.pid());
        assert_eq!(nodes.len(), 3);
        if killed {
            live.kill().await;
        } else {
            live.signal("TERM");
            assert_eq!(live.ended().await.code(), Some(0), "{}", live.stderr());
        }
        eventually("the end of its nodes", || !nodes.iter().any(|pid| is_alive(*pid))).await;
        assert_eq!(live.stderr(), "");
    }
}

#[tokio::test]
async fn a_node_that_another_program_kills_comes_back() {
    let redis = RedisServer::start();
    let live = with_redis(&redis).await;
    let before = children(live.pid());
    signal(before[0], "KILL");
    let same = |now: &[u32]| now.iter().filter(|pid| before.contains(pid)).count();
    eventually("another node", || {
        let now = children(live.pid());
        now.len() == 3 && same(&now) == 2
    })
    .await;
}

#[tokio::test]
async fn state_has_the_names_of_the_page() {
    let live = Node::start("live", &["--listen", "127.0.0.1:0"]).await;
    let client = HttpClient::http1();
    let state = client.get(&live.url("/api/state")).await.expect("an answer");
    let page = client.get(&live.url("/")).await.expect("an answer");
    for name in ["requests", "handler-calls", "hits", "waiting", "explain"] {
        assert!(state.text().contains(&format!("\"{name}\":")), "{}", state.text());
        assert!(page.text().contains(&format!("id=\"{name}\"")), "{name}");
    }
    let buttons = ["herd", "steady", "kill-leader", "freeze-redis", "invalidate", "reset"];
    for name in buttons {
        assert!(page.text().contains(&format!("<button id=\"{name}\"")), "{name}");
    }
    // No network but this program.
    assert!(!page.text().replace("http://www.w3.org/2000/svg", "").contains("://"));
}

#[tokio::test]
async fn a_redis_that_gives_no_help_is_an_error_that_does_not_tell_the_password() {
    let redis = RedisServer::start();
    redis.cli(&["CONFIG", "SET", "requirepass", "open sesame"]);
    let wrong = format!("redis://:close%20sesame@127.0.0.1:{}", redis.port());
    for (url, words) in [
        ("redis://127.0.0.1:1", "cannot be reached"),
        (wrong.as_str(), "rejects the user name or password"),
    ] {
        let run = run_example("live", &["--listen", "127.0.0.1:0", "--redis", url]).await;
        let stderr = String::from_utf8(run.stderr).expect("UTF-8");
        assert_eq!(run.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(words), "{stderr}");
        assert!(!stderr.contains("sesame"), "{stderr}");
        assert!(run.stdout.is_empty());
    }
}

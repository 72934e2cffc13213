//! The routes, as many clients of three nodes see them.

use super::fixture::{Demo, Message, promise};
use crate::support::{eventually, within};

pub(super) async fn a_query_runs_once_for_all(demo: &Demo) -> Vec<Message> {
    let value = "<query set result 42>";
    demo.ask_all("/query/simple/42", 90).agree_on(value).await;
    assert_eq!(demo.redis.cli(&["GET", "query:42"]), value);
    assert!((1..=5_000).contains(&demo.pttl("query:42")));
    assert!(!demo.exists("query/lock:42"));
    assert_eq!(demo.begun("query", "\"42\""), 1);
    promise("query", "42", value)
}

pub(super) async fn a_renewed_report_runs_once_for_all(demo: &Demo) -> Vec<Message> {
    let value = "https://somewhere/42-report.pdf";
    let asked = demo.ask_all("/report/renewable/42", 30);
    // Five seconds at first.
    eventually("a longer lease", || demo.pttl("report/lock:42") > 10_000).await;
    asked.agree_on(value).await;
    assert_eq!(demo.redis.cli(&["GET", "report:42"]), value);
    assert!((1..=5_000).contains(&demo.pttl("report:42")));
    assert!(!demo.exists("report/lock:42"));
    assert_eq!(demo.begun("report", "\"42\""), 1);
    promise("report", "42", value)
}

pub(super) async fn a_report_that_is_too_late_is_an_error(demo: &Demo) -> Vec<Message> {
    let first = demo.ask(0, "/report/oh-no/late");
    eventually("a report", || demo.begun("late report", "\"late\"") == 1).await;
    // The second worker takes over when the lease of the first ends, and fares no better.
    let second = demo.ask(1, "/report/oh-no/late");
    for answer in [first, second] {
        let answer = within("an answer", answer).await.expect("no panic");
        assert_eq!(answer.status, 500);
        assert!(answer.text().contains("the lease"), "{}", answer.text());
    }
    assert_eq!(demo.begun("late report", "\"late\""), 2);
    assert!(!demo.exists("report:late"));
    Vec::new()
}

pub(super) async fn a_stem_comes_from_one_worker(demo: &Demo) -> Vec<Message> {
    demo.ask_all("/ext/stemmer/Running", 30).agree_on("run").await;
    assert_eq!(demo.redis.cli(&["GET", "ext:Running"]), "run");
    assert!((1..=10_000).contains(&demo.pttl("ext:Running")));
    eventually("an end of the lock", || !demo.exists("ext/lock:Running")).await;
    assert_eq!(demo.begun("process", "\"Running\""), 1);
    promise("ext", "Running", "run")
}

pub(super) async fn a_joke_is_told_by_redis_commands(demo: &Demo) -> Vec<Message> {
    let asked = demo.ask_all("/ext/joke", 30);
    demo.listening("ext", "joke", 3).await;
    // A caller that waits for a joke waits longer than for anything else.
    demo.redis.cli(&["SET", "query/lock:never", "mine", "PX", "20000"]);
    let other = within("an answer", demo.ask(0, "/query/simple/never")).await;
    let other = other.expect("no panic");
    assert_eq!(other.status, 504, "{}", other.text());
    demo.redis.cli(&["SET", "ext:joke", "700", "EX", "10"]);
    demo.redis.cli(&["PUBLISH", "ext/notif:joke", "700"]);
    asked.agree_on("700").await;
    assert_eq!(demo.begun("process", "\"joke\""), 0);
    promise("ext", "joke", "700")
}

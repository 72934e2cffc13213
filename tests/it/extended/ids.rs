//! What clients may name.

use futures_util::future::join_all;

use super::fixture::{Demo, Message, promise};
use crate::support::{exchange, within};

pub(super) async fn what_can_be_an_id_is_one_to_the_letter(demo: &Demo) -> Vec<Message> {
    let long = "x".repeat(1024);
    let ids = [
        ("a%2Fb", "a/b"),
        ("a%20b", "a b"),
        ("%25", "%"),
        ("a:b", "a:b"),
        ("%7Bx%7D", "{x}"),
        ("..%2F", "../"),
        ("gr%C3%B6%C3%9Fer", "größer"),
        ("a%0D%0Ab%00", "a\r\nb\0"),
        ("--help", "--help"),
        (&long, &long),
    ];
    let asked = ids.map(|(raw, id)| async move {
        let value = format!("<query set result {id}>");
        demo.ask_all(&format!("/query/simple/{raw}"), 3).agree_on(&value).await;
        assert_eq!(demo.redis.cli(&["GET", &format!("query:{id}")]), value);
        promise("query", id, &value)
    });
    demo.ask_all("/ext/stemmer/--help", 3).agree_on("--help").await;
    let mut published = join_all(asked).await.concat();
    published.extend(promise("ext", "--help", "--help"));
    published
}

pub(super) async fn what_cannot_be_an_id_is_refused(demo: &Demo) -> Vec<Message> {
    let (long, longer) = ("x".repeat(1025), "x".repeat(3000));
    for (path, status, word) in [
        ("/query/simple/", 404, "/query/simple/"),
        ("/query/simple", 404, "/query/simple"),
        ("/query/simple/a/b", 404, "/query/simple/a/b"),
        ("/", 404, "/"),
        ("/query/simple/%FF", 400, "UTF-8"),
        (&format!("/query/simple/{long}"), 400, "1025"),
        (&format!("/report/oh-no/{longer}"), 400, "3000"),
        (&format!("/ext/stemmer/{longer}"), 400, "3000"),
        ("/ext/stemmer/a%00b", 400, "not a word"),
        ("/ext/stemmer/a%0Ab", 400, "not a word"),
    ] {
        let answer = within("an answer", demo.ask(0, path)).await.expect("no panic");
        assert_eq!(answer.status, status, "{path}: {}", answer.text());
        assert!(answer.text().contains(word), "{path}: {}", answer.text());
    }
    let post = "POST /query/simple/42 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answer = exchange(demo.nodes[0].authority(), post).await;
    assert!(answer.starts_with(b"HTTP/1.1 405 "));
    Vec::new()
}

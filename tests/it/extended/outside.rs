//! Other members of the family: whatever speaks to Redis.

use super::fixture::{Asked, Demo, Message, promise};
use crate::support::{Member, eventually, resolve_from_python, signal};

/// A foreign member holds the lock, and clients of all nodes wait.
async fn held(demo: &Demo, id: &str, millis: &str) -> Asked {
    demo.redis
        .cli(&["SET", &format!("query/lock:{id}"), "mine", "PX", millis]);
    let asked = demo.ask_all(&format!("/query/simple/{id}"), 30);
    demo.listening("query", id, 3).await;
    asked
}

pub(super) async fn a_leader_of_another_kind_is_waited_for(demo: &Demo) -> Vec<Message> {
    let asked = held(demo, "foreign", "20000").await;
    demo.redis.cli(&["SET", "query:foreign", "from afar", "PX", "5000"]);
    demo.redis.cli(&["PUBLISH", "query/notif:foreign", "from afar"]);
    asked.agree_on("from afar").await;
    assert_eq!(demo.begun("query", "\"foreign\""), 0);
    promise("query", "foreign", "from afar")
}

pub(super) async fn a_lost_message_costs_the_rest_of_the_lease(demo: &Demo) -> Vec<Message> {
    let asked = held(demo, "lost", "3000").await;
    demo.redis.cli(&["SET", "query:lost", "unheard of", "PX", "20000"]);
    asked.agree_on("unheard of").await;
    assert_eq!(demo.begun("query", "\"lost\""), 0);
    Vec::new()
}

pub(super) async fn a_dead_leader_is_succeeded_by_one_node(demo: &Demo) -> Vec<Message> {
    let asked = held(demo, "dead", "3000").await;
    asked.agree_on("<query set result dead>").await;
    assert_eq!(demo.begun("query", "\"dead\""), 1);
    promise("query", "dead", "<query set result dead>")
}

pub(super) async fn members_in_python_lead_and_follow(demo: &Demo) -> Vec<Message> {
    let mut leader = Member::start(&demo.redis, "query", "led");
    leader.is_computing().await;
    let asked = demo.ask_all("/query/simple/led", 30);
    demo.listening("query", "led", 3).await;
    leader.computes("by Python").await;
    leader.has("by Python").await;
    asked.agree_on("by Python").await;
    assert_eq!(demo.begun("query", "\"led\""), 0);

    let asked = demo.ask_all("/query/simple/followed", 30);
    eventually("a query", || demo.begun("query", "\"followed\"") == 1).await;
    let value = "<query set result followed>";
    let mut follower = Member::start(&demo.redis, "query", "followed");
    follower.has(value).await;
    asked.agree_on(value).await;
    [
        promise("query", "led", "by Python"),
        promise("query", "followed", value),
    ]
    .concat()
}

pub(super) async fn a_worker_in_python_resolves_what_a_node_asked_for(demo: &Demo) -> Vec<Message> {
    let asked = demo.ask_all("/ext/stemmer/snakes", 30);
    demo.listening("ext", "snakes", 3).await;
    signal(super::worker::pid(demo, "snakes").await, "KILL");
    resolve_from_python(&demo.redis, "ext", "snakes", "by Python").await;
    asked.agree_on("by Python").await;
    assert_eq!(demo.begun("process", "stems \"snakes\""), 1);
    promise("ext", "snakes", "by Python")
}

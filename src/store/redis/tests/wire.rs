//! The scripts on the page about the wire are those that are sent.

use crate::store::redis::{generations, parts, script};

const PAGE: &str = include_str!("../../../docs/wire.md");

/// The Lua on the page, one script after the other.
fn documented() -> Vec<String> {
    let mut blocks: Vec<_> = PAGE.split("```lua\n").skip(1).collect();
    for block in &mut blocks {
        *block = block.split("```").next().unwrap();
    }
    blocks.into_iter().map(one_line).collect()
}

fn one_line(script: &str) -> String {
    let code = script.lines().filter(|line| !line.starts_with("--"));
    code.flat_map(str::split_whitespace).collect::<Vec<_>>().join(" ")
}

#[test]
fn the_page_has_the_scripts_that_are_sent() {
    let sent = [
        &script::RESOLVE,
        &script::COMMIT,
        &script::RENEW,
        &script::RELEASE,
        &script::DEFER,
        &script::INVALIDATE,
        &script::SOFTEN,
        &generations::BEGIN,
        &generations::ADVANCE,
        &generations::INVALIDATE,
        &generations::SOFTEN,
        &script::NEAR_JOIN,
        &script::NEAR_NOTICE,
        &generations::FORGET,
        &script::NEAR_PRUNE,
        &parts::FIND,
        &parts::APPEND,
        &parts::READ,
        &parts::FINISH,
        &parts::DETACH,
        &parts::APPEND_DETACHED,
        &parts::ABANDON,
    ];
    let sent = sent.map(|script| one_line(script.text()));
    assert_eq!(documented(), sent);
}

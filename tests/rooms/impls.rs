//! Where the methods of a type stand: a reader of `lock.acquire(..)` has two files to look for it in.

use std::collections::{BTreeMap, BTreeSet};

use super::source::{Module, Source, code};
use super::type_name;

/// Types with methods in more files, and why.
const EXCEPTED: &[(&str, &str)] = &[
    (
        "MemoLockLayer",
        "its documentation shows each impl as a group of settings, and each group is a file",
    ),
    (
        "MemoLock",
        "its public methods, with their documentation, are more than two files may have",
    ),
];

/// Unit tests are left out.
#[test]
fn an_impl_stands_with_its_type_or_in_one_named_child() {
    let files = Source::read().files;
    let mut homes: BTreeMap<String, BTreeSet<&Module>> = BTreeMap::new();
    for (module, text) in &files {
        for name in text.lines().filter_map(type_name) {
            homes.entry(name.to_owned()).or_default().insert(module);
        }
    }
    let mut away: BTreeMap<String, BTreeSet<&Module>> = BTreeMap::new();
    for (module, text) in &files {
        for name in inherent_impls(&code(text)) {
            if homes.get(&name).is_some_and(|homes| !homes.contains(module)) {
                away.entry(name).or_default().insert(module);
            }
        }
    }
    let is_child = |module: &Module, home: &Module| {
        let rest = module
            .strip_prefix(home.as_str())
            .and_then(|rest| rest.strip_prefix('/'));
        rest.is_some_and(|rest| !rest.contains('/'))
    };
    let is_named_child = |name: &String, module: &Module| homes[name].iter().any(|home| is_child(module, home));
    away.retain(|name, modules| modules.len() > 1 || !modules.iter().all(|module| is_named_child(name, module)));
    for (name, reason) in EXCEPTED {
        assert!(
            away.remove(*name).is_some(),
            "{name} is no exception any more: {reason}"
        );
    }
    assert!(away.is_empty(), "{away:#?}");
}

/// The types to which this code gives methods of their own.
fn inherent_impls(code: &str) -> Vec<String> {
    let code = format!("\n{code}");
    let blocks = code.split("\nimpl").skip(1).zip(code.split("\nimpl"));
    let blocks = blocks.filter(|(_, before)| !before.trim_end().ends_with("#[cfg(test)]"));
    let heads = blocks.filter_map(|(block, _)| block.split_once('{').map(|(head, _)| head));
    heads
        .filter(|head| !head.contains(" for "))
        .filter_map(subject)
        .collect()
}

/// The type in what follows the word `impl`.
fn subject(head: &str) -> Option<String> {
    let mut depth = 0_usize;
    let behind_parameters = |character: char| {
        match character {
            '<' => depth += 1,
            '>' => depth = depth.saturating_sub(1),
            _ => {}
        }
        depth == 0 && character == ' '
    };
    let (_, path) = head.split_once(behind_parameters)?;
    let path = path.split(['<', ' ', '\n']).next()?;
    path.rsplit("::").next().map(str::to_owned)
}

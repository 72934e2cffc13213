//! The rooms of the source: what stands where, and that each uses only what stands before it.
//!
//! A room is a folder or a file. [`ORDER`] lists the rooms of each folder, the first one first; a `use` of a later room
//! is an error, and so is a room that is not listed. Within a room, files may not import each other in a circle. A file
//! and the files of its own folder count as one. What is excepted is named with its reason.

mod impls;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use source::{Module, Source, code};

/// The rooms of a folder of `src`, in the order in which they may use each other.
const ORDER: &[(&str, &str)] = &[
    (
        "",
        "simulation system counter crowd random throttle task key trace attached error codec store memo middleware admin docs",
    ),
    (
        "store",
        "token stamp parts compression envelope value notice lock traits any memory redis contract",
    ),
    (
        "store/redis",
        "stats resp conn protocol near pubsub backlog topology large script parts generations oversized reads writing acl store builder fuzzing",
    ),
    (
        "memo",
        "limits stats insight path rules flights receipt found config leases marking stream outcome permit refreshes shared coordinator lookup join \
         background tasks compute turn invalidation warm memolock",
    ),
    (
        "middleware",
        "frames inner grpc policy settings key_extractor recording stored_response incoming known shadow respond cache lookup lead methods serve service \
         handle layer fuzzing",
    ),
];

/// Uses of a later room that stay, with the reason.
const UPWARD: &[(&str, &str, &str)] = &[
    ("error", "memo", "`Error::AtLimit` says which `Limit`"),
    (
        "memo/shared",
        "memo/tasks",
        "the shared part holds, as pointers, what starts tasks upon it",
    ),
    (
        "memo/turn",
        "memo/memolock",
        "each waiter keeps one pointer to that, rather than one to the shared part and one to the line",
    ),
    (
        "store/redis/near",
        "store/redis/topology",
        "the link to a server holds its near copies, whose tasks ask that server",
    ),
    ("store/redis/near", "store/redis/script", "what they ask it is a script"),
    (
        "store/redis/store",
        "store/redis/builder",
        "`RedisStore::builder` returns it",
    ),
    (
        "store/traits",
        "store/any",
        "`Store::into_any` returns it, for each type of store",
    ),
    (
        "store/stamp",
        "store/envelope",
        "an envelope is the form of a stamp, and has its type",
    ),
];

/// Files that import each other, with the reason.
const CIRCLES: &[(&str, &str)] = &[
    (
        "key/builder key/error key/id key/tag",
        "an error names the bounds of what it refuses, and a key is what its builder makes",
    ),
    (
        "store/envelope store/stamp",
        "an envelope is the form of a stamp, and has its type",
    ),
    (
        "store/any store/traits",
        "a store goes behind a pointer, and is a store there",
    ),
    (
        "store/redis/builder store/redis/store",
        "`RedisStore::builder` returns it",
    ),
    (
        "store/redis/conn/dial store/redis/conn/sentinel",
        "a sentinel is dialled like a server, and says where to dial",
    ),
    (
        "store/redis/conn/error store/redis/conn/tls",
        "a refused certificate is an error of the dial",
    ),
    (
        "store/redis/topology/cluster/refresh store/redis/topology/cluster/router",
        "the task of a router refreshes the map of that router",
    ),
    (
        "memo/background/refresh memo/background/solo memo/coordinator memo/join memo/lookup memo/shared memo/tasks",
        "the shared part starts tasks upon itself through the pointers in `tasks`",
    ),
    (
        "memo/memolock memo/turn",
        "each waiter keeps one pointer to the `MemoLock`, rather than one to the shared part and one to the line",
    ),
    (
        "middleware/key_extractor/extractor middleware/key_extractor/when",
        "`KeyExtractor::when` returns it",
    ),
    (
        "middleware/policy/ending middleware/policy/fields middleware/policy/freshness middleware/policy/grpc \
         middleware/policy/permission middleware/policy/request middleware/policy/response middleware/policy/response_rules \
         middleware/policy/sharing",
        "the rules for a response are one table, and each file is a row of it",
    ),
    (
        "middleware/stored_response/bare middleware/stored_response/binary_http middleware/stored_response/extras \
         middleware/stored_response/form middleware/stored_response/frame middleware/stored_response/message \
         middleware/stored_response/parted middleware/stored_response/raw_body middleware/stored_response/recent \
         middleware/stored_response/response middleware/stored_response/streamed",
        "a stored response can be read from each of its forms, and written in each",
    ),
];

/// What only these files may name. A simulation stands in for the system there: what goes round them runs on no node of it, at
/// no time of its clock, or differs from run to run.
const DOORS: &[(&str, &str)] = &[
    ("tokio::spawn(", "task"),
    (".spawn(", "memo/warm"),
    ("spawn_blocking", ""),
    ("SystemTime::now(", "system"),
    ("std::time::Instant", ""),
    ("getrandom::", "system"),
    // It wakes those that wait in an order of its own.
    ("sync::watch", "memo/refreshes memo/leases/lease"),
    ("RandomState", "store/token middleware/shadow/books"),
    ("TcpStream::connect", "store/redis/conn/socket"),
];

/// The room of a module within a folder, if it is in that folder.
fn room<'a>(folder: &str, module: &'a str) -> Option<&'a str> {
    let inner = match folder {
        "" => module,
        folder => module.strip_prefix(folder)?.strip_prefix('/')?,
    };
    inner.split('/').next().filter(|room| !room.is_empty())
}

#[test]
fn rooms_use_only_what_stands_before_them() {
    let source = Source::read();
    let edges = source.edges();
    let mut wrong = BTreeSet::new();
    let mut excepted = BTreeSet::new();
    for (folder, order) in ORDER {
        let order: Vec<&str> = order.split_whitespace().collect();
        let rooms: BTreeSet<&str> = source.files.keys().filter_map(|module| room(folder, module)).collect();
        for room in rooms.difference(&order.iter().copied().collect()) {
            wrong.insert(format!("{folder}/{room} has no place in the order"));
        }
        for room in order.iter().filter(|room| !rooms.contains(*room)) {
            wrong.insert(format!("{folder}/{room} is in the order, and is not there"));
        }
        let place = |room: &str| order.iter().position(|other| *other == room);
        for (from, to) in &edges {
            let (Some(one), Some(other)) = (room(folder, from), room(folder, to)) else {
                continue;
            };
            if place(other) <= place(one) {
                continue;
            }
            let path = |room: &str| {
                if folder.is_empty() {
                    room.to_owned()
                } else {
                    format!("{folder}/{room}")
                }
            };
            let exception = UPWARD.iter().find(|(a, b, _)| *a == path(one) && *b == path(other));
            match exception {
                Some(exception) => drop(excepted.insert(exception)),
                None => drop(wrong.insert(format!("{from} uses {to}, which stands above it"))),
            }
        }
    }
    for exception in UPWARD.iter().filter(|exception| !excepted.contains(exception)) {
        wrong.insert(format!("{exception:?} is not needed any more"));
    }
    assert!(wrong.is_empty(), "{}", wrong.into_iter().collect::<Vec<_>>().join("\n"));
}

#[test]
fn no_files_import_each_other_in_a_circle() {
    let source = Source::read();
    let is_family = |a: &str, b: &str| {
        let is_inner = |a: &str, b: &str| b.is_empty() || a.strip_prefix(b).is_some_and(|rest| rest.starts_with('/'));
        is_inner(a, b) || is_inner(b, a)
    };
    let mut uses: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    let edges = source.edges();
    for (from, to) in edges.iter().filter(|(from, to)| !is_family(from, to)) {
        uses.entry(from).or_default().insert(to);
    }
    let all: BTreeMap<&str, BTreeSet<&str>> = uses.keys().map(|file| (*file, reached(&uses, file))).collect();
    let mut circles: BTreeSet<Vec<&str>> = BTreeSet::new();
    for (file, reaches) in all.iter().filter(|(file, reaches)| reaches.contains(*file)) {
        let back = reaches
            .iter()
            .filter(|other| all.get(*other).is_some_and(|back| back.contains(file)));
        circles.insert(back.copied().collect());
    }
    let named: Vec<BTreeSet<&str>> = CIRCLES
        .iter()
        .map(|(files, _)| files.split_whitespace().collect())
        .collect();
    circles.retain(|circle| !named.iter().any(|named| circle.iter().all(|file| named.contains(file))));
    let circles: Vec<String> = circles.iter().map(|circle| circle.join(" ")).collect();
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn the_system_is_asked_at_its_doors_only() {
    let mut wrong = Vec::new();
    for (module, text) in Source::read().files {
        let code = code(&text).replace("std::time::{Duration, Instant}", "std::time::Instant");
        for (word, doors) in DOORS {
            if code.contains(word) && !doors.split(' ').any(|door| door == module) {
                wrong.push(format!("{module} has `{word}`"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Outside unit tests.
#[test]
fn each_type_has_a_name_of_its_own() {
    let mut places: BTreeMap<String, Vec<Module>> = BTreeMap::new();
    for (module, text) in Source::read().files {
        let code = text.split("#[cfg(test)]\nmod ").next().unwrap_or_default();
        for name in code.lines().filter_map(type_name) {
            places.entry(name.to_owned()).or_default().push(module.clone());
        }
    }
    assert!(places.len() > 100, "{places:?}");
    places.retain(|_, modules| modules.len() > 1);
    assert!(places.is_empty(), "{places:#?}");
}

/// The name of the type that begins on this line, if one does.
fn type_name(line: &str) -> Option<&str> {
    let line = match line.strip_prefix("pub") {
        Some(public) => public.split_once(' ')?.1,
        None => line,
    };
    let item = ["struct ", "enum ", "trait ", "type ", "union "]
        .iter()
        .find_map(|kind| line.strip_prefix(kind))?;
    item.split(|character: char| !character.is_alphanumeric() && character != '_')
        .next()
}

/// `src/middleware/mod.rs` has the files that a request passes through. A hit in memory is one that a reader can follow.
#[test]
fn the_walk_names_files_that_are_there_and_each_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let text = fs::read_to_string(root.join("middleware/mod.rs")).unwrap();
    let walks: Vec<Vec<&str>> = text
        .split("//!\n")
        .map(|walk| {
            let lines = walk.lines().filter_map(|line| line.strip_prefix("//!   "));
            let files = lines.filter_map(|line| line.split_whitespace().next());
            files.filter(|file| file.ends_with(".rs")).collect()
        })
        .filter(|files: &Vec<_>| !files.is_empty())
        .collect();
    assert_eq!(walks.len(), 3, "{walks:?}");
    let mut seen = BTreeSet::new();
    for file in walks.iter().flatten() {
        assert!(root.join(file).is_file(), "{file} is not there");
        assert!(seen.insert(file), "{file} stands there twice");
    }
    assert!(walks[0].len() <= 12 && walks[1].len() <= 25, "{walks:?}");
}

/// All files that one leads to.
fn reached<'a>(uses: &BTreeMap<&'a str, BTreeSet<&'a str>>, from: &'a str) -> BTreeSet<&'a str> {
    let (mut seen, mut next) = (BTreeSet::new(), vec![from]);
    while let Some(file) = next.pop() {
        let more = uses.get(file).into_iter().flatten().copied();
        next.extend(more.filter(|file| seen.insert(*file)));
    }
    seen
}

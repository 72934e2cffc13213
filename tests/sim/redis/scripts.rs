//! What the scripts of the store do, in Rust: each is known by its hash, so none can change without this.

use std::time::Duration;

use super::keys::last_of;
use super::near;
use super::parts;
use super::resp::Answer;
use super::{Caller, RedisServer};
use crate::checks;
use crate::world::EPOCH;

type Effect = fn(&mut RedisServer, &Caller, &[Vec<u8>], &[Vec<u8>]) -> Answer;

const ALL: [(&str, Effect); 25] = [
    ("24cafbf434a5988fb5650b4407f4230c1b43deb0", commit),
    ("bfde70d3f9313f2aa41240784806a34c0b8251d8", place),
    ("3eb6a8c3b3c56c489de9622b8bc55d8b5f57d7ef", renew),
    ("b273311160c9c7f982ac729519c73d67f976964e", defer),
    ("f1437999377321d538b2bf63d1e471d32e890e8d", resolve),
    ("f425ce273785873682196d5ed8c4c8ededa2e3f1", release),
    ("8705d225660d6ae05514d668f50d75fb8c119672", sound),
    ("6e266bd836a999197ad58a2449619025563568a8", unmark),
    ("a05e56cba7576caa57309b4b689bb84dea4f36ad", invalidate),
    ("e345ec6e3983e1b9ee3cf22c5d08a27503d6757f", soften),
    ("1dfd67b51ce5aef3fc7c906676b838a25340fad5", begin_generation),
    ("a068a2186fea402734fefe50c049c1e4fe07186c", invalidate_labels),
    ("b156c823a0c19da75afe4f43486d1d511c1cc6ca", advance),
    ("7da6787544f3ea516d789625a4831a848a17067d", soften_labels),
    ("d6b035386ddb140e0a936d9ec29f4f4c88059492", forget),
    ("5c0a524e95825176ea029d75051679eb52b84ddf", parts::append),
    ("8a5e19d434a91ba1e4a4fc0133c44e997722b2ec", parts::finish),
    ("28fef0b127a9235694a7f83e14c73cd0a8911494", parts::detach),
    ("2e199b82c51f788f7ec0e341c0002201fa3bd1ba", parts::append_detached),
    ("f5fbaf45b9eb74068acefae65e3c9a1347b5da5c", parts::abandon),
    ("5535b212b65f6bddc5c234aee704a4b2088933cc", parts::find),
    ("2d39af5bf58417fa0fb0867ea2074148535a427f", parts::read),
    ("cb43a7e8a736a55269041a20b1c26643417360ca", near::join),
    ("7212ebda3222e79c96c7f61cde13950545c65a19", near::prune),
    ("9d78d7f0a424f6c4bf00720fd0c747396ec74c01", near::notice),
];

pub(crate) fn effect(hash: &str) -> Option<Effect> {
    ALL.iter().find(|(known, _)| *known == hash).map(|(_, effect)| *effect)
}

pub(crate) fn millis(text: &[u8]) -> Duration {
    let millis = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    Duration::from_millis(millis.expect("milliseconds")).min(Duration::from_secs(86_400 * 400))
}

/// The store's time, in microseconds.
fn micros(caller: &Caller) -> u64 {
    EPOCH.as_micros() as u64 + 1000 * caller.sim.now()
}

/// What stands behind the token, if it holds the lock.
pub(super) fn held(server: &RedisServer, caller: &Caller, lock: &[u8], token: &[u8]) -> Option<Option<Vec<u8>>> {
    let rest = server.keys(caller).get(lock)?.strip_prefix(token)?;
    match rest.split_first() {
        None => Some(None),
        Some((b'~', soft)) => Some(Some(soft.to_vec())),
        Some(_) => None,
    }
}

fn number(soft: &Option<Vec<u8>>) -> Answer {
    Answer::Number(if soft.is_some() { 2 } else { 1 })
}

/// What is published: the value, or what is said of it.
fn payload(said: Option<&Vec<u8>>, value: &[u8]) -> Vec<u8> {
    match said {
        Some(word) if word == b"value " => [word, value].concat(),
        Some(word) => word.clone(),
        None => value.to_vec(),
    }
}

fn commit(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let Some(soft) = held(server, caller, &keys[0], &args[0]) else {
        caller.sim.made("script: refused");
        return Answer::Number(0);
    };
    let value = stored(server, caller, keys, soft.as_deref(), &args[1], &args[2]);
    server.publish(caller, &args[3], &payload(args.get(4), &value));
    number(&soft)
}

/// Stores a value, or its softened form, and gives the lock back.
pub(super) fn stored(
    server: &mut RedisServer,
    caller: &Caller,
    keys: &[Vec<u8>],
    soft: Option<&[u8]>,
    value: &[u8],
    time: &[u8],
) -> Vec<u8> {
    if let Some(since) = server.keys(caller).since(&keys[0]) {
        checks::committed(&caller.sim, &String::from_utf8_lossy(&keys[1]), since, value);
    }
    caller.sim.made(if soft.is_some() {
        "script: committed, as soft"
    } else {
        "script: committed"
    });
    let value = [soft.unwrap_or_default(), value].concat();
    let all = server.keys_mut(caller);
    all.set(&keys[1], value.clone(), millis(time), (0, caller.node));
    all.delete(&keys[0]);
    value
}

fn place(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let Some(soft) = held(server, caller, &keys[0], &args[0]) else {
        caller.sim.made("script: refused");
        server.keys_mut(caller).delete(&keys[2]);
        return Answer::Number(0);
    };
    let Some(value) = server.keys(caller).get(&keys[2]).map(<[u8]>::to_vec) else {
        return Answer::Number(3);
    };
    caller.sim.made("script: moved to its place");
    server.keys_mut(caller).delete(&keys[2]);
    stored(server, caller, keys, soft.as_deref(), &value, &args[1]);
    server.publish(caller, &args[2], &args[3]);
    number(&soft)
}

fn sound(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    if held(server, caller, &keys[0], &args[0]).is_none() {
        return Answer::Number(0);
    }
    match server.publish(caller, &args[1], &args[2]) {
        0 => Answer::Number(server.keys_mut(caller).delete(&keys[0])),
        _ => Answer::Number(2),
    }
}

fn renew(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let Some(soft) = held(server, caller, &keys[0], &args[0]) else {
        return Answer::Number(0);
    };
    caller.sim.made("script: renewed");
    server.keys_mut(caller).expire(&keys[0], millis(&args[1]));
    number(&soft)
}

fn defer(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    if held(server, caller, &keys[0], &args[0]).is_none() {
        return Answer::Number(0);
    }
    caller.sim.made("script: deferred");
    server.keys_mut(caller).expire(&keys[0], millis(&args[1]));
    server.publish(caller, &args[2], &args[3]);
    Answer::Number(1)
}

fn resolve(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    caller.sim.made("script: resolved");
    if args[1] != b"0" {
        let time = millis(&args[1]);
        server
            .keys_mut(caller)
            .set(&keys[0], args[0].clone(), time, (0, caller.node));
    }
    server.publish(caller, &args[2], &payload(args.get(3), &args[0]));
    if let Some(promise) = args.get(4) {
        server.publish(caller, promise, &args[0]);
    }
    Answer::Number(1)
}

fn release(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let Some(soft) = held(server, caller, &keys[0], &args[0]) else {
        return Answer::Number(0);
    };
    caller.sim.made("script: released");
    server.keys_mut(caller).delete(&keys[0]);
    let word = if soft.is_some() { &b"released"[..] } else { &args[2] };
    server.publish(caller, &args[1], word);
    if let (Some(promise), None) = (args.get(3), &soft) {
        server.publish(caller, promise, &args[4]);
    }
    number(&soft)
}

fn unmark(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    if server.keys(caller).get(&keys[0]) != Some(&args[0]) {
        return Answer::Number(0);
    }
    Answer::Number(server.keys_mut(caller).delete(&keys[0]))
}

fn invalidate(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    caller.invalidated(&keys[1]);
    caller.sim.made("script: invalidated");
    let all = server.keys_mut(caller);
    all.delete(&keys[0]);
    all.delete(&keys[1]);
    server.publish(caller, &args[0], &args[1]);
    near::tell(server, caller, &args[2..])
}

fn soften(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    caller.invalidated(&keys[1]);
    caller.sim.made("script: softened");
    let prefix = &args[0];
    let soft = [&prefix[..], &(micros(caller) / 1000).to_be_bytes()].concat();
    let mut value = server.keys(caller).get(&keys[1]).map(<[u8]>::to_vec);
    let mut lock = server.keys(caller).get(&keys[0]).map(<[u8]>::to_vec);
    let begins = |value: &Vec<u8>| value.iter().take(16).eq(prefix.iter().take(16));
    if !args[1].is_empty() && !value.as_ref().is_some_and(begins) {
        let all = server.keys_mut(caller);
        all.delete(&keys[0]);
        all.delete(&keys[1]);
        server.publish(caller, &args[1], &args[2]);
        (value, lock) = (None, None);
    }
    let all = server.keys_mut(caller);
    if let Some(value) = value.filter(|value| !value.starts_with(prefix)) {
        all.replace(&keys[1], [soft.clone(), value].concat());
    }
    if let Some(lock) = lock {
        let mark = [&b"~"[..], prefix].concat();
        let place = lock.len().saturating_sub(soft.len() + 1);
        if !lock[place..].starts_with(&mark) {
            all.replace(&keys[0], [&lock[..], b"~", &soft].concat());
        }
    }
    near::tell(server, caller, &args[3..])
}

fn begin_generation(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let now = micros(caller);
    let all = server.keys_mut(caller);
    if all.members(&keys[0]).is_empty() {
        caller.sim.made("script: a generation begins");
        for sign in [b"#", b"~"] {
            all.add(&keys[0], [&sign[..], &args[0]].concat(), now);
        }
    }
    Answer::Number(1)
}

fn advance(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let last = server.keys(caller).members(&keys[0]).pop();
    match last {
        Some((member, score)) => {
            let now = micros(caller).max(score + 1);
            server.keys_mut(caller).add(&keys[0], member, now);
        }
        None => drop(begin_generation(server, caller, keys, args)),
    }
    last_of(&server.keys(caller).members(&keys[0]))
}

fn invalidate_labels(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    raise(server, caller, keys, args, false)
}

fn soften_labels(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    raise(server, caller, keys, args, true)
}

/// Gives each label a new score, and forgets the oldest.
fn raise(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>], softly: bool) -> Answer {
    let set = &keys[0][..];
    let labels = if keys.len() > 1 { args.len() - 3 } else { args.len() };
    caller.invalidated(set);
    caller.sim.made(if softly {
        "script: labels softened"
    } else {
        "script: labels invalidated"
    });
    let now = micros(caller);
    let all = server.keys_mut(caller);
    let Some((last, score)) = all.members(set).pop() else {
        return near::tell(server, caller, &args[labels..]);
    };
    let (incarnation, now) = (last[1..].to_vec(), now.max(score + 1));
    let floor_name = [b"#", &incarnation[..]].concat();
    let floor = all.score(set, &floor_name).unwrap_or_default();
    for label in &args[1..labels] {
        let own = [b"s", &label[..]].concat();
        let known = all.score(set, &own);
        if softly && label != b"s" && known.is_none() {
            let before = all.score(set, label).unwrap_or(floor);
            all.add(set, own, before);
        } else if !softly && known.is_some() {
            all.add(set, own, now);
        }
        all.add(set, label.clone(), now);
    }
    all.add(set, last, now);
    let most: usize = std::str::from_utf8(&args[0])
        .ok()
        .and_then(|most| most.parse().ok())
        .expect("a count");
    let members = all.members(set);
    if let Some(excess) = members.len().checked_sub(2 + most).filter(|excess| *excess > 0) {
        members[1..=excess]
            .iter()
            .for_each(|(member, _)| all.remove(set, member));
        all.add(set, floor_name, members[excess].1);
    }
    near::tell(server, caller, &args[labels..])
}

fn forget(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    caller.invalidated(&keys[0]);
    server.keys_mut(caller).delete(&keys[0]);
    near::tell(server, caller, args)
}

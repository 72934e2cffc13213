//! What the scripts do by which a value goes from node to node while it is made.

use super::resp::Answer;
use super::scripts::{held, millis, stored};
use super::{Caller, RedisServer};

/// How many bytes the name of a part has.
const NAME: usize = 24;

/// How many digits stand in front of a detached part: where it begins.
const DIGITS: usize = 16;

fn number(text: &[u8]) -> usize {
    let number = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
    number.expect("a number")
}

fn text<'a>(server: &'a RedisServer, caller: &Caller, key: &[u8]) -> &'a [u8] {
    server.keys(caller).get(key).unwrap_or_default()
}

/// At most so many bytes from that place on, as `GETRANGE` has them.
fn range(text: &[u8], at: usize, most: usize) -> &[u8] {
    let text = text.get(at..).unwrap_or_default();
    &text[..text.len().min(most)]
}

/// Whether this is the part, or what became of it, of that name.
fn is_part(text: &[u8], at: usize, name: &[u8]) -> bool {
    range(text, at, NAME) == name
}

/// What is published of a piece: itself as well, unless it is large.
fn told(payload: &[u8], piece: &[u8]) -> Vec<u8> {
    match payload.last() {
        Some(b' ') => [payload, piece].concat(),
        _ => payload.to_vec(),
    }
}

fn set(server: &mut RedisServer, caller: &Caller, key: &[u8], text: Vec<u8>, time: &[u8]) {
    let since = (caller.sim.moment(), caller.node);
    server.keys_mut(caller).set(key, text, millis(time), since);
}

pub(super) fn append(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let [token, name_at, name, at, piece, lease, channel, payload] = args else {
        panic!("{args:?}");
    };
    let Some(soft) = held(server, caller, &keys[0], token) else {
        return Answer::Number(0);
    };
    let (at, mut part) = (number(at), text(server, caller, &keys[1]).to_vec());
    if at == 0 {
        if soft.is_some() {
            return Answer::Number(0);
        }
        part.clone_from(piece);
    } else {
        if !is_part(&part, number(name_at), name) {
            return Answer::Number(0);
        }
        if part.len() == at {
            part.extend(piece);
        } else if part.len() != at + piece.len() {
            return Answer::Number(0);
        }
    }
    caller.sim.made("part: grows");
    set(server, caller, &keys[1], part, lease);
    server.keys_mut(caller).expire(&keys[0], millis(lease));
    if piece.is_empty() {
        return Answer::Number(2);
    }
    Answer::Number(1 + server.publish(caller, channel, &told(payload, piece)))
}

pub(super) fn finish(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let [token, name_at, name, at, rest, time, channel, payload, announcement] = args else {
        panic!("{args:?}");
    };
    let Some(soft) = held(server, caller, &keys[0], token) else {
        caller.sim.made("script: refused");
        return Answer::Number(0);
    };
    let part = text(server, caller, &keys[1]);
    if !is_part(part, number(name_at), name) || part.len() != number(at) {
        return Answer::Number(3);
    }
    let value = [part, rest].concat();
    caller.sim.made("part: becomes the value");
    server.keys_mut(caller).delete(&keys[1]);
    let names = [keys[0].clone(), keys[2].clone()];
    stored(server, caller, &names, soft.as_deref(), &value, time);
    server.publish(caller, channel, &told(payload, rest));
    server.publish(caller, channel, announcement);
    Answer::Number(if soft.is_some() { 2 } else { 1 })
}

pub(super) fn detach(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let [token, name_at, name, at, window, time] = args else {
        panic!("{args:?}");
    };
    let part = text(server, caller, &keys[1]);
    let is_it = is_part(part, number(name_at), name) && part.len() == number(at);
    if held(server, caller, &keys[0], token).is_none() || !is_it {
        return Answer::Number(0);
    }
    let base = part.len().saturating_sub(number(window));
    let detached = [format!("{base:016}").as_bytes(), &part[base..]].concat();
    caller.sim.made("part: detached");
    set(server, caller, &keys[2], detached, time);
    server.keys_mut(caller).delete(&keys[1]);
    Answer::Number(2)
}

pub(super) fn append_detached(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let [at, piece, window, time, _, channel, payload] = args else {
        panic!("{args:?}");
    };
    let mut part = text(server, caller, &keys[0]).to_vec();
    let Some(base) = part.get(..DIGITS).map(number) else {
        return Answer::Number(0);
    };
    let (at, length) = (number(at), base + part.len() - DIGITS);
    if length == at {
        assert!(
            part.len() + piece.len() < number(window),
            "no body here is as long as the window"
        );
        part.extend(piece);
    } else if length != at + piece.len() {
        return Answer::Number(0);
    }
    caller.sim.made("part: grows, detached");
    set(server, caller, &keys[0], part, time);
    if piece.is_empty() {
        return Answer::Number(2);
    }
    Answer::Number(1 + server.publish(caller, channel, &told(payload, piece)))
}

pub(super) fn abandon(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let [_, name_at, name, channel, payload] = args else {
        panic!("{args:?}");
    };
    caller.sim.made("part: abandoned");
    if is_part(text(server, caller, &keys[1]), number(name_at), name) {
        server.keys_mut(caller).delete(&keys[1]);
    }
    server.keys_mut(caller).delete(&keys[2]);
    server.publish(caller, channel, payload);
    Answer::Number(1)
}

pub(super) fn find(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let lock = server.keys(caller).get(&keys[0]);
    let Some(lock) = lock.filter(|lock| !lock.contains(&b'~')) else {
        return Answer::Several(Vec::new());
    };
    let part = range(text(server, caller, &keys[1]), 0, number(&args[0]));
    Answer::Several(vec![Answer::bytes(lock), Answer::bytes(part)])
}

pub(super) fn read(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    let [token, name_at, name, at, most, reader] = args else {
        panic!("{args:?}");
    };
    let (name_at, at) = (number(name_at), number(at));
    let all = server.keys(caller);
    let of = |key: &Vec<u8>| all.get(key).unwrap_or_default();
    let is_held = all.get(&keys[0]).is_some_and(|lock| lock.starts_with(token));
    // Where the text begins, as its maker counts.
    let (found, text, begins, left): (i64, &[u8], i64, i64) = if is_held && is_part(of(&keys[1]), name_at, name) {
        (1, of(&keys[1]), 0, all.left(&keys[0]))
    } else if let Some(base) = of(&keys[2]).get(..DIGITS).map(number) {
        if at < base {
            return Answer::Several(Vec::new());
        }
        (2, of(&keys[2]), base as i64 - DIGITS as i64, all.left(&keys[2]))
    } else {
        let kept_and_value = keys[4..].iter().flat_map(|key| [(of(key), 0), (of(key), 25)]);
        let mut whole = kept_and_value.filter(|(text, soft)| is_part(text, name_at + soft, name));
        match whole.next() {
            Some((text, soft)) => (3, text, -(soft as i64), 0),
            None => return Answer::Several(Vec::new()),
        }
    };
    let bytes = range(text, (at as i64 - begins) as usize, number(most));
    let answer = Answer::Several(vec![
        Answer::Number(found),
        Answer::Number(text.len() as i64 + begins),
        Answer::bytes(bytes),
        Answer::Number(left),
    ]);
    caller.sim.made(match found {
        1 => "part: read",
        2 => "part: read, detached",
        _ => "part: read from the value",
    });
    if found == 2 {
        let all = server.keys_mut(caller);
        all.add(&keys[3], reader.clone(), at as u64);
        all.expire(&keys[3], millis(b"10000"));
    }
    answer
}

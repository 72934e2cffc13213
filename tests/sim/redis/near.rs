//! What the scripts do that near copies need.

use std::time::Duration;

use super::resp::Answer;
use super::{Caller, RedisServer};

/// As long as Redis keeps what is to stay.
const FOR_GOOD: Duration = Duration::from_secs(315_360_000);

/// Tells the processes that may have near copies, and says how many heard it and which those are.
pub(crate) fn tell(server: &mut RedisServer, caller: &Caller, args: &[Vec<u8>]) -> Answer {
    let [channel, notice, members] = args else {
        return Answer::Number(1);
    };
    let heard = server.publish(caller, channel, notice);
    let members = server.keys(caller).members(members);
    if heard == 0 && members.is_empty() {
        return Answer::Number(1);
    }
    let pairs = members.iter().rev();
    let pairs = pairs.flat_map(|(member, score)| [Answer::bytes(member), Answer::bytes(score.to_string())]);
    Answer::Several([Answer::Number(heard)].into_iter().chain(pairs).collect())
}

/// As [`tell`], without an invalidation.
pub(crate) fn notice(server: &mut RedisServer, caller: &Caller, _: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    tell(server, caller, args)
}

/// A process stands among those that may have near copies, and its canary is there.
pub(crate) fn join(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    caller.sim.made("near: a process joins");
    let score = std::str::from_utf8(&args[1]).ok().and_then(|score| score.parse().ok());
    let since = (caller.sim.moment(), caller.node);
    let all = server.keys_mut(caller);
    all.add(&keys[0], args[0].clone(), score.expect("a score"));
    all.expire(&keys[0], FOR_GOOD);
    all.set(&keys[1], Vec::new(), Duration::from_secs(10), since);
    Answer::Number(1)
}

/// Processes that have not joined anew stand there no more.
pub(crate) fn prune(server: &mut RedisServer, caller: &Caller, keys: &[Vec<u8>], args: &[Vec<u8>]) -> Answer {
    for pair in args.chunks_exact(2) {
        let known = server.keys(caller).score(&keys[0], &pair[0]);
        if known.is_some_and(|score| score.to_string().as_bytes() == &pair[1][..]) {
            caller.sim.made("near: a process is struck off");
            server.keys_mut(caller).remove(&keys[0], &pair[0]);
        }
    }
    Answer::Number(1)
}

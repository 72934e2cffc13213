//! Whatever a server of Redis sends, in whatever pieces, no caller gets the answer of another one, and each that waits
//! learns of the end.
//!
//! The input is a script: `sN` a caller sends N commands at once, `lN` the N-th caller leaves, `r` the task of the connection
//! runs, `aL` the server sends the L bytes that follow. `N` is a digit, `L` a byte.

#![no_main]

use std::fmt::Display;

use libfuzzer_sys::fuzz_target;
use redis::{Parser, Value};
use tower_memolock::store::fuzzing::FuzzedPipe;

fuzz_target!(|script: &[u8]| {
    let mut pipe = FuzzedPipe::open();
    let (mut sent, mut left, mut answered) = (Vec::new(), Vec::new(), Vec::new());
    let mut rest = script;
    while let Some((step, behind)) = rest.split_first() {
        rest = behind;
        match step {
            b'r' => pipe.run(),
            b's' | b'l' => {
                let Some((digit, behind)) = rest.split_first() else {
                    break;
                };
                rest = behind;
                let number = usize::from(digit.wrapping_sub(b'0') % 10);
                match step {
                    b's' => {
                        pipe.send(number);
                        sent.push(number);
                    }
                    _ => {
                        pipe.leave(number);
                        left.push(number);
                    }
                }
            }
            b'a' => {
                let Some((len, behind)) = rest.split_first() else { break };
                let (bytes, behind) = behind.split_at(behind.len().min(usize::from(*len)));
                rest = behind;
                pipe.answer(bytes);
                answered.extend_from_slice(bytes);
            }
            _ => {}
        }
    }
    pipe.run();
    let (is_open, callers) = (pipe.is_open(), callers(&pipe.received()));
    let values = values(&answered);
    for (caller, answer) in pipe.answers().into_iter().enumerate() {
        let places: Vec<_> = (0..callers.len()).filter(|place| callers[*place] == caller).collect();
        let was_sent = !places.is_empty();
        assert!(!was_sent || places.len() == sent[caller], "whole or not at all");
        match answer {
            Some(Some(replies)) => {
                let own: Vec<_> = places.iter().map(|place| &values[*place]).collect();
                assert_eq!(replies.iter().collect::<Vec<_>>(), own, "caller {caller}");
            }
            Some(None) => assert!(!is_open, "caller {caller} is told of an end that there is none of"),
            None if left.contains(&caller) => {}
            None => {
                assert!(is_open, "caller {caller} waits for ever");
                assert!(
                    was_sent && places.iter().any(|place| *place >= values.len()),
                    "caller {caller}"
                );
            }
        }
    }
});

/// The caller of each command that the server received.
fn callers(mut received: &[u8]) -> Vec<usize> {
    let mut callers = Vec::new();
    while !received.is_empty() {
        let command = received.strip_prefix(b"*2\r\n$3\r\nGET\r\n$").expect("a whole command");
        let mut lines = command.splitn(3, |byte| *byte == b'\n');
        let (_len, caller) = (lines.next(), lines.next().expect("a number"));
        callers.push(
            str::from_utf8(caller)
                .expect("text")
                .trim_end()
                .parse()
                .expect("a number"),
        );
        received = lines.next().expect("the end of a command");
    }
    callers
}

/// What the server said, as far as the usual client can read it, and as it is sent.
fn values(mut answered: &[u8]) -> Vec<Vec<u8>> {
    let mut values = Vec::new();
    let mut parser = Parser::new();
    while let Ok(value) = parser.parse_value(&mut answered) {
        values.push(sent(&value));
    }
    values
}

fn sent(value: &Value) -> Vec<u8> {
    let line = |kind: char, text: &dyn Display| format!("{kind}{text}\r\n").into_bytes();
    match value {
        Value::Nil => line('$', &-1),
        Value::Okay => line('+', &"OK"),
        Value::SimpleString(text) => line('+', text),
        Value::ServerError(error) => match error.details() {
            Some(details) => line('-', &format_args!("{} {details}", error.code())),
            None => line('-', &error.code()),
        },
        Value::Int(number) => line(':', number),
        Value::BulkString(bytes) => [&line('$', &bytes.len())[..], bytes, b"\r\n"].concat(),
        Value::Array(items) => {
            let count = line('*', &items.len());
            count.into_iter().chain(items.iter().flat_map(sent)).collect()
        }
        // No caller is given one.
        _ => Vec::new(),
    }
}

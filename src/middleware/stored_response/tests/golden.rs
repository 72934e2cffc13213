use std::process::Command;

use super::support::{GOLDEN, GOLDEN_BARE, GOLDEN_EXTRAS, address, sample, sample_with_extras};
use crate::middleware::stored_response::StoredResponse;

/// The arguments with which the documented programs write the entry of the sample.
const CALL: &str = r#"
import sys
sys.stdout.buffer.write(entry(
    b"report:{GET //example.com/report/42}",
    (1790000000123, 30000, 2000, 41, 60000, 86400000),
    bytes(range(16)),
    200,
    [
        (b"content-type", b"text/plain; charset=iso-8859-1"),
        (b"etag", b'"a1"'),
        (b"cache-tag", b"two"),
        (b"cache-tag", b"one"),
        (b"x-author", b"Ren\xe9"),
        (b"x-empty", b""),
    ],
    b"Hello, world!\n",
    [(b"grpc-status", b"0")],
    EXTRAS,
))
"#;

/// The arguments with which they write the message of the sample alone.
const CALL_BARE: &str = r#"
import sys
sys.stdout.buffer.write(message(
    b"report:{GET //example.com/report/42}",
    200,
    [
        (b"content-type", b"text/plain; charset=iso-8859-1"),
        (b"etag", b'"a1"'),
        (b"cache-tag", b"two"),
        (b"cache-tag", b"one"),
        (b"x-author", b"Ren\xe9"),
        (b"x-empty", b""),
    ],
    b"Hello, world!\n",
    [(b"grpc-status", b"0")],
))
"#;

const EXTRAS: &str = r#"[
    (1, (90000).to_bytes(8, "big")),
    (2, b"\xfe" * 8),
    (3, b"\x07"),
    (4, b"reports"),
    (4, "Ren\u00e9".encode()),
]"#;

#[test]
fn encodes_to_the_golden_file() {
    assert_eq!(sample().encode(&address()).unwrap(), GOLDEN);
    assert_eq!(sample_with_extras().encode(&address()).unwrap(), GOLDEN_EXTRAS);
}

#[test]
fn decodes_the_golden_file() {
    let decoded = StoredResponse::decode(&address(), GOLDEN);
    assert_eq!(decoded, Ok(sample()));
    let decoded = StoredResponse::decode(&address(), GOLDEN_EXTRAS);
    assert_eq!(decoded, Ok(sample_with_extras()));
}

/// The documented programs, one after the other.
fn programs() -> String {
    let mut inside = false;
    let lines = include_str!("../mod.rs").lines().filter(|line| match *line {
        "//! ```python" => {
            inside = true;
            false
        }
        "//! ```" => {
            inside = false;
            false
        }
        _ => inside,
    });
    let lines = lines.map(|line| line.strip_prefix("//! ").unwrap_or_default());
    lines.flat_map(|line| [line, "\n"]).collect()
}

#[test]
fn worker_of_the_example_writes_as_documented() {
    let worker = include_str!("../../../../examples/deferred/worker.py");
    let documented = programs();
    let (message, _entry) = documented.split_once("import struct").unwrap();
    let blank = |line: &&str| !line.is_empty();
    let lines: Vec<_> = worker.lines().filter(blank).collect();
    let documented: Vec<_> = message.lines().filter(blank).collect();
    assert_eq!(documented.len(), 10);
    assert!(lines.windows(documented.len()).any(|window| window == documented));
}

fn written_by(program: &str) -> Vec<u8> {
    let output = Command::new("python3").args(["-c", program]).output().unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    output.stdout
}

#[test]
fn documented_program_writes_the_golden_file() {
    for (extras, expected) in [("()", GOLDEN), (EXTRAS, GOLDEN_EXTRAS)] {
        let call = CALL.replace("EXTRAS", extras);
        assert_eq!(written_by(&(programs() + &call)), expected);
    }
}

#[test]
fn documented_program_writes_the_golden_message() {
    let written = written_by(&(programs() + CALL_BARE));
    assert_eq!(written, GOLDEN_BARE);
    // But for the frame, it is the message of the entry, with one more field.
    let decoded = StoredResponse::decode(&address(), written).unwrap();
    assert_eq!(decoded.headers(), sample().headers());
    assert_eq!(decoded.body(), sample().body());
    assert_eq!(decoded.trailers(), sample().trailers());
}

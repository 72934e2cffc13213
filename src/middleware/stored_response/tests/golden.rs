use std::process::Command;

use super::support::{GOLDEN, address, sample};
use crate::middleware::stored_response::StoredResponse;

/// What the documented program has to be called with, to write the entry of the sample.
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
))
"#;

#[test]
fn encodes_to_the_golden_file() {
    assert_eq!(sample().encode(&address()).unwrap(), GOLDEN);
}

#[test]
fn decodes_the_golden_file() {
    let decoded = StoredResponse::decode(&address(), GOLDEN);
    assert_eq!(decoded, Ok(sample()));
}

#[test]
fn documented_program_writes_the_golden_file() {
    let program: String = include_str!("../mod.rs")
        .lines()
        .skip_while(|line| *line != "//! ```python")
        .skip(1)
        .take_while(|line| *line != "//! ```")
        .map(|line| line.strip_prefix("//! ").unwrap_or_default())
        .flat_map(|line| [line, "\n"])
        .collect();
    let output = Command::new("python3")
        .args(["-c", &(program + CALL)])
        .output()
        .unwrap();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    assert_eq!(output.stdout, GOLDEN);
}

//! What the compiler says to a user who has got something wrong: it names what is missing.
//!
//! Each file in `bad_use/` is a program with one mistake, and begins with what its errors have to say. The words are those
//! of this crate, or such as rustc has had for long.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const MANIFEST: &str = r#"
[package]
name = "bad_use"
version = "0.0.0"
edition = "2024"

[workspace]

[dependencies]
bytes = "1"
http = "1"
http-body-util = "0.1"
tower = { version = "0.5", features = ["util"] }
tower-memolock = { path = 'HERE', default-features = false, features = ["http", "memory"] }
"#;

/// A package of its own, with all programs as its binaries, and what this crate has locked.
fn package(here: &Path, programs: &[PathBuf]) -> PathBuf {
    let package = Path::new(env!("CARGO_TARGET_TMPDIR")).join("bad_use");
    let binaries = package.join("src/bin");
    fs::create_dir_all(&binaries).expect("a folder");
    let manifest = MANIFEST.replace("HERE", here.to_str().expect("a path in UTF-8"));
    fs::write(package.join("Cargo.toml"), manifest).expect("a manifest");
    fs::copy(here.join("Cargo.lock"), package.join("Cargo.lock")).expect("a lock file");
    for program in programs {
        fs::copy(program, binaries.join(program.file_name().expect("a name"))).expect("a program");
    }
    package
}

/// What the compiler says of this program, which it refuses.
fn errors(package: &Path, name: &str) -> String {
    let output = Command::new(env!("CARGO"))
        .args(["check", "--quiet", "--offline", "--color=never", "--bin", name])
        .arg("--target-dir")
        .arg(package.join("target"))
        .current_dir(package)
        .output()
        .expect("cargo");
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!output.status.success(), "{name} compiles");
    said
}

#[test]
fn each_mistake_gets_a_word_that_says_what_is_missing() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folder = fs::read_dir(here.join("tests/bad_use")).expect("the programs");
    let mut programs: Vec<_> = folder.map(|entry| entry.expect("a program").path()).collect();
    programs.sort();
    let package = package(here, &programs);
    for program in &programs {
        let name = program.file_stem().and_then(|name| name.to_str()).expect("a name");
        let source = fs::read_to_string(program).expect("a program");
        let expected: Vec<_> = source
            .lines()
            .filter_map(|line| line.strip_prefix("//! says: "))
            .collect();
        assert!(!expected.is_empty(), "{name} expects nothing");
        let said = errors(&package, name);
        for words in expected {
            assert!(said.contains(words), "{name}: {words:?} is not in\n{said}");
        }
    }
    assert!(programs.len() >= 9);
}

#!/usr/bin/env bash
# Everything that must hold before a change lands. Runs from anywhere, again and again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*"; }

as_root() {
    if [[ $(id -u) -eq 0 ]]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    else
        echo "cannot install anything: install redis-server and python3, or run this as root" >&2
        exit 1
    fi
}

install() {
    as_root apt-get update -q
    as_root apt-get install -qy --no-install-recommends "$1"
}

step "what the tests need"
# A Redis to share, and a Python to write a stored response with.
for program in redis-server python3; do
    if command -v "$program" >/dev/null; then
        continue
    fi
    if ! command -v apt-get >/dev/null; then
        echo "$program is missing, and so is apt-get: install it by hand" >&2
        exit 1
    fi
    install "$program"
done
redis-server --version

# The tests hold some thousand connections at once.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

step "format"
cargo fmt --check

step "lints"
cargo clippy --all-targets --all-features -- -D warnings

step "features"
# A feature alone, and pairs that touch each other's code.
for features in "" axum http memory redis tls serde metrics http,memory http,redis memory,redis redis,serde redis,metrics; do
    echo "-- ${features:-none}"
    cargo clippy --quiet --lib --no-default-features --features "$features" -- -D warnings
done

step "docs"
RUSTDOCFLAGS="-D warnings" cargo doc --no-deps --all-features

step "package"
cargo package --no-verify --allow-dirty --quiet

step "examples"
cargo build --examples --all-features

step "tests"
cargo test --all-features

#!/usr/bin/env bash
# Everything that must hold before a change lands. Runs from anywhere, again and again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

step() { printf '\n== %s\n' "$*"; }

install() {
    if [[ $(id -u) -eq 0 ]]; then
        env DEBIAN_FRONTEND=noninteractive "$@"
    elif command -v sudo >/dev/null; then
        sudo env DEBIAN_FRONTEND=noninteractive "$@"
    else
        echo "redis-server is missing: install it, or run this as root" >&2
        exit 1
    fi
}

step "redis-server"
if ! command -v redis-server >/dev/null; then
    if ! command -v apt-get >/dev/null; then
        echo "redis-server is missing, and so is apt-get: install it by hand" >&2
        exit 1
    fi
    install apt-get update -q
    install apt-get install -qy --no-install-recommends redis-server
fi
redis-server --version

# The tests hold some thousand connections at once.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true

step "format"
cargo fmt --check

step "lints"
cargo clippy --all-targets --all-features -- -D warnings

step "features"
# A feature alone, and pairs that touch each other's code.
for features in "" axum http memory redis tls serde http,memory http,redis memory,redis redis,serde; do
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

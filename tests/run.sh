#!/usr/bin/env bash
# Everything that must hold before a change lands. Runs from anywhere, again and again.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/install.sh

step() { printf '\n== %s (%s s)\n' "$*" "$SECONDS"; }

step "what the tests need"
# A Redis to share, a Python for programs that share it with ours, and a compiler for libFuzzer.
for program in redis-server python3 g++; do
    command -v "$program" >/dev/null || install "$program"
done
tests/python/setup.sh
command -v valkey-server >/dev/null || (install_valkey) || echo "valkey-server could not be installed" >&2

# The tests hold some thousand connections at once.
ulimit -n "$(ulimit -Hn)" 2>/dev/null || true
# Most of a test's time is waiting: for a lease to end, a process to start, a server to answer.
export RUST_TEST_THREADS="${RUST_TEST_THREADS:-$(($(nproc) + 1))}"

step "format"
cargo fmt --all --check

step "lints"
cargo clippy --workspace --all-targets --all-features -- -D warnings

step "features"
# A feature alone, and pairs that touch each other's code. One thread checks a crate, so there is a lane for each core.
check_features() {
    echo "-- ${1:-none}"
    CARGO_TARGET_DIR="target/features/$LANE" cargo clippy --quiet --lib --no-default-features --features "$1" -- -D warnings
}
export -f check_features
printf '%s\n' "" axum http memory redis tls serde metrics admin test-util admin,redis http,memory http,redis memory,redis \
    redis,serde redis,metrics zstd | xargs -d '\n' -P "$(nproc)" --process-slot-var=LANE -I{} bash -c 'check_features "{}"'

step "docs"
for features in --no-default-features "" --all-features; do
    # shellcheck disable=SC2086
    RUSTDOCFLAGS="-D warnings" cargo doc --no-deps $features
done

step "package"
cargo package --package tower-memolock --no-verify --allow-dirty --quiet

step "examples"
# As a reader builds them, too.
cargo check --examples
cargo build --examples --all-features

step "tests with ${MEMOLOCK_REDIS_SERVER:-redis-server}"
"${MEMOLOCK_REDIS_SERVER:-redis-server}" --version
cargo test --all-features
cargo test --package tower-memolock-loom --all-features

step "simulation"
cargo test --release --all-features --test sim -- --seeds "${MEMOLOCK_SIM_SEEDS:-10000}"
cargo test --release --all-features --test sim -- --planted

step "tests with valkey-server"
if command -v valkey-server >/dev/null; then
    valkey-server --version
    # All that depends on what a server answers; the rest has been run with Redis.
    MEMOLOCK_REDIS_SERVER=valkey-server cargo test --all-features --lib store::redis
    MEMOLOCK_REDIS_SERVER=valkey-server cargo test --all-features --test it -- \
        acl:: commands:: contract_redis:: lookups:: near:: redis_cluster:: sentinel:: soft:: streaming::elsewhere:: tags:: wire::
else
    echo "not run: there is no valkey-server, and it could not be installed"
fi

step "alert rules and dashboard"
tests/monitoring.sh

step "page"
tests/live/run.sh

step "conformance"
tests/conformance/run.sh

step "fuzz"
fuzz/run.sh "${MEMOLOCK_FUZZ_SECONDS:-10}"

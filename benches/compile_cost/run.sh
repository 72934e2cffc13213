#!/usr/bin/env bash
# What one `.layer(..)` costs the build of an axum program: benches/compile_cost/run.sh [release|dev]
#
# Prints seconds of CPU (user and system) for a build from nothing and for a rebuild after a change of main.rs, the
# number of crates, and the size of the stripped program, without the layer and with it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")"

profile=${1:-release}
dir=$profile
[[ $profile == dev ]] && dir=debug
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-../../target}/compile_cost

# Seconds of CPU that a command took.
cpu() {
    local TIMEFORMAT='%U %S'
    { time "$@" >/dev/null 2>&1; } 2>&1 | awk '{ printf "%.1f", $1 + $2 }'
}

measure() {
    local name=$1 build=(cargo build --quiet --profile "$profile" --bin "$1" "${@:2}")
    cargo fetch --quiet
    rm -rf "$CARGO_TARGET_DIR"
    local clean rebuild crates size
    clean=$(cpu "${build[@]}")
    touch "src/$name.rs"
    rebuild=$(cpu "${build[@]}")
    crates=$(cargo tree --quiet --edges normal,build --prefix none --no-dedupe "${@:2}" | sort -u | wc -l)
    size=$(stat -c %s "$CARGO_TARGET_DIR/$dir/$name" | awk '{ printf "%.2f", $1 / 1e6 }')
    printf '%-10s %10s %10s %8s %8s\n' "$name" "$clean" "$rebuild" "$crates" "$size"
}

printf '%-10s %10s %10s %8s %8s\n' "$profile" "clean, s" "again, s" crates MB
measure without
measure with --features layer

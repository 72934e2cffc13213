#!/usr/bin/env bash
# Runs the suite behind cache-tests.fyi against the `reverse_proxy` example, and fails where the layer does worse than
# `floor.txt` and `refusals.txt` say. Runs from anywhere, again and again; listens on the loopback only. With REDIS_URL
# set, responses are stored there, else in the proxy. `--details` tells what each failing test says.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/install.sh

readonly SUITE=http-cache-tests@0.4.5
readonly TARGET=${CARGO_TARGET_DIR:-$PWD/target}
readonly WORK=$TARGET/conformance

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    install nodejs npm
fi

mkdir -p "$WORK"
if [[ ! -f $WORK/node_modules/http-cache-tests/package.json ]]; then
    npm install --prefix "$WORK" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error "$SUITE"
fi
cargo build --quiet --all-features --example reverse_proxy

pids=()
stop() {
    for pid in "${pids[@]}"; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
}
trap stop EXIT

# Starts a program that says where it listens, and waits until it has.
start() {
    local log=$WORK/$1.log
    shift
    : >"$log"
    "$@" >"$log" 2>&1 &
    pids+=($!)
    for _ in $(seq 100); do
        url=$(sed -n 's/^[Ll]istening on \(http:[^ ]*[0-9]\).*/\1/p' "$log" | head -n 1)
        if [[ -n $url ]]; then
            return
        fi
        sleep 0.1
    done
    cat "$log" >&2
    echo "$1 does not listen" >&2
    exit 1
}

start origin env -C "$WORK" node "$PWD/tests/conformance/origin.mjs"
start proxy "$TARGET/debug/examples/reverse_proxy" --listen 127.0.0.1:0 --upstream "$url" --tag conformance \
    --targeted cdn-cache-control,surrogate-control ${REDIS_URL:+--redis "$REDIS_URL"}
env -C "$WORK" node "$PWD/tests/conformance/client.mjs" "$url" "$@"

#!/usr/bin/env bash
# Drives the page of the `live` example in headless Chromium, as a person does: over a Redis of its own, and without one.
# Runs from anywhere, again and again; listens on the loopback only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/install.sh

readonly TARGET=${CARGO_TARGET_DIR:-$PWD/target}

command -v redis-server >/dev/null || install redis-server
tests/live/setup.sh
cargo build --quiet --all-features --example live

export MEMOLOCK_LIVE=$TARGET/debug/examples/live
export MEMOLOCK_CHROMIUM=${MEMOLOCK_CHROMIUM:-$(command -v chromium)}
# Node looks for what a program imports beside the program.
cp tests/live/*.mjs "$TARGET/live/"
exec node "$TARGET/live/page.mjs"

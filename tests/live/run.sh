#!/usr/bin/env bash
# Drives the pages of the examples in headless Chromium, as a person does: that of `live`, over a Redis of its own and
# without one, and that of `reverse_proxy --admin`.
# Runs from anywhere, again and again; listens on the loopback only.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/install.sh

readonly TARGET=${CARGO_TARGET_DIR:-$PWD/target}

command -v redis-server >/dev/null || install redis-server
tests/live/setup.sh
cargo build --quiet --all-features --example live --example reverse_proxy

export MEMOLOCK_LIVE=$TARGET/debug/examples/live
export MEMOLOCK_PROXY=$TARGET/debug/examples/reverse_proxy
export MEMOLOCK_CHROMIUM=${MEMOLOCK_CHROMIUM:-$(command -v chromium)}
# Node looks for what a program imports beside the program.
cp tests/live/*.mjs "$TARGET/live/"
node "$TARGET/live/admin.mjs"
exec node "$TARGET/live/page.mjs"

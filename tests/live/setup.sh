#!/usr/bin/env bash
# Installs what the test of the `live` page needs where it is missing: Node, Chromium, and the library that drives it.
# Runs from anywhere, again and again. With MEMOLOCK_CHROMIUM set, that program is the browser.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/install.sh

readonly PLAYWRIGHT=playwright-core@1.65.1
readonly WORK=${CARGO_TARGET_DIR:-$PWD/target}/live

if ! command -v node >/dev/null || ! command -v npm >/dev/null; then
    install nodejs npm
fi
if [[ -z ${MEMOLOCK_CHROMIUM:-} ]] && ! command -v chromium >/dev/null; then
    install chromium
fi
mkdir -p "$WORK"
if [[ $(cat "$WORK/installed" 2>/dev/null) != "$PLAYWRIGHT" ]]; then
    npm install --prefix "$WORK" --no-save --no-audit --no-fund --ignore-scripts --loglevel=error "$PLAYWRIGHT"
    # Last, because it says that all of the above is done.
    echo "$PLAYWRIGHT" >"$WORK/installed"
fi

#!/usr/bin/env bash
# Makes the virtual environment in which the tests run their programs in Python, or brings it up to date. Runs from
# anywhere, again and again. Does nothing where nothing has changed, or where MEMOLOCK_PYTHON names an interpreter that
# has the packages.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source tests/install.sh

readonly REQUIREMENTS=tests/python/requirements.txt
readonly VENV=${CARGO_TARGET_DIR:-$PWD/target}/python
readonly STAMP=$VENV/requirements.txt

if [[ -n ${MEMOLOCK_PYTHON:-} ]]; then
    exit
fi
# An interpreter that was removed since leaves an environment behind that does not start.
if cmp --silent "$REQUIREMENTS" "$STAMP" && "$VENV/bin/python" -c ''; then
    exit
fi

command -v python3 >/dev/null || install python3
# On Debian, Python has the module, and another package what it needs.
python3 -c 'import ensurepip, venv' 2>/dev/null || install python3-venv
python3 -m venv --clear "$VENV"
"$VENV/bin/python" -m pip install --quiet --disable-pip-version-check --only-binary :all: --requirement "$REQUIREMENTS"
# Last, because it says that all of the above is done.
cp "$REQUIREMENTS" "$STAMP"

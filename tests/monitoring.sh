#!/usr/bin/env bash
# Has promtool read the alert rules, and each query of the dashboard. Debian has it in the package of Prometheus, which is
# unpacked and not installed: it would run a server.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/install.sh

promtool=$(command -v promtool || true)
if [[ -z "$promtool" ]]; then
    if ! command -v apt-get >/dev/null; then
        echo "not run: there is no promtool"
        exit 0
    fi
    folder=${CARGO_TARGET_DIR:-target}/prometheus
    promtool=$folder/usr/bin/promtool
    if [[ ! -x "$promtool" ]]; then
        mkdir -p "$folder"
        (
            cd "$folder"
            apt-get download -q prometheus || { as_root apt-get update -q && apt-get download -q prometheus; }
            dpkg -x prometheus_*.deb .
            rm prometheus_*.deb
        )
    fi
fi
"$promtool" check rules src/docs/monitoring/alerts.yml

rules=$(mktemp)
trap 'rm -f "$rules"' EXIT
# JSON is YAML. What Grafana puts in place of its variables is of no importance to the syntax.
python3 - src/docs/monitoring/grafana.json >"$rules" <<'PYTHON'
import json, sys

def queries(node):
    if isinstance(node, dict):
        if isinstance(node.get("expr"), str):
            yield node["expr"]
        node = node.values()
    elif not isinstance(node, list):
        return
    for part in node:
        yield from queries(part)

found = [query.replace("$__rate_interval", "5m") for query in queries(json.load(open(sys.argv[1])))]
assert found, "the dashboard asks for nothing"
rules = [{"record": f"dashboard:query{n}", "expr": query} for n, query in enumerate(found)]
json.dump({"groups": [{"name": "dashboard", "rules": rules}]}, sys.stdout)
PYTHON
"$promtool" check rules "$rules"

#!/usr/bin/env bash
# Runs every fuzz target for a while, from the corpus in the repository: fuzz/run.sh [SECONDS [TARGET..]]
#
# libFuzzer on the stable toolchain: rustc instruments the code as `cargo fuzz` would have it done, but for the
# sanitizers, which have little to find in code without `unsafe`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

seconds=${1:-15}
targets=("${@:2}")
if [[ ${#targets[@]} -eq 0 ]]; then
    targets=()
    for source in fuzz/corpus/*/; do
        targets+=("$(basename "$source")")
    done
fi

host=$(rustc -vV | sed -n 's/^host: //p')
target_dir=${CARGO_TARGET_DIR:-target}/fuzz
export RUSTFLAGS="--cfg fuzzing -Cdebug-assertions -Coverflow-checks -Cpasses=sancov-module \
-Cllvm-args=-sanitizer-coverage-level=4 -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
-Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares"
# With a target, the flags are for what is tested, and not for build scripts.
cargo build --quiet --release --manifest-path fuzz/Cargo.toml --target "$host" --target-dir "$target_dir"

bin=$target_dir/$host/release
# What is found stays out of the repository until a developer takes it there.
found=$target_dir/corpus
mkdir -p fuzz/artifacts "$found"

fuzz() {
    local name=$1 log=$found/$1.log
    mkdir -p "$found/$name"
    if "$bin/$name" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=1024 -print_final_stats=1 \
        -artifact_prefix="fuzz/artifacts/$name-" "$found/$name" "fuzz/corpus/$name" >"$log" 2>&1; then
        sed -n "s/^stat::number_of_executed_units: */$name: runs without a crash: /p" "$log"
        return
    fi
    tail -n 40 "$log" >&2
    cat >&2 <<-END

	$name crashed. Again, with the same input, after any change:
	    fuzz/run.sh 1 $name; $bin/$name $(ls -t "fuzz/artifacts/$name-"* | head -n 1)
	Once it is fixed, move the input to fuzz/corpus/$name/.
	END
    return 1
}
export -f fuzz
export seconds bin found

printf '%s\n' "${targets[@]}" | xargs -P "$(nproc)" -I{} bash -c 'fuzz {}'

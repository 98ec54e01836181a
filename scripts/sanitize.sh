#!/usr/bin/env bash
# Runs the stress test and the tests of the rings and lanes under a sanitizer of the compiler; under the address
# sanitizer also those of what stores and renders without a look, and the fuzz targets over their corpora.
#
#   scripts/sanitize.sh [thread|address] [seconds]     the stress test is repeated for so long, once at least
#
# The flags are unstable, hence RUSTC_BOOTSTRAP on a stable toolchain. The standard library stays as it was
# built, without the sanitizer: what it does inside is not seen, and its ABI mismatch is accepted.
set -euo pipefail
cd "$(dirname "$0")/.."

sanitizer=${1:-thread}
seconds=${2:-0}
case $sanitizer in
thread | address) ;;
*)
    sed -n '2,8p' "$0"
    exit 2
    ;;
esac

export RUSTC_BOOTSTRAP=1
export RUSTFLAGS="-Zsanitizer=$sanitizer -Cunsafe-allow-abi-mismatch=sanitizer"
export CARGO_TARGET_DIR="${CARGO_TARGET_DIR:-$PWD/target}/sanitize-$sanitizer"
export TSAN_OPTIONS="halt_on_error=1 second_deadlock_stack=1 suppressions=$PWD/scripts/tsan.supp ${TSAN_OPTIONS:-}"
target=$(rustc -vV | sed -n 's/^host: //p')

echo "== $sanitizer sanitizer: rings, lanes, locks"
# These tests make rings for good, since a half of a ring wants it so: leaks are not looked for here.
ASAN_OPTIONS="detect_leaks=0 ${ASAN_OPTIONS:-}" cargo test --target "$target" --lib -- ring:: lane:: futex:: record::
if [[ $sanitizer == address ]]; then
    echo "== $sanitizer sanitizer: values, lines, any bytes"
    ASAN_OPTIONS="detect_leaks=0 ${ASAN_OPTIONS:-}" cargo test --target "$target" --lib -- arg:: format::out::
    ASAN_OPTIONS="detect_leaks=0 ${ASAN_OPTIONS:-}" cargo test --target "$target" --features fuzzing --test fuzz_replay
fi
echo "== $sanitizer sanitizer: stress"
began=$SECONDS
while
    cargo test --target "$target" --test stress
    ((SECONDS - began < seconds))
do :; done

#!/usr/bin/env bash
# Runs the fault injection at its full size: as root, so that none of it is left out, and in a release build. What
# `cargo test` runs of it is the same at a size of seconds. Some minutes on two cores, 2 GiB of memory.
#
#   scripts/faults.sh             all of them
#   scripts/faults.sh sealed      those of tests/sealed.rs
#
# Each size can be given from outside, as in KAKASHI_RECORDS=1000000000 scripts/faults.sh faults_overwrite.
set -euo pipefail
cd "$(dirname "$0")/.."

export KAKASHI_RECORDS=${KAKASHI_RECORDS:-100000000} # written over while they are read
export KAKASHI_CALLS=${KAKASHI_CALLS:-100000000}     # while the writer is parked
export KAKASHI_PARKS=${KAKASHI_PARKS:-5000}          # of a thread, within a call
export KAKASHI_THREADS=${KAKASHI_THREADS:-10000}     # alive at once, on 64 lanes
export KAKASHI_BIRTHS=${KAKASHI_BIRTHS:-100000}      # of threads that log and end
export KAKASHI_FORKS=${KAKASHI_FORKS:-500}
export KAKASHI_STOPS=${KAKASHI_STOPS:-2000}     # of the process
export KAKASHI_SIGNALS=${KAKASHI_SIGNALS:-200000}
export KAKASHI_STEPS=${KAKASHI_STEPS:-3000}     # of the clock
export KAKASHI_SEALED=${KAKASHI_SEALED:-1000000} # records without a system call

((EUID == 0)) || echo "not root: a test that needs it says SKIPPED; as root that is a failure" >&2
if (($# == 0)); then
    set -- faults faults_clock faults_limits faults_overwrite faults_progress faults_signals faults_threads sealed
fi
tests=()
for test in "$@"; do
    tests+=(--test "$test")
done
said=$(mktemp)
trap 'rm -f "$said"' EXIT
# One after the other, so that each has the machine.
cargo test --release --no-fail-fast "${tests[@]}" -- --test-threads=1 --nocapture 2>&1 | tee "$said"
if ((EUID == 0)) && grep -q 'SKIPPED: ' "$said"; then
    echo "not all of it could be run, although this is root:" >&2
    grep 'SKIPPED: ' "$said" >&2
    exit 1
fi

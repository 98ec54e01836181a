#!/usr/bin/env bash
# Holds the cost of a log call against a baseline, without a clock: instructions counted by valgrind's callgrind.
#
#   scripts/instructions.sh            compares with benches/instructions/baseline.txt, and fails if they differ
#   scripts/instructions.sh --renew    writes that file
#
# Counted are the instructions of this program (with what it has of the standard library) in one call of each
# message, from the call to its return, the same in every run and on every machine. Not counted are those of shared
# libraries, since the C library has copies for each processor; the calls into them are, and stand beside.
# Instructions are not time: a cache miss, a fence, a division cost more than one. `cargo bench --bench latency`
# has the time; this here has no noise, so that a change of three per cent is seen.
#
# Dearer fails. Cheaper fails too: a gain that is not written down can be lost again without anybody noticing.
# Either way, when the change is wanted, --renew and commit. Another compiler may do it, too: the baseline
# names its own.
#
# Also checked is which functions the calls call (no copy, no heap, no lock, no panic, no core::fmt): what callgrind
# saw, and what the machine code has behind branches. The lists are in benches/instructions/allowed.rs.
set -euo pipefail
cd "$(dirname "$0")/.."

case ${1:---check} in
--check | --renew) mode=${1:---check} ;;
*)
    sed -n '2,5p' "$0"
    exit 2
    ;;
esac
for tool in valgrind objdump c++filt; do
    if ! command -v "$tool" >/dev/null; then
        echo "$tool is missing: install the packages valgrind and binutils" >&2
        exit 1
    fi
done

# The code that users get: flags from outside would make another one.
unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
exec cargo bench --bench instructions -- "$mode"

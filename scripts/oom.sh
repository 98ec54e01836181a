#!/usr/bin/env bash
# Lets the kernel's out-of-memory killer end a process that logs, again and again, and checks that its black box has
# every record. Needs the right to make a control group (root, or a delegated one), and says so when it has not.
#
#   scripts/oom.sh [kills]      20 times, if nothing else is said
set -euo pipefail
cd "$(dirname "$0")/.."

kills=${1:-20}
# The pages of the box count as the process's memory: 80 MiB of it.
limit=$((256 << 20))
for memory in /sys/fs/cgroup /sys/fs/cgroup/memory; do
    group=$memory/kakashi-oom-$$
    if [[ -e $memory/cgroup.procs ]] && mkdir "$group" 2>/dev/null; then
        trap 'rmdir "$group"' EXIT
        if [[ -e $group/memory.max ]]; then
            echo $limit >"$group/memory.max"
            echo 0 >"$group/memory.swap.max" 2>/dev/null || true
        elif [[ -e $group/memory.limit_in_bytes ]]; then
            echo $limit >"$group/memory.limit_in_bytes"
        else
            rmdir "$group"
            trap - EXIT
            continue
        fi
        KAKASHI_CGROUP=$group KAKASHI_KILLS=$((kills * 4)) \
            cargo test --release --test blackbox -- --exact the_out_of_memory_killer_takes_no_record --nocapture
        exit
    fi
done
echo "SKIPPED: no control group with a limit on memory can be made here (run it as root)" >&2

#!/usr/bin/env bash
# Has a real Prometheus server scrape a program that logs, every second, until it has the counts of all that was logged; asks
# it for the type of each figure; and has promtool check the text. The server is the system's: the package `prometheus` is
# installed when it is not there, which needs root and apt-get (where systemd runs, it brings a service at port 9090, which this
# neither uses nor disturbs).
#
#   scripts/prometheus.sh      exit status 77 when there is no Prometheus and none can be installed
set -euo pipefail
cd "$(dirname "$0")/.."

test=a_prometheus_server_has_what_was_logged
if ! command -v prometheus >/dev/null || ! command -v promtool >/dev/null; then
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        echo "SKIPPED: prometheus is missing: install it (Debian, Ubuntu: sudo apt-get install prometheus)" >&2
        exit 77
    fi
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends prometheus; }; then
        echo "SKIPPED: the package prometheus cannot be installed here" >&2
        exit 77
    fi
fi
prometheus --version 2>&1 | head -1
said=$(mktemp)
trap 'rm -f "$said"' EXIT
cargo test --features endpoint --test endpoint -- --exact "$test" --nocapture 2>&1 | tee "$said"
# A test that was renamed or left out passes, too.
grep -q "test result: ok. 1 passed" "$said" && ! grep -q SKIPPED "$said"

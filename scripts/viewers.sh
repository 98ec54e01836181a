#!/usr/bin/env bash
# Has jq and lnav read what is written: jq the stream of a service that is rotated and compressed meanwhile, lnav the text and
# JSON formats, with contrib/lnav/kakashi.json. The programs are the system's: the packages `jq` and `lnav` are installed
# when they are not there, which needs root and apt-get.
#
#   scripts/viewers.sh              exit status 77 when they are not there and cannot be installed
#   scripts/viewers.sh --install    only installs them
set -euo pipefail
cd "$(dirname "$0")/.."

if ! command -v jq >/dev/null || ! command -v lnav >/dev/null; then
    if ((EUID != 0)) || ! command -v apt-get >/dev/null; then
        echo "SKIPPED: jq or lnav is missing: install them (Debian, Ubuntu: sudo apt-get install jq lnav)" >&2
        exit 77
    fi
    if ! { apt-get update && DEBIAN_FRONTEND=noninteractive apt-get install --yes --no-install-recommends jq lnav; }; then
        echo "SKIPPED: the packages jq and lnav cannot be installed here" >&2
        exit 77
    fi
fi
jq --version
lnav -V
[[ ${1:-} == --install ]] && exit
said=$(mktemp)
trap 'rm -f "$said"' EXIT
cargo test --features compress,log,tracing --test service -- --nocapture 2>&1 | tee "$said"
# A test that was renamed or left out passes, too.
grep -q "test result: ok. 2 passed" "$said" && ! grep -q SKIPPED "$said"

#!/usr/bin/env bash
# Measures logmon beside its peers and beside the limit, in pairs, and prints the tables that stand in
# docs/performance.md. Needs Debian or a child of it; as root it installs the peers that are missing.
#
#   benches/peers.sh [SCALE] [PAIRS]
#
# SCALE 1 is 1 GB of short lines one by one and 4 GB of everything else for each run; it takes hours on
# a slow machine. PAIRS is how many pairs of runs make a ratio. Figures of a busy machine mislead: let
# nothing else run meanwhile.
set -euo pipefail
cd "$(dirname "$0")/.."
scale=${1:-1}
pairs=${2:-5}

declare -A packages=([s6-log]=s6 [svlogd]=runit [multilog]=daemontools
    [rotatelogs]=apache2-utils [cronolog]=cronolog)
missing=()
for program in "${!packages[@]}"; do
    command -v "$program" >/dev/null || missing+=("${packages[$program]}")
done
if [ ${#missing[@]} -gt 0 ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        apt-get update -q >&2
        apt-get install -y -q --no-install-recommends "${missing[@]}" >&2
    else
        echo "not installed: ${missing[*]} (as root this script installs them with apt-get)" >&2
    fi
fi

cargo build --release --locked --quiet -p logmon -p benches
target=${CARGO_TARGET_DIR:-target}/release
measure=$target/measure
mkdir -p "$target/measured"

"$measure" throughput --logmon "$target/logmon" --peers --scale "$scale" --pairs "$pairs" \
    --place /dev/shm --place "$target/measured"
"$measure" latency --logmon "$target/logmon"
"$measure" crowd --logmon "$target/logmon"
"$measure" resume --logmon "$target/logmon"

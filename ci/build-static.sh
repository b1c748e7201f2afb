#!/usr/bin/env bash
# Builds the suite as one file that needs no library of the machine it runs on: linked statically
# with the C library of this one. Prints its path. The target folder is `target`, or $CARGO_TARGET_DIR.
set -euo pipefail
cd "$(dirname "$0")/.."

# With --target the flag holds for the program only, not for build scripts and macros.
target=x86_64-unknown-linux-gnu
export RUSTFLAGS="${RUSTFLAGS:-} -C target-feature=+crt-static"
cargo build --release --locked --quiet --package harness --target "$target"
program=${CARGO_TARGET_DIR:-target}/$target/release/harness

# Position independent or not decides in which words ldd says it.
needs=$(ldd "$program" 2>&1 || true)
case $needs in
*'statically linked'* | *'not a dynamic executable'*) realpath "$program" ;;
*)
    printf '%s needs libraries of this machine:\n%s\n' "$program" "$needs" >&2
    exit 1
    ;;
esac

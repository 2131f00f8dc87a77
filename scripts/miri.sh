#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs the unit tests of the pure crates (twz-abi, twz-core) under Miri, which
# finds undefined behaviour that a test run cannot see. Needs a nightly with
# Miri; gets one through rustup if it can, else exits 77 (skipped).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

have_miri() { cargo +nightly miri --version >/dev/null 2>&1; }

# skip REASON
skip() { echo "SKIPPED: $1" && exit 77; }

if ! have_miri; then
    command -v rustup >/dev/null || skip "Miri needs a nightly toolchain, and rustup is not here to get one"
    timeout 600 rustup toolchain install nightly --profile minimal --component miri,rust-src ||
        skip "rustup could not install a nightly with Miri (the reason is above)"
    have_miri || skip "the nightly that rustup installed has no Miri"
fi

# Miri is some hundred times slower than the machine: few cases, no files
# of past failures, and isolation off because proptest asks for the time.
export PROPTEST_CASES=${PROPTEST_CASES:-4}
export PROPTEST_DISABLE_FAILURE_PERSISTENCE=true
export MIRIFLAGS=${MIRIFLAGS:--Zmiri-disable-isolation}
# A test that never ends under Miri wants a `cfg(miri)`; say so instead of waiting.
timeout "${TWZ_MIRI_SECONDS:-900}" \
    cargo +nightly miri test -p twz-abi -p twz-core --lib --no-fail-fast -- "$@" || {
    status=$?
    ((status != 124)) || echo "FAILED: not done after ${TWZ_MIRI_SECONDS:-900} s; make the slow tests smaller under cfg(miri)"
    exit $status
}

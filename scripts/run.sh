#!/usr/bin/env bash
# SPDX-License-Identifier: MIT OR Apache-2.0
# Runs the tour (examples/tour), which explains itself as it goes. It works in
# a pool of its own that is gone afterwards; set TWZ_POOL to keep one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
exec "${CARGO_TARGET_DIR:-target}/release/tour" "$@"

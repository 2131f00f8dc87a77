# SPDX-License-Identifier: MIT OR Apache-2.0
# Random operations on one file, in Rust.
set -euo pipefail

crate fsx@0.3.2

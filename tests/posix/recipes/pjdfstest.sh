# SPDX-License-Identifier: MIT OR Apache-2.0
# The suite of that name, in Rust.
set -euo pipefail

crate pjdfstest@0.2.2

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The superblock: any bytes, one answer, no panic.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let _ = bytes;
});

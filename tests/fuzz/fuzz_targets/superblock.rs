// SPDX-License-Identifier: MIT OR Apache-2.0
//! Superblocks, pool state and journal records: any bytes in the first pages of
//! a pool are either a pool that can be used or an error that says why not.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twz_abi::{
    Superblock,
    journal::{JournalEntry, JournalHeader},
    superblock::PoolState,
};
use zerocopy::FromBytes as _;

fuzz_target!(|data: &[u8]| {
    if let Ok((block, _)) = Superblock::read_from_prefix(data) {
        let _ = block.check();
        // The same with the checksum put right, so that what it guards is reached.
        let mut block = block;
        (block.magic, block.version) = (twz_abi::superblock::SUPER_MAGIC, 1);
        block.checksum = block.compute_checksum();
        let _ = block.check();
    }
    if let Ok((state, _)) = PoolState::read_from_prefix(data) {
        let _ = state.check();
    }
    if let Ok((header, rest)) = JournalHeader::read_from_prefix(data) {
        let _ = header.check(header.sequence & 1, 1 << 17);
        if let Ok((entry, rest)) = JournalEntry::read_from_prefix(rest) {
            let _ = entry.check(header.len, rest.len() as u64);
        }
    }
});

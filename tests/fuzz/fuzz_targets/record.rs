// SPDX-License-Identifier: MIT OR Apache-2.0
//! Object records, map words and meta records.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twz_abi::{Meta, ObjectRecord, meta::META_MAGIC, record::MapWord};
use zerocopy::FromBytes as _;

fuzz_target!(|data: &[u8]| {
    if let Ok((mut record, _)) = ObjectRecord::read_from_prefix(data) {
        let _ = record.check();
        record.checksum = record.compute_checksum();
        let _ = record.check();
    }
    if let Ok((mut meta, _)) = Meta::read_from_prefix(data) {
        let _ = meta.check();
        (meta.magic, meta.version) = (META_MAGIC, 1);
        meta.checksum = meta.compute_checksum();
        let _ = meta.check();
    }
    for (place, word) in data.chunks_exact(8).enumerate() {
        if let Ok(word) = MapWord::read_from_bytes(word)
            && let Ok(Some((page, flags))) = word.check(place as u64)
        {
            assert_eq!(MapWord::new(page, flags, place as u64), word);
        }
    }
});

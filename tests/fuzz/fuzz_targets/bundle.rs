// SPDX-License-Identifier: MIT OR Apache-2.0
//! Exported objects: importing any bytes gives an object whose id is earned, or
//! an error that leaves nothing behind.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use twz::{Backend, EmbeddedPool, InitOptions, bundle};
use twz_abi::{Meta, meta::META_MAGIC};
use zerocopy::{FromBytes as _, IntoBytes as _};

fn pool() -> &'static EmbeddedPool {
    static POOL: OnceLock<EmbeddedPool> = OnceLock::new();
    POOL.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("twz-fuzz-bundle-{}", std::process::id()));
        EmbeddedPool::init(&path, &InitOptions::default()).expect("a pool can be made");
        EmbeddedPool::open(&path).expect("the pool opens")
    })
}

/// The bytes with an honest header, so that what comes after it is reached.
fn made_honest(data: &[u8]) -> Option<Vec<u8>> {
    let (mut meta, rest) = Meta::read_from_prefix(data.get(8..)?).ok()?;
    (meta.magic, meta.version, meta.incompat, meta.flags) = (META_MAGIC, 1, 0, 0);
    (meta.default_rights, meta.reserved0, meta.reserved1) = (3, 0, 0);
    (meta.reserved2, meta.heap, meta.bounds, meta.content) = ([0; 312], 0, 0, [0; 32]);
    meta.size %= 1 << 20;
    let identity = twz_core::Identity {
        nonce: meta.nonce,
        owner: meta.owner,
        flags: 0,
        default_rights: 3,
        content: [0; 32],
    };
    meta.id = identity.id()?;
    meta.checksum = meta.compute_checksum();
    let mut bytes = b"TWZOBJ01".to_vec();
    bytes.extend_from_slice(meta.as_bytes());
    bytes.extend_from_slice(rest);
    let sum = twz_abi::checksum::crc32(&bytes) as u64;
    bytes.extend_from_slice(sum.as_bytes());
    Some(bytes)
}

fuzz_target!(|data: &[u8]| {
    for bytes in [Some(data.to_vec()), made_honest(data)].into_iter().flatten() {
        if let Ok(id) = bundle::import(pool(), &mut &bytes[..], &mut |_, _| {}) {
            let stat = pool().stat(id).expect("what was imported is there");
            assert_eq!(stat.identity.id(), Some(id));
            pool().delete(id).expect("it has no name");
        }
        pool().list(&mut |id| panic!("{id} was left behind")).expect("the pool can be listed");
    }
});

// SPDX-License-Identifier: MIT OR Apache-2.0
//! A whole store with bytes changed anywhere: opening, using, checking and
//! mending it never panic and always end.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use twz_abi::ObjectId;
use twz_core::{Identity, Memory, Mode, NewObject, Store, check, format};

const PAGES: usize = 256;

fn pristine() -> &'static [u8] {
    static IMAGE: OnceLock<Vec<u8>> = OnceLock::new();
    IMAGE.get_or_init(|| {
        let mut image = vec![0u8; PAGES * 4096];
        format::format(&mut Memory::new(&mut image), &format::FormatOptions::plain())
            .expect("it is large enough");
        let mut store =
            Store::open(Memory::new(&mut image), Mode::ReadWrite).expect("it was just formatted");
        for i in 0..6u8 {
            let identity = Identity::plain([i + 2; 16]);
            let id = identity.id().expect("a valid nonce");
            let mut new = NewObject::bytes(identity);
            new.size = 20_000 * i as u64;
            let record = store.create(id, &new).expect("there is room");
            if i > 0 {
                store.write(record, 4096, &[i; 9000]).expect("there is room");
                store.bind(&[b'a' + i], id, false).expect("a free name");
            }
        }
        image
    })
}

fuzz_target!(|data: &[u8]| {
    let mut image = pristine().to_vec();
    for patch in data.chunks_exact(5) {
        let at = u32::from_le_bytes([patch[0], patch[1], patch[2], 0]) as usize % image.len();
        image[at] = if patch[3] & 1 == 0 { patch[4] } else { image[at] ^ 1 << (patch[4] & 7) };
    }
    let mut scratch = vec![0u8; 1 << 20];
    let _ = check::check(&Memory::new(&mut image), &mut scratch, &mut |_| {});
    if let Ok(mut store) = Store::open(Memory::new(&mut image), Mode::ReadWrite) {
        use_it(&mut store);
    }
    let _ = check::repair(&mut Memory::new(&mut image), &mut scratch, &mut |_| {});
});

fn use_it(store: &mut Store<Memory<'_>>) {
    let (mut cursor, mut ids) = (0, [ObjectId::NULL; 16]);
    let found = store.list(&mut cursor, &mut ids).unwrap_or(0);
    for id in ids.into_iter().take(found) {
        let Ok(record) = store.find(id) else { continue };
        let mut bytes = [0; 5000];
        let _ = store.read(record, 4096, &mut bytes);
        let _ = store.write(record, 8192, &bytes[..100]);
        let _ = store.resize(record, 5000);
        let identity = Identity::plain([id.lo as u8; 16]);
        if let Some(copy) = identity.id() {
            let _ = store.copy(record, copy, &NewObject::bytes(identity));
        }
    }
    for name in [&b"b"[..], b"c", b"d/e"] {
        let _ = store.lookup(name);
        let _ = store.unbind(name);
    }
    if let Some(record) = ids.first().and_then(|&id| store.delete(id).ok()) {
        let _ = store.reclaim(record);
    }
}

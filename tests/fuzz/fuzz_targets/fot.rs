// SPDX-License-Identifier: MIT OR Apache-2.0
//! The FOT of an object: whatever its entries and a pointer say, following the
//! pointer gives a value or an error, and retargeting ends.
#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use twz::{EmbeddedPool, Field, InitOptions, ObjectId, Persist, Ptr, Space};
use twz_abi::{DATA_START, FotEntry, fot::entry_offset};
use zerocopy::{FromBytes as _, IntoBytes as _};

#[derive(Persist)]
#[repr(C)]
struct Node {
    value: Field<u64>,
    next: Ptr<Node>,
}

struct Fixture {
    space: Space,
    other: ObjectId,
}

fn fixture() -> &'static Fixture {
    static FIXTURE: OnceLock<Fixture> = OnceLock::new();
    FIXTURE.get_or_init(|| {
        let path = std::env::temp_dir().join(format!("twz-fuzz-fot-{}", std::process::id()));
        EmbeddedPool::init(&path, &InitOptions::default()).expect("a pool can be made");
        let space = Space::open(&path).expect("the pool opens");
        let other =
            space.create(Node { value: Field::new(7), next: Ptr::null() }).expect("an object").id();
        space.bind("n", other).expect("a name");
        Fixture { space, other }
    })
}

fuzz_target!(|data: &[u8]| {
    let Fixture { space, other } = fixture();
    let holder = space.create(Node { value: Field::new(1), next: Ptr::null() }).expect("an object");
    let backend = space.backend();
    let (bits, entries) = data.split_at(data.len().min(8));
    let mut word = [0; 8];
    word[..bits.len()].copy_from_slice(bits);
    backend.write(holder.id(), DATA_START + 8, &word).expect("the data is there");
    for (i, raw) in entries.chunks_exact(32).take(100).enumerate() {
        let Ok(mut entry) = FotEntry::read_from_bytes(raw) else { continue };
        // Half of them with an honest checksum, and some with a target that exists.
        if entry.check & 1 == 0 {
            if entry.check & 2 == 0 {
                (entry.a, entry.b) = (other.lo, other.hi);
            }
            entry.check = FotEntry::compute_check(entry.a, entry.b);
        }
        let _ = entry.target();
        backend
            .write(holder.id(), entry_offset(i as u32 + 1), entry.as_bytes())
            .expect("the tail is there");
    }
    match holder.root().next.lea() {
        Ok(node) => drop(node.value.get()),
        Err(error) => drop(error.to_string()),
    }
    let _ = holder.root().next.global();
    let _ = holder.retarget(*other, holder.id());
    let _ = holder.root().next.store_global(holder.global(), twz::Rights::READ);
    let _ = twz::graph::references(backend, holder.id());
    let id = holder.id();
    drop(holder);
    // The slot it had is needed again.
    let _ = space.set_view(None);
    backend.delete(id).expect("it has no name");
});

// SPDX-License-Identifier: MIT OR Apache-2.0
//! States of threads: what passes can be read to its last string.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twz_abi::{ObjectId, thread::ThreadState};
use zerocopy::{FromZeros as _, IntoBytes as _};

fuzz_target!(|data: &[u8]| {
    let mut state = ThreadState::new_zeroed();
    let len = data.len().min(state.as_bytes().len());
    state.as_mut_bytes()[..len].copy_from_slice(&data[..len]);
    // Whatever is there may be looked at; and a checksum keeps nobody out.
    let _ = (state.program(), state.directory(), state.args().count(), state.env().count());
    let _ = state.push(&data[..len.min(100)]);
    let (object, pool) = (ObjectId::from_u128(5 << 64 | 7), state.pool);
    state.magic = twz_abi::thread::THREAD_MAGIC;
    state.version = 1;
    state.object = object;
    state.sequence &= !1;
    state.seal();
    if state.check(0, object, &pool).is_ok() {
        assert!(state.program().starts_with(b"/") && state.directory().starts_with(b"/"));
        assert_eq!(state.args().count(), state.args as usize);
        assert!(state.env().all(|variable| variable.contains(&b'=')));
    }
});

// SPDX-License-Identifier: GPL-2.0 OR MIT
//! States of threads: what was written is read back, and no other bytes pass.

use twz_abi::{
    thread::{exit, flags, ThreadState, CONTEXTS, TEXT, THREAD_SLOT},
    FormatError, ObjectId,
};
use zerocopy::{FromBytes as _, IntoBytes as _};

const POOL: [u8; 16] = *b"a pool of a test";

fn me() -> ObjectId {
    ObjectId::from_u128(5 << 64 | 7)
}

fn sample() -> ThreadState {
    let mut state = ThreadState::empty(me(), POOL);
    state.sequence = 6;
    state.flags = flags::RESUMABLE | flags::STARTED;
    state.args = 2;
    state.env = 1;
    for text in ["/bin/counter", "/tmp", "--every", "", "LANG=C"] {
        assert!(state.push(text.as_bytes()));
    }
    state.seal();
    state
}

fn check(state: &ThreadState) -> Result<(), FormatError> {
    state.check(0, me(), &POOL)
}

/// What is said of a state that was changed by somebody who can compute sums.
fn changed(change: impl FnOnce(&mut ThreadState)) -> Result<(), FormatError> {
    let mut state = sample();
    change(&mut state);
    state.seal();
    check(&state)
}

#[test]
fn what_was_written_is_read() {
    let state = sample();
    assert_eq!(check(&state), Ok(()));
    assert_eq!((state.program(), state.directory()), (&b"/bin/counter"[..], &b"/tmp"[..]));
    assert!(state.args().eq([&b"--every"[..], b""]));
    assert!(state.env().eq([&b"LANG=C"[..]]));
}

#[test]
fn every_flipped_bit_is_noticed() {
    let mut bytes = sample().as_bytes().to_vec();
    for bit in 0..8 * THREAD_SLOT {
        bytes[bit / 8] ^= 1 << (bit % 8);
        assert!(check(&ThreadState::read_from_bytes(&bytes).unwrap()).is_err(), "bit {bit}");
        bytes[bit / 8] ^= 1 << (bit % 8);
    }
}

/// Half of one write and half of another is neither.
#[test]
fn every_torn_write_is_noticed() {
    let (old, mut new) = (sample(), sample());
    new.sequence = 8;
    new.generation = 1;
    new.seal();
    for at in (8..THREAD_SLOT).step_by(8) {
        let mut bytes = new.as_bytes().to_vec();
        bytes[at..].copy_from_slice(&old.as_bytes()[at..]);
        let torn = ThreadState::read_from_bytes(&bytes).unwrap();
        assert!(check(&torn).is_err() || torn == old || torn == new, "at {at}");
    }
}

#[test]
fn a_state_counts_where_it_belongs_only() {
    let state = sample();
    assert!(state.check(1, me(), &POOL).is_err(), "another slot");
    assert!(state.check(0, ObjectId::from_u128(9 << 64 | 7), &POOL).is_err(), "another object");
    assert!(state.check(0, me(), &[0; 16]).is_err(), "another pool");
}

#[test]
fn lies_with_a_good_checksum_are_refused() {
    assert_eq!(changed(|_| ()), Ok(()));
    type Lie = (&'static str, fn(&mut ThreadState));
    let lies: [Lie; 17] = [
        ("sequence", |s| s.sequence = 0),
        ("version", |s| s.version = 2),
        ("no version", |s| s.version = 0),
        ("flags", |s| s.flags |= 1 << 30),
        ("exit", |s| s.exit_kind = exit::KINDS),
        ("view", |s| s.view.lo = 1),
        ("contexts", |s| s.context_count = CONTEXTS as u32 + 1),
        ("null context", |s| s.context_count = 1),
        ("spare context", |s| s.contexts[3] = me()),
        ("arguments", |s| s.args = u32::MAX),
        ("variables", |s| s.env = u32::MAX),
        ("fewer strings", |s| s.args = 1),
        ("text", |s| s.text_len = TEXT as u32 + 1),
        ("no text", |s| s.text_len = 0),
        ("text past its end", |s| s.text[TEXT - 1] = 1),
        ("relative program", |s| s.text[0] = b'b'),
        ("reserved", |s| s.reserved0[111] = 1),
    ];
    for (lie, tell) in lies {
        assert!(changed(tell).is_err(), "{lie}");
    }
    let nameless = changed(|s| {
        let at = s.text_len as usize - 7;
        s.text[at] = b'=';
    });
    assert!(nameless.is_err(), "a variable without a name");
}

#[test]
fn what_does_not_fit_is_not_half_there() {
    let mut state = sample();
    let before = state;
    assert!(!state.push(&[b'x'; TEXT]));
    assert!(!state.push(b"a\0b"));
    assert_eq!(state, before);
    let room = TEXT - state.text_len as usize - 1;
    assert!(state.push(&vec![b'x'; room]));
    assert!(!state.push(b""));
}

/// Whatever the bytes, nothing panics, and what passes can be read.
#[test]
fn hostile_bytes() {
    let mut seed = 0x9e37_79b9_7f4a_7c15_u64;
    let mut random = move |below: usize| {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        (seed >> 33) as usize % below
    };
    let mut passed = 0;
    for round in 0..20_000 {
        let mut bytes = sample().as_bytes().to_vec();
        for _ in 0..1 + round % 5 {
            // Most of it is text, and what is interesting is at its beginning.
            let at = random(if round % 2 == 0 { 600 } else { THREAD_SLOT - 4 });
            bytes[at] = [0, b'/', b'=', random(256) as u8][random(4)];
        }
        let mut state = ThreadState::read_from_bytes(&bytes).unwrap();
        let _ = (state.program(), state.directory(), state.args().count(), state.env().count());
        state.seal();
        if check(&state).is_ok() {
            passed += 1;
            assert!(state.program().starts_with(b"/"));
            assert_eq!(state.args().count(), state.args as usize);
            assert_eq!(state.env().count(), state.env as usize);
        }
    }
    assert!((100..19_000).contains(&passed), "{passed} of them passed");
}

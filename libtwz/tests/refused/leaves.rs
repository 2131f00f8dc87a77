// SPDX-License-Identifier: MIT OR Apache-2.0
//! Types that cannot live in an object. `tests/persist.rs` hands this file to the compiler and
//! expects each marked line to be refused with the words after `//~`, and no other error.

#[path = "../../src/persist.rs"]
pub mod persist;

/// Compiles for a type that may live in an object.
pub fn admit<T: persist::Persist>() {}

/// Not marked: the control.
pub fn admitted() {
    admit::<u64>();
    admit::<[[i128; 3]; 2]>();
}

/// Each marked line is refused.
pub fn refused() {
    admit::<&'static u64>(); //~ `&'static u64` cannot live in an object
    admit::<&'static mut u64>(); //~ `&'static mut u64` cannot live in an object
    admit::<*const u64>(); //~ `*const u64` cannot live in an object
    admit::<*mut u64>(); //~ `*mut u64` cannot live in an object
    admit::<fn()>(); //~ `fn()` cannot live in an object
    admit::<Box<u64>>(); //~ `Box<u64>` cannot live in an object
    admit::<Vec<u64>>(); //~ `Vec<u64>` cannot live in an object
    admit::<String>(); //~ `String` cannot live in an object
    admit::<Option<u64>>(); //~ `Option<u64>` cannot live in an object
    admit::<bool>(); //~ `bool` cannot live in an object
    admit::<char>(); //~ `char` cannot live in an object
    admit::<usize>(); //~ `usize` cannot live in an object
    admit::<isize>(); //~ `isize` cannot live in an object
    admit::<core::num::NonZeroU64>(); //~ cannot live in an object
    admit::<core::cell::Cell<u64>>(); //~ `Cell<u64>` cannot live in an object
    admit::<core::mem::MaybeUninit<u64>>(); //~ `MaybeUninit<u64>` cannot live in an object
    admit::<core::sync::atomic::AtomicBool>(); //~ cannot live in an object
    admit::<(u64, u64)>(); //~ `(u64, u64)` cannot live in an object
    admit::<[bool; 4]>(); //~ `bool` cannot live in an object
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counters, in a file that all processes of a run share, so that what a killed one
//! did is counted as well. Nothing is counted where nobody asked for it. `twz run
//! --stats` knows the order.

use std::sync::atomic::Ordering::Relaxed;

use crate::raw;

/// What is counted; the discriminant is the place in the file, in words of 8 bytes.
#[derive(Clone, Copy)]
pub enum Counter {
    /// Reads that were a copy.
    ReadsByMemory,
    /// Their bytes.
    ReadBytesByMemory,
    /// Writes that were a copy.
    WritesByMemory,
    /// Their bytes.
    WriteBytesByMemory,
    /// Seeks without a call.
    SeeksByMemory,
    /// Calls that the kernel answered, on descriptors that are or may be ours.
    CallsByKernel,
    /// Their bytes.
    BytesByKernel,
    /// Mappings made.
    Mappings,
    /// Copies that faulted.
    FixedUp,
    /// Processes that stood aside.
    StoodAside,
    /// Reads and writes of libc's own, within itself, that were a copy.
    LibcByMemory,
    /// Their bytes. Both are counted above as well.
    LibcBytesByMemory,
    /// Processes in which libc's own calls were turned here.
    Redirected,
    /// Processes that had use for it, and in which it was not done.
    NotRedirected,
}

/// Bytes of the file.
pub const SIZE: usize = 4096;

pub fn add(counter: Counter, much: u64) {
    if let Some(counters) = raw::counters::shared() {
        counters[counter as usize].fetch_add(much, Relaxed);
    }
}

/// A copy of so many bytes.
pub fn copied(calls: Counter, bytes: Counter, much: usize) {
    if let Some(counters) = raw::counters::shared() {
        counters[calls as usize].fetch_add(1, Relaxed);
        counters[bytes as usize].fetch_add(much as u64, Relaxed);
    }
}

/// What the kernel answered.
pub fn by_kernel(answer: isize) {
    copied(Counter::CallsByKernel, Counter::BytesByKernel, answer.max(0) as usize);
}

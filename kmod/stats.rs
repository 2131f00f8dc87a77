// SPDX-License-Identifier: GPL-2.0
//! Counters: one for every decision that the module takes.
//!
//! [`Event`] is the table; what is counted is named there and nowhere else.
//! `debugfs.rs` prints them all. Refusals are counted by reason, with the
//! numbers of `twz_abi::reason`.

use core::sync::atomic::{AtomicU64, Ordering};
use twz_abi::reason;

/// Writes the table: the enum, its names, and how many there are.
macro_rules! events {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// What is counted.
        #[derive(Clone, Copy)]
        pub(crate) enum Event { $($(#[$doc])* $name,)* }

        /// The names, in order.
        pub(crate) const NAMES: &[&str] = &[$($text,)*];
    };
}

events! {
    /// Faults, of every kind.
    Fault = "faults",
    /// Faults that mapped pages of 4 KiB.
    Small = "small",
    /// Pages that were mapped by them.
    SmallPages = "small_pages",
    /// Faults that mapped 2 MiB.
    Huge = "huge",
    /// Holes that were read: the page of zeros.
    Zero = "zero",
    /// Writes to a page that was mapped without the right.
    Upgrade = "upgrade",
    /// Pages that came to be at a fault.
    Allocated = "allocated",
    /// Faults that copied a shared page.
    Copied = "copied",
    /// Slots that were bound to an object.
    Bound = "bound",
    /// Slots that were dropped because their entry had changed.
    Rebound = "rebound",
    /// Ids that were verified.
    Verified = "verified",
    /// Times that pages were taken out of address spaces.
    Zap = "zaps",
    /// Slots that were invalidated by command.
    Invalidated = "invalidated",
    /// Faults that took the lock for writing.
    Slow = "slow",
    /// Commands.
    Command = "commands",
    /// Commands that were refused.
    Refused = "commands_refused",
    /// Contexts that were read from their objects, or that were tried to.
    Load = "context_loads",
    /// Signatures that were verified.
    Signature = "signatures_verified",
    /// Grants that cost no verification, having been there in an earlier load.
    Known = "signatures_known",
    /// Epochs that were raised.
    Revocation = "revocations",
    /// Times that a context changed because a grant began or ended.
    Expiry = "expiries",
    /// Changes of the active context, by call or in a fault.
    Switch = "switches",
    /// Threads that went to sleep on a word.
    Wait = "waits",
    /// Threads that were woken.
    Woken = "woken",
}

/// The counters.
pub(crate) struct Counters {
    events: [AtomicU64; NAMES.len()],
    reasons: [AtomicU64; reason::ALL.len()],
}

impl Counters {
    pub(crate) const fn new() -> Self {
        Self {
            events: [const { AtomicU64::new(0) }; NAMES.len()],
            reasons: [const { AtomicU64::new(0) }; reason::ALL.len()],
        }
    }

    pub(crate) fn count(&self, event: Event) {
        self.add(event, 1);
    }

    pub(crate) fn add(&self, event: Event, n: u64) {
        if let Some(counter) = self.events.get(event as usize) {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    /// An access was refused, for this reason.
    pub(crate) fn refuse(&self, reason: u32) {
        if let Some(counter) = self.reasons.get(reason as usize) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Every event with its count.
    pub(crate) fn events(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.events.iter().map(|n| n.load(Ordering::Relaxed));
        NAMES.iter().copied().zip(counts)
    }

    /// Every reason with its sentence and count.
    pub(crate) fn reasons(&self) -> impl Iterator<Item = (&'static str, u64)> + '_ {
        let counts = self.reasons.iter().map(|n| n.load(Ordering::Relaxed));
        reason::ALL.iter().map(|(_, text)| *text).zip(counts)
    }
}

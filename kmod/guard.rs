// SPDX-License-Identifier: GPL-2.0
//! Guards: the checks without which an attack would succeed, by name.
//!
//! A module built for tests (`--cfg twz_weaken`) can be loaded with one of them
//! taken out (`weaken=NAME`), to show that the test of that attack can fail. In
//! every other build [`on`] is a constant, and nothing of this is there.

/// Writes the table: the enum and, for tests, the names.
macro_rules! guards {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)*) => {
        /// A check that stops an attack.
        #[derive(Clone, Copy, PartialEq, Eq)]
        pub(crate) enum Guard { $($(#[$doc])* $name,)* }

        /// The name of a guard, as the parameter has it.
        #[cfg(twz_weaken)]
        fn name(guard: Guard) -> &'static str {
            match guard { $(Guard::$name => $text,)* }
        }
    };
}

guards! {
    /// Other protection for what is mapped is refused.
    Mprotect = "mprotect",
    /// A mapping is not moved.
    Mremap = "mremap",
    /// A child gets no copy of page tables.
    DontCopy = "dontcopy",
    /// A private mapping is refused.
    Private = "private",
    /// 2 MiB are not mapped with the execution right of the whole mapping.
    PmdExec = "pmd_exec",
    /// A write to a page that was mapped for reading is asked about.
    Mkwrite = "mkwrite",
    /// An invalidation takes pages out.
    InvalidateZap = "invalidate_zap",
    /// A slot that shows another object lets go of the pages of the first.
    RebindZap = "rebind_zap",
    /// Pages that come to be shared, or are copied, are taken out.
    CowZap = "cow_zap",
    /// What was looked at is mapped under the same lock.
    CheckLock = "check_lock",
    /// A session serves one memory map.
    MmOwner = "mm_owner",
    /// Immutable objects are not writable.
    Immutable = "immutable",
    /// Nothing is writable and executable at once.
    Wx = "wx",
    /// The first page of a slot is not mapped.
    NullPage = "null_page",
    /// A context that is loaded anew and allows less takes pages out.
    LoadZap = "load_zap",
    /// A load of earlier bytes does not take the place of one of later bytes.
    LoadOrder = "load_order",
    /// A raised epoch takes pages out.
    RevokeZap = "revoke_zap",
    /// A grant that ends takes pages out.
    ExpiryZap = "expiry_zap",
    /// Fork and exec hand contexts on.
    Inherit = "inherit",
    /// Out of a confined context, they hand on that one alone.
    InheritConfined = "inherit_confined",
    /// Exec leaves behind what is to be.
    Cloexec = "cloexec",
    /// A descriptor asks the active context.
    DescriptorAsks = "descriptor_asks",
    /// A nonce serves once.
    NonceOnce = "nonce_once",
    /// A switch takes pages out.
    SwitchZap = "switch_zap",
    /// A fault switches nobody who shares memory with another thread.
    Alone = "alone",
    /// Who is traced gains nothing.
    Traced = "traced",
    /// Who is attached is not traced by whoever likes.
    Hide = "hide",
    /// What begins on one page and ends on another is no way in.
    Straddle = "straddle",
    /// A confined context is not left by call.
    Confined = "confined",
    /// An undetachable context is not detached.
    Undetachable = "undetachable",
    /// Attaching takes the right to.
    Use = "use",
    /// What was deleted keeps its pages while it is held.
    DeleteWait = "delete_wait",
}

/// Whether a guard is in place.
#[cfg(not(twz_weaken))]
#[inline(always)]
pub(crate) const fn on(_: Guard) -> bool {
    true
}

/// Whether a guard is in place.
#[cfg(twz_weaken)]
pub(crate) fn on(guard: Guard) -> bool {
    crate::sys::weakened() != name(guard).as_bytes()
}

// SPDX-License-Identifier: GPL-2.0
//! Page faults: from the kernel's call to [`Answers::answer`], and the pages that
//! its answer maps.
//!
//! The mappings are `VM_PFNMAP`: each page gets the protection that it is mapped
//! with, nobody can get at the memory but through the page tables, and every
//! write to a page that was mapped without the right comes back here.

use super::page::Frame;
use crate::guard::{on, Guard};
use core::{marker::PhantomData, ops::Range};
use kernel::{bindings, error::code::*, mm::virt::flags, prelude::*};
use twz_abi::Rights;
use twz_core::rights::Access;

const PAGE_SHIFT: usize = 12;
const HUGE_PAGES: u64 = 512;

/// Who answers the faults of a file's mappings. The file's private data is a
/// `*const Self` as long as the file is.
pub(super) trait Answers: 'static {
    fn answer(&self, fault: &mut Fault<'_>, huge: bool) -> Outcome;
}

/// What became of a fault.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It is mapped.
    Done,
    /// The access is not allowed.
    Segv,
    /// There is nothing to map.
    Bus,
    /// No memory for page tables.
    NoMemory,
    /// 2 MiB cannot be mapped: ask for 4 KiB.
    Smaller,
    /// Let the access be made again.
    Again,
}

impl Outcome {
    fn raw(self) -> bindings::vm_fault_t {
        (match self {
            Self::Done | Self::Again => bindings::vm_fault_reason_VM_FAULT_NOPAGE,
            Self::Segv => bindings::vm_fault_reason_VM_FAULT_SIGSEGV,
            Self::Bus => bindings::vm_fault_reason_VM_FAULT_SIGBUS,
            Self::NoMemory => bindings::vm_fault_reason_VM_FAULT_OOM,
            Self::Smaller => bindings::vm_fault_reason_VM_FAULT_FALLBACK,
        }) as _
    }

    fn from_raw(raw: bindings::vm_fault_t) -> Self {
        let has = |bit| raw as u32 & bit as u32 != 0;
        match () {
            _ if has(bindings::vm_fault_reason_VM_FAULT_NOPAGE) => Self::Done,
            _ if has(bindings::vm_fault_reason_VM_FAULT_FALLBACK) => Self::Smaller,
            _ if has(bindings::vm_fault_reason_VM_FAULT_OOM) => Self::NoMemory,
            _ => Self::Bus,
        }
    }
}

/// What 2 MiB of addresses are mapped by.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mapped {
    Nothing,
    /// A table of pages.
    Table,
    /// One large page.
    Huge,
}

/// A fault being answered.
///
/// # Invariants
///
/// `vmf` is what the kernel called with, and is valid, with its VMA locked, for
/// `'a`. The VMA is one that [`prepare`] has set up.
pub(crate) struct Fault<'a> {
    vmf: *mut bindings::vm_fault,
    upgrade: bool,
    _call: PhantomData<&'a mut bindings::vm_fault>,
}

impl Fault<'_> {
    fn vma(&self) -> *mut bindings::vm_area_struct {
        // SAFETY: by the type invariant.
        unsafe { (*self.vmf).__bindgen_anon_1.vma }
    }

    fn flags(&self) -> usize {
        // SAFETY: by the type invariant; the union is the flags, as a word.
        unsafe { (*self.vma()).__bindgen_anon_2.vm_flags as usize }
    }

    /// The byte that was touched.
    pub(crate) fn address(&self) -> usize {
        // SAFETY: by the type invariant.
        unsafe { (*self.vmf).__bindgen_anon_1.real_address as usize }
    }

    /// The page that was touched, counted from the start of the file.
    pub(crate) fn page(&self) -> u64 {
        // SAFETY: by the type invariant.
        unsafe { (*self.vmf).__bindgen_anon_1.pgoff as u64 }
    }

    /// The first page of the 2 MiB of addresses around the fault, if the mapping
    /// has all of them.
    pub(crate) fn huge_page(&self) -> Option<u64> {
        // SAFETY: by the type invariant.
        let (at, start, end) = unsafe {
            let vma = self.vma();
            let bounds = &(*vma).__bindgen_anon_1.__bindgen_anon_1;
            ((*self.vmf).__bindgen_anon_1.address, bounds.vm_start, bounds.vm_end)
        };
        let first = at >> PAGE_SHIFT & !(HUGE_PAGES as usize - 1);
        let fits = first >= start >> PAGE_SHIFT && first + HUGE_PAGES as usize <= end >> PAGE_SHIFT;
        let into = (at >> PAGE_SHIFT) - first;
        fits.then(|| self.page().checked_sub(into as u64)).flatten()
    }

    /// The pages of the file that the mapping has.
    pub(crate) fn window(&self) -> Range<u64> {
        // SAFETY: by the type invariant.
        unsafe {
            let vma = self.vma();
            let bounds = &(*vma).__bindgen_anon_1.__bindgen_anon_1;
            let start = (*vma).vm_pgoff as u64;
            start..start + ((bounds.vm_end - bounds.vm_start) >> PAGE_SHIFT) as u64
        }
    }

    /// A number that the 2 MiB of addresses around the fault have for themselves:
    /// which entry of the page tables is theirs.
    pub(crate) fn place(&self) -> usize {
        // SAFETY: by the type invariant; the entry itself is not looked at.
        unsafe { (*self.vmf).pmd as usize / core::mem::size_of::<u64>() }
    }

    /// What the 2 MiB of addresses around the fault are mapped by now.
    pub(crate) fn mapped(&self) -> Mapped {
        const HUGE: u64 = 1 << 7;
        // SAFETY: by the type invariant; the kernel has looked the entry up before it
        // asks. It may change under us, so it is read once, as one word.
        match unsafe { (*self.vmf).pmd.cast::<u64>().read_volatile() } {
            0 => Mapped::Nothing,
            entry if entry & HUGE != 0 => Mapped::Huge,
            _ => Mapped::Table,
        }
    }

    /// The memory map that was touched, if it is the calling thread's own.
    pub(super) fn own_memory(&self) -> Option<*mut bindings::mm_struct> {
        // SAFETY: by the type invariant.
        let mm = unsafe { (*self.vma()).vm_mm };
        kernel::current!().mm().map(|own| own.as_raw()).filter(|own| *own == mm)
    }

    /// Whether the memory that was touched is the calling thread's own.
    pub(crate) fn is_own(&self) -> bool {
        self.own_memory().is_some()
    }

    fn has(&self, flag: bindings::fault_flag) -> bool {
        // SAFETY: by the type invariant.
        unsafe { (*self.vmf).flags as u32 & flag as u32 != 0 }
    }

    /// Whether the part of memory that was touched is locked, and not all of it.
    pub(super) fn has_part_locked(&self) -> bool {
        self.has(bindings::fault_flag_FAULT_FLAG_VMA_LOCK)
    }

    /// Where the code is that touched it; not in a thread of the kernel.
    pub(crate) fn code(&self) -> Option<usize> {
        super::memory::code(self.has(bindings::fault_flag_FAULT_FLAG_USER))
    }

    /// What was tried.
    pub(crate) fn access(&self) -> Access {
        if self.has(bindings::fault_flag_FAULT_FLAG_INSTRUCTION) {
            Access::Execute
        } else if self.upgrade || self.has(bindings::fault_flag_FAULT_FLAG_WRITE) {
            Access::Write
        } else {
            Access::Read
        }
    }

    /// What the mapping itself allows.
    pub(crate) fn protection(&self) -> Rights {
        protection(self.flags())
    }

    /// Whether the page is mapped, without the right to write.
    pub(crate) fn is_upgrade(&self) -> bool {
        self.upgrade
    }

    /// Takes out the page that was touched: a page is not mapped over another.
    pub(crate) fn drop_page(&mut self) {
        // SAFETY: by the type invariant; the page lies in the VMA.
        unsafe {
            let at = (*self.vmf).__bindgen_anon_1.address & !((1 << PAGE_SHIFT) - 1);
            bindings::zap_special_vma_range(self.vma(), at, 1 << PAGE_SHIFT);
        }
    }

    /// Maps a page of the file, unless something is mapped there already. The
    /// kernel does not look whether that is [large](Mapped::Huge): the caller has.
    pub(crate) fn insert(&mut self, page: u64, frame: Frame, rights: Rights) -> Outcome {
        let window = self.window();
        if !window.contains(&page) {
            return Outcome::Bus;
        }
        let bits = |right, bit: bindings::vm_flags_t| match rights.contains(right) {
            true => bit as usize,
            false => 0,
        };
        let other = !((flags::READ | flags::WRITE | flags::EXEC) as usize);
        let protection = self.flags() & other
            | flags::SHARED as usize
            | bits(Rights::READ, flags::READ)
            | bits(Rights::WRITE, flags::WRITE)
            | bits(Rights::EXEC, flags::EXEC);
        // SAFETY: 1. by the type invariant the VMA is valid, locked, VM_PFNMAP
        // and not copy-on-write (`prepare`), which is what the function asserts;
        // 2. the address lies in it (checked); 3. a `Frame` may be mapped.
        unsafe {
            let start = (*self.vma()).__bindgen_anon_1.__bindgen_anon_1.vm_start;
            let at = start + ((page - window.start) << PAGE_SHIFT) as usize;
            let protection = bindings::vm_get_page_prot(protection as _);
            Outcome::from_raw(bindings::vmf_insert_pfn_prot(self.vma(), at, frame.0, protection))
        }
    }

    /// Maps the 2 MiB around the fault, or makes them writable if they are mapped.
    /// Their protection is that of the mapping, with or without writing.
    pub(crate) fn insert_huge(&mut self, frame: Frame, write: bool) -> Outcome {
        if frame.0 % HUGE_PAGES as usize != 0 || self.huge_page().is_none() {
            return Outcome::Smaller;
        }
        // SAFETY: as above, and the 2 MiB lie in the VMA (checked); the frame is
        // the first of 512 (`Pmem::frame` gives out such only of whole runs).
        Outcome::from_raw(unsafe { super::bindings::vmf_insert_pfn_pmd(self.vmf, frame.0, write) })
    }
}

/// What a mapping with these flags allows.
pub(super) fn protection(word: usize) -> Rights {
    let has = |bit: bindings::vm_flags_t, right| match word & bit as usize {
        0 => Rights::NONE,
        _ => right,
    };
    has(flags::READ, Rights::READ)
        .or(has(flags::WRITE, Rights::WRITE))
        .or(has(flags::EXEC, Rights::EXEC))
}

/// Sets a mapping up so that `A` answers its faults.
pub(super) fn prepare<A: Answers>(description: &mut bindings::vm_area_desc) -> Result {
    let Some(word) = description.vma_flags.__vma_flags.first_mut() else { return Err(EINVAL) };
    // A private mapping would be given copies behind our back.
    if *word & super::bindings::TWZ_VM_MAYSHARE as usize == 0 && on(Guard::Private) {
        return Err(EINVAL);
    }
    *word |= (flags::PFNMAP | flags::IO | flags::DONTEXPAND | flags::DONTDUMP) as usize;
    if on(Guard::DontCopy) {
        *word |= flags::DONTCOPY as usize;
    }
    description.vm_ops = Table::<A>::OPERATIONS;
    Ok(())
}

/// Whether a VMA is one whose faults `A` answers.
pub(super) fn is_answered_by<A: Answers>(vma: *const bindings::vm_area_struct) -> bool {
    // SAFETY: the caller has it locked, or its mmap lock.
    unsafe { (*vma).vm_ops == Table::<A>::OPERATIONS as *const _ }
}

/// The operations of a mapping that `A` answers for.
struct Table<A>(PhantomData<A>);

impl<A: Answers> Table<A> {
    const OPERATIONS: &'static bindings::vm_operations_struct = &bindings::vm_operations_struct {
        fault: Some(Self::fault),
        huge_fault: Some(Self::huge_fault),
        pfn_mkwrite: Some(Self::upgrade),
        mprotect: Some(Self::mprotect),
        mremap: Some(Self::mremap),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// `vmf` must be what the kernel called one of these with.
    unsafe fn answer(
        vmf: *mut bindings::vm_fault,
        upgrade: bool,
        huge: bool,
    ) -> bindings::vm_fault_t {
        // INVARIANT: as the caller promises; `prepare` set this very function up.
        let mut fault = Fault { vmf, upgrade, _call: PhantomData };
        // SAFETY: the VMA holds the file, and its private data is an `A` as long
        // as it is open (`Answers`).
        let answerer = unsafe { &*(*(*fault.vma()).vm_file).private_data.cast::<A>() };
        answerer.answer(&mut fault, huge).raw()
    }

    /// # Safety
    ///
    /// For the kernel to call, about a fault or a mapping of ours.
    unsafe extern "C" fn fault(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        // SAFETY: called by the kernel.
        unsafe { Self::answer(vmf, false, false) }
    }

    /// # Safety
    ///
    /// For the kernel to call, about a fault or a mapping of ours.
    unsafe extern "C" fn huge_fault(
        vmf: *mut bindings::vm_fault,
        order: kernel::ffi::c_uint,
    ) -> bindings::vm_fault_t {
        if order != 9 {
            return Outcome::Smaller.raw();
        }
        // SAFETY: called by the kernel.
        unsafe { Self::answer(vmf, false, true) }
    }

    /// # Safety
    ///
    /// For the kernel to call, about a fault or a mapping of ours.
    unsafe extern "C" fn upgrade(vmf: *mut bindings::vm_fault) -> bindings::vm_fault_t {
        if !on(Guard::Mkwrite) {
            return 0;
        }
        // SAFETY: called by the kernel.
        unsafe { Self::answer(vmf, true, false) }
    }

    /// Another protection would be given to pages that are mapped, without a
    /// question to us.
    ///
    /// # Safety
    ///
    /// For the kernel to call, about a fault or a mapping of ours.
    unsafe extern "C" fn mprotect(
        _: *mut bindings::vm_area_struct,
        _: usize,
        _: usize,
        _: usize,
    ) -> kernel::ffi::c_int {
        if on(Guard::Mprotect) {
            EACCES.to_errno()
        } else {
            0
        }
    }

    /// Pages that are mapped would move to where they were not asked for.
    ///
    /// # Safety
    ///
    /// For the kernel to call, about a fault or a mapping of ours.
    unsafe extern "C" fn mremap(_: *mut bindings::vm_area_struct) -> kernel::ffi::c_int {
        if on(Guard::Mremap) {
            EINVAL.to_errno()
        } else {
            0
        }
    }
}

// SPDX-License-Identifier: GPL-2.0
//! The character device: from the kernel's calls to the trait [`Device`].
//!
//! Its operations are made by hand, because they need an owner: without one the
//! module could be unloaded under an open file.

use super::{
    fault::{self, Answers, Fault, Outcome},
    mapping::Mapping,
    series::this_module,
    task::UserBytes,
};
use crate::guard::{on, Guard};
use core::{cell::UnsafeCell, marker::PhantomData, ptr};
use kernel::{
    bindings, current,
    error::{from_err_ptr, from_result, to_result},
    prelude::*,
};
use twz_abi::Rights;

/// What an open of the device is.
pub(crate) trait Device: Send + Sync + Sized + 'static {
    fn open() -> Result<Pin<KBox<Self>>>;
    fn command(&self, file: &DeviceFile, number: u32, address: usize) -> Result<isize>;
    /// Copies something out; how many bytes.
    fn read(&self, to: &UserBytes) -> Result<usize>;
    /// Refuses a mapping.
    fn map(&self, request: &MapRequest<'_>) -> Result;
    fn fault(&self, fault: &mut Fault<'_>, huge: bool) -> Outcome;
    /// The last reference is gone.
    fn close(&self);
}

impl<D: Device> Answers for Opened<D> {
    fn answer(&self, fault: &mut Fault<'_>, huge: bool) -> Outcome {
        self.0.fault(fault, huge)
    }
}

/// What a file's private data points to.
#[repr(transparent)]
struct Opened<D>(D);

/// A mapping that is asked for.
pub(crate) struct MapRequest<'a>(&'a bindings::vm_area_desc);

impl<'a> MapRequest<'a> {
    pub(super) fn new(description: &'a bindings::vm_area_desc) -> Self {
        Self(description)
    }

    pub(crate) fn mm(&self) -> *mut bindings::mm_struct {
        self.0.mm
    }

    /// Whether stores are to reach the object itself.
    pub(crate) fn is_shared(&self) -> bool {
        let flags = self.0.vma_flags.__vma_flags.first().copied().unwrap_or(0);
        flags & super::bindings::TWZ_VM_MAYSHARE as usize != 0 || !on(Guard::Private)
    }

    /// One past the last page of the file that is asked for.
    pub(crate) fn end(&self) -> u64 {
        self.0.pgoff as u64 + ((self.0.end - self.0.start) >> 12) as u64
    }
}

/// An open file of the device, for the time of a call.
pub(crate) struct DeviceFile(*mut bindings::file);

/// A descriptor that was made and has no number yet, or has one and was not told.
///
/// # Invariants
///
/// `number` is reserved for this thread; `file` is a reference of ours.
pub(crate) struct NewDescriptor {
    number: u32,
    file: *mut bindings::file,
}

impl NewDescriptor {
    /// # Safety
    ///
    /// `file` must be a reference that the caller gives up.
    pub(super) unsafe fn new(file: *mut bindings::file) -> Result<Self> {
        // SAFETY: no preconditions.
        let number = unsafe { bindings::get_unused_fd_flags(bindings::O_CLOEXEC) };
        if number < 0 {
            // SAFETY: as the caller promises.
            unsafe { bindings::fput(file) };
            return Err(Error::from_errno(number));
        }
        Ok(Self { number: number as u32, file })
    }

    /// The number it will have.
    pub(crate) fn number(&self) -> i32 {
        self.number as i32
    }

    /// Gives it to the process. From now on any thread can use it.
    pub(crate) fn install(self) {
        // SAFETY: by the type invariant; both are given away, so not dropped.
        unsafe { bindings::fd_install(self.number, self.file) };
        core::mem::forget(self);
    }
}

impl Drop for NewDescriptor {
    fn drop(&mut self) {
        // SAFETY: by the type invariant.
        unsafe {
            bindings::put_unused_fd(self.number);
            bindings::fput(self.file);
        }
    }
}

impl DeviceFile {
    /// Opens the device once more, by the path of this very file, for mappings
    /// that belong to `mapping`. It must outlive what `D::open` made.
    pub(crate) fn open_again<D: Device>(
        &self,
        mapping: &Mapping,
        tell: impl FnOnce(&D),
    ) -> Result<NewDescriptor> {
        // SAFETY: 1. `self` is open, so its path is valid; 2. the new file's
        // private data is what `D::open` made; 3. nobody has it yet, so its mappings
        // may still be put elsewhere.
        unsafe {
            let path = ptr::addr_of!((*self.0).__bindgen_anon_1.__f_path);
            let flags = (bindings::O_RDWR | bindings::O_CLOEXEC) as _;
            let file = from_err_ptr(bindings::dentry_open(path, flags, (*self.0).f_cred))?;
            (*file).f_mapping = mapping.raw();
            tell(&*(*file).private_data.cast::<D>());
            NewDescriptor::new(file)
        }
    }
}

/// Asks about the mapping of the calling process at `address`, if it is one of
/// the device's: what the file is, which of its pages is there, and what the
/// mapping allows.
pub(crate) fn mapped_at<D: Device, R>(
    address: usize,
    ask: impl FnOnce(&D, u64, Rights) -> R,
) -> Option<R> {
    let task = current!();
    let mm = task.mm()?;
    let guard = mm.mmap_read_lock();
    let vma = guard.vma_lookup(address)?;
    let raw = vma.as_ptr();
    if !fault::is_answered_by::<Opened<D>>(raw) {
        return None;
    }
    // SAFETY: the lock keeps the VMA, which holds the file; whose private data is
    // a `D`, since it is answered by one.
    let (opened, first) =
        unsafe { (&*(*(*raw).vm_file).private_data.cast::<D>(), (*raw).vm_pgoff as u64) };
    let page = first + ((address - vma.start()) >> 12) as u64;
    Some(ask(opened, page, fault::protection(vma.flags() as usize)))
}

/// The device's file that a VMA shows, if it does.
///
/// # Safety
///
/// `vma` must be valid, and locked, for `'a`.
pub(super) unsafe fn shown_by<'a, D: Device>(vma: *mut bindings::vm_area_struct) -> Option<&'a D> {
    // SAFETY: the VMA holds its file; whose private data is a `D`, since it is answered by one.
    fault::is_answered_by::<Opened<D>>(vma)
        .then(|| unsafe { &*(*(*vma).vm_file).private_data.cast::<D>() })
}

/// The device, while it is there.
pub(crate) struct Registration<D> {
    device: KBox<UnsafeCell<bindings::miscdevice>>,
    _device: PhantomData<D>,
}

// SAFETY: registered and deregistered by whoever; nothing else is done with it.
unsafe impl<D> Send for Registration<D> {}
// SAFETY: nothing can be done with a shared reference.
unsafe impl<D> Sync for Registration<D> {}

impl<D: Device> Registration<D> {
    pub(crate) fn new(name: &'static CStr) -> Result<Self> {
        let mut device: bindings::miscdevice = pin_init::zeroed();
        device.minor = bindings::MISC_DYNAMIC_MINOR as _;
        device.name = name.as_char_ptr();
        device.fops = Table::<D>::OPERATIONS;
        device.mode = 0o660;
        let device = KBox::new(UnsafeCell::new(device), GFP_KERNEL)?;
        // SAFETY: it stays in its box until it is deregistered.
        to_result(unsafe { bindings::misc_register(device.get()) })?;
        Ok(Self { device, _device: PhantomData })
    }
}

impl<D> Drop for Registration<D> {
    fn drop(&mut self) {
        // SAFETY: registered by `new`.
        unsafe { bindings::misc_deregister(self.device.get()) };
    }
}

struct Table<D>(PhantomData<D>);

impl<D: Device> Table<D> {
    const OPERATIONS: &'static bindings::file_operations = &bindings::file_operations {
        owner: this_module(),
        open: Some(Self::open),
        release: Some(Self::release),
        unlocked_ioctl: Some(Self::command),
        read: Some(Self::read),
        mmap_prepare: Some(Self::map),
        get_unmapped_area: Some(super::bindings::thp_get_unmapped_area),
        llseek: Some(bindings::noop_llseek),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// For the kernel to call, about a file of ours.
    unsafe extern "C" fn open(
        _: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> kernel::ffi::c_int {
        from_result(|| {
            // SAFETY: a box that is pinned is not moved; `release` takes it back.
            let opened = KBox::into_raw(unsafe { Pin::into_inner_unchecked(D::open()?) });
            // SAFETY: the kernel hands us a file that is being opened.
            unsafe { (*file).private_data = opened.cast() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// For the kernel to call, about a file of ours.
    unsafe extern "C" fn release(
        _: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> kernel::ffi::c_int {
        // SAFETY: from `open`; this is the last that is done with the file.
        let opened =
            unsafe { Pin::new_unchecked(KBox::from_raw((*file).private_data.cast::<D>())) };
        opened.close();
        0
    }

    /// # Safety
    ///
    /// For the kernel to call, about a file of ours.
    unsafe extern "C" fn command(
        file: *mut bindings::file,
        number: kernel::ffi::c_uint,
        address: usize,
    ) -> isize {
        // SAFETY: from `open`; the file is open during the call.
        let opened = unsafe { &*(*file).private_data.cast::<D>() };
        match opened.command(&DeviceFile(file), number, address) {
            Ok(value) => value,
            Err(error) => error.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// For the kernel to call, about a file of ours.
    unsafe extern "C" fn read(
        file: *mut bindings::file,
        to: *mut kernel::ffi::c_char,
        len: usize,
        _: *mut bindings::loff_t,
    ) -> isize {
        // SAFETY: from `open`; the file is open during the call.
        let opened = unsafe { &*(*file).private_data.cast::<D>() };
        match opened.read(&UserBytes::new(to as usize, len)) {
            Ok(bytes) => bytes as isize,
            Err(error) => error.to_errno() as isize,
        }
    }

    /// # Safety
    ///
    /// For the kernel to call, about a file of ours.
    unsafe extern "C" fn map(description: *mut bindings::vm_area_desc) -> kernel::ffi::c_int {
        from_result(|| {
            // SAFETY: the kernel hands us a description that is ours to change.
            let description = unsafe { &mut *description };
            // SAFETY: from `open`; the file is open during the call.
            let opened = unsafe { &*(*description.file).private_data.cast::<D>() };
            opened.map(&MapRequest(description))?;
            fault::prepare::<Opened<D>>(description)?;
            Ok(0)
        })
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Objects as files: from the kernel's calls on a descriptor to the trait
//! [`Descriptor`], and the anonymous inodes under them ([`InodeFile`]).

use super::{
    device::{MapRequest, NewDescriptor},
    fault::{self, Answers, Fault, Outcome},
    mapping::InodeMapping,
    series::this_module,
};
use core::{marker::PhantomData, ptr};
use kernel::{
    bindings,
    error::{from_err_ptr, from_result},
    iov::{IovIterDest, IovIterSource},
    prelude::*,
};
use twz_abi::{Rights, MAX_DATA};

/// What a descriptor of an object is.
pub(crate) trait Descriptor: Send + Sync + Sized + 'static {
    /// Opens the object whose inode has this `tag`, if its inode is still
    /// [the same](InodeFile::is) as the one at `inode`.
    fn open(tag: u64, inode: usize, rights: Rights) -> Result<KBox<Self>>;
    fn read(&self, at: u64, to: &mut IovIterDest<'_>) -> Result<usize>;
    /// Writes at `at`, or at the end; returns where that was, and how much.
    fn write(&self, at: Option<u64>, from: &mut IovIterSource<'_>) -> Result<(u64, usize)>;
    fn size(&self) -> Result<u64>;
    /// Pages that the object whose inode has this `tag` takes.
    fn pages(tag: u64) -> Result<u64>;
    /// The next byte from `at` on that is data, or that is not.
    fn seek(&self, at: u64, data: bool) -> Result<u64>;
    fn resize(&self, size: u64) -> Result;
    fn reserve(&self, from: u64, to: u64, keep_size: bool) -> Result;
    fn punch(&self, from: u64, to: u64) -> Result;
    fn sync(&self, from: u64, to: u64) -> Result;
    fn map(&self, request: &MapRequest<'_>) -> Result;
    fn fault(&self, fault: &mut Fault<'_>, huge: bool) -> Outcome;
    fn close(&self);
}

/// The file that keeps an object's inode.
///
/// # Invariants
///
/// `file` is an anonymous file, referenced, whose inode is nobody else's and has
/// the operations of the type it was made for.
pub(crate) struct InodeFile(*mut bindings::file);

// SAFETY: a reference to a file can be held and dropped by any thread.
unsafe impl Send for InodeFile {}
// SAFETY: what takes `&self` does what the kernel allows several threads to do.
unsafe impl Sync for InodeFile {}

impl InodeFile {
    /// An inode for descriptors of type `D`.
    pub(crate) fn new<D: Descriptor>(tag: u64, size: u64) -> Result<Self> {
        // SAFETY: the operations are static; the name is a string. Nobody has
        // the inode yet, so it may be changed.
        unsafe {
            let file = from_err_ptr(super::bindings::anon_inode_create_getfile(
                c"[twz-object]".as_ptr().cast(),
                &NO_OPERATIONS.0,
                ptr::null_mut(),
                bindings::O_RDWR as _,
                ptr::null(),
            ))?;
            let inode = (*file).f_inode;
            (*inode).i_mode = (bindings::S_IFREG | 0o600) as _;
            (*inode).i_size = size as i64;
            (*inode).i_op = Inodes::<D>::OPERATIONS;
            (*inode).__bindgen_anon_3.i_fop = Files::<D>::OPERATIONS;
            (*inode).i_private = tag as usize as *mut _;
            Ok(Self(file))
        }
    }

    fn inode(&self) -> *mut bindings::inode {
        // SAFETY: by the type invariant.
        unsafe { (*self.0).f_inode }
    }

    /// Whether this is the inode at this address.
    pub(crate) fn is(&self, inode: usize) -> bool {
        self.inode() as usize == inode
    }

    pub(crate) fn mapping(&self) -> InodeMapping<'_> {
        // SAFETY: the inode lives as long as this file.
        unsafe { InodeMapping::new((*self.inode()).i_mapping) }
    }

    /// Says how large the object is now. The caller holds what keeps two from
    /// saying it at once.
    pub(crate) fn set_size(&self, size: u64) {
        // SAFETY: by the type invariant; readers of the size read it as one word.
        unsafe { ptr::addr_of_mut!((*self.inode()).i_size).write_volatile(size as i64) };
    }

    /// A reference of its own, for who lets go of locks.
    pub(crate) fn again(&self) -> Self {
        // SAFETY: by the type invariant the file is referenced.
        unsafe { bindings::get_file(self.0) };
        Self(self.0)
    }

    /// A descriptor of the object: `Descriptor::open` is asked.
    /// Nobody else can open the inode, by a name in /proc least of all.
    pub(crate) fn descriptor(&self, rights: Rights) -> Result<NewDescriptor> {
        let access = match (rights.contains(Rights::READ), rights.contains(Rights::WRITE)) {
            (true, true) => bindings::O_RDWR,
            (false, true) => bindings::O_WRONLY,
            _ => bindings::O_RDONLY,
        };
        // SAFETY: the path is that of a file we have a reference to; what comes back
        // is a reference.
        unsafe {
            let path = ptr::addr_of!((*self.0).__bindgen_anon_1.__f_path);
            let flags = (access | bindings::O_CLOEXEC | bindings::O_LARGEFILE | OURS) as _;
            let file = from_err_ptr(bindings::dentry_open(path, flags, (*self.0).f_cred))?;
            NewDescriptor::new(file)
        }
    }
}

impl Drop for InodeFile {
    fn drop(&mut self) {
        // SAFETY: by the type invariant, the reference is ours to give up.
        unsafe { bindings::fput(self.0) };
    }
}

/// The file that keeps the inode can do nothing.
static NO_OPERATIONS: super::mapping::Operations = super::mapping::Operations(pin_init::zeroed());

/// The lock of an inode, held: writes and changes of size, one at a time.
struct Locked(*mut bindings::inode);

impl Locked {
    /// # Safety
    ///
    /// `file` must be open for as long as this lives.
    unsafe fn new(file: *mut bindings::file) -> Self {
        // SAFETY: as the caller promises.
        unsafe {
            let inode = (*file).f_inode;
            bindings::down_write(ptr::addr_of_mut!((*inode).i_rwsem));
            Self(inode)
        }
    }
}

impl Drop for Locked {
    fn drop(&mut self) {
        // SAFETY: held since `new`.
        unsafe { bindings::up_write(ptr::addr_of_mut!((*self.0).i_rwsem)) };
    }
}

/// What a file's private data points to.
#[repr(transparent)]
struct Opened<D>(D);

impl<D: Descriptor> Answers for Opened<D> {
    fn answer(&self, fault: &mut Fault<'_>, huge: bool) -> Outcome {
        self.0.fault(fault, huge)
    }
}

/// # Safety
///
/// `file` must be one that `Files::<D>::open` opened, and open during `'a`.
unsafe fn opened<'a, D>(file: *mut bindings::file) -> &'a D {
    // SAFETY: as the caller promises.
    unsafe { &*(*file).private_data.cast::<D>() }
}

/// The descriptor that a VMA shows, if it does.
///
/// # Safety
///
/// `vma` must be valid, and locked, for `'a`.
pub(super) unsafe fn shown_by<'a, D: Descriptor>(
    vma: *mut bindings::vm_area_struct,
) -> Option<&'a D> {
    // SAFETY: the VMA holds its file, which is ours if it is answered by us.
    fault::is_answered_by::<Opened<D>>(vma).then(|| unsafe { opened((*vma).vm_file) })
}

struct Inodes<D>(PhantomData<D>);

impl<D: Descriptor> Inodes<D> {
    const OPERATIONS: &'static bindings::inode_operations = &bindings::inode_operations {
        setattr: Some(Self::set),
        getattr: Some(Self::get),
        ..pin_init::zeroed()
    };

    /// What every file has, and the storage that the object has now.
    ///
    /// # Safety
    ///
    /// For the kernel to call, about an inode or a file of ours.
    unsafe extern "C" fn get(
        map: *mut bindings::mnt_idmap,
        path: *const bindings::path,
        stat: *mut bindings::kstat,
        wanted: u32,
        _: kernel::ffi::c_uint,
    ) -> kernel::ffi::c_int {
        // SAFETY: the kernel hands us a valid path and a place for the answer.
        unsafe {
            let inode = (*(*path).dentry).d_inode;
            bindings::generic_fillattr(map, wanted, inode, stat);
            (*stat).blocks = D::pages((*inode).i_private as u64).unwrap_or(0) * 8;
        }
        0
    }

    /// Only the size can be set.
    ///
    /// # Safety
    ///
    /// For the kernel to call, about an inode or a file of ours.
    unsafe extern "C" fn set(
        _: *mut bindings::mnt_idmap,
        _: *mut bindings::dentry,
        wanted: *mut bindings::iattr,
    ) -> kernel::ffi::c_int {
        from_result(|| {
            // SAFETY: the kernel hands us a valid request.
            let wanted = unsafe { &*wanted };
            let file = wanted.ia_valid & bindings::ATTR_FILE != 0 && !wanted.ia_file.is_null();
            if wanted.ia_valid & bindings::ATTR_SIZE == 0 || !file {
                return Err(EPERM);
            }
            // SAFETY: an operation of an inode that has our files only.
            unsafe { opened::<D>(wanted.ia_file) }.resize(wanted.ia_size as u64)?;
            Ok(0)
        })
    }
}

struct Files<D>(PhantomData<D>);

impl<D: Descriptor> Files<D> {
    const OPERATIONS: &'static bindings::file_operations = &bindings::file_operations {
        owner: this_module(),
        open: Some(Self::open),
        release: Some(Self::release),
        llseek: Some(Self::seek),
        read_iter: Some(Self::read),
        write_iter: Some(Self::write),
        splice_read: Some(bindings::copy_splice_read),
        splice_write: Some(bindings::iter_file_splice_write),
        mmap_prepare: Some(Self::map),
        get_unmapped_area: Some(super::bindings::thp_get_unmapped_area),
        fsync: Some(Self::sync),
        fallocate: Some(Self::allocate),
        ..pin_init::zeroed()
    };

    /// # Safety
    ///
    /// For the kernel to call, about an inode or a file of ours.
    unsafe extern "C" fn open(
        inode: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> kernel::ffi::c_int {
        from_result(|| {
            // SAFETY: the kernel hands us a file that is being opened, of an inode
            // that `InodeFile::new` made.
            let (tag, flags) = unsafe { ((*inode).i_private as u64, (*file).f_flags) };
            if flags & OURS == 0 {
                return Err(EACCES);
            }
            // SAFETY: as above.
            unsafe { (*file).f_flags = flags & !OURS };
            let access = flags & 3;
            let rights = match access {
                bindings::O_RDONLY => Rights::READ,
                bindings::O_WRONLY => Rights::WRITE,
                _ => Rights::READ.or(Rights::WRITE),
            };
            let made = D::open(tag, inode as usize, rights)?;
            // SAFETY: as above; `release` takes it back.
            unsafe { (*file).private_data = KBox::into_raw(made).cast() };
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// For the kernel to call, about an inode or a file of ours.
    unsafe extern "C" fn release(
        _: *mut bindings::inode,
        file: *mut bindings::file,
    ) -> kernel::ffi::c_int {
        // SAFETY: from `open`; this is the last that is done with the file.
        unsafe { KBox::from_raw((*file).private_data.cast::<D>()) }.close();
        0
    }

    /// # Safety
    ///
    /// For the kernel to call, about an inode or a file of ours.
    unsafe extern "C" fn read(call: *mut bindings::kiocb, to: *mut bindings::iov_iter) -> isize {
        result(|| {
            // SAFETY: the kernel hands us both for the time of the call.
            let (call, to) = unsafe { (&mut *call, IovIterDest::from_raw(to)) };
            let at = u64::try_from(call.ki_pos).map_err(|_| EINVAL)?;
            // SAFETY: an operation of our files only.
            let n = unsafe { opened::<D>(call.ki_filp) }.read(at, to)?;
            call.ki_pos += n as i64;
            Ok(n as isize)
        })
    }

    /// # Safety
    ///
    /// For the kernel to call, about an inode or a file of ours.
    unsafe extern "C" fn write(call: *mut bindings::kiocb, from: *mut bindings::iov_iter) -> isize {
        result(|| {
            // SAFETY: the kernel hands us both for the time of the call.
            let (call, from) = unsafe { (&mut *call, IovIterSource::from_raw(from)) };
            let at = u64::try_from(call.ki_pos).map_err(|_| EINVAL)?;
            let append = call.ki_flags as u32 & super::bindings::TWZ_IOCB_APPEND as u32 != 0;
            let sync = call.ki_flags as u32 & super::bindings::TWZ_IOCB_DSYNC as u32 != 0;
            // SAFETY: an operation of our files only; the file is open.
            let (file, _one_at_a_time) =
                unsafe { (opened::<D>(call.ki_filp), Locked::new(call.ki_filp)) };
            let (start, n) = file.write((!append).then_some(at), from)?;
            call.ki_pos = (start + n as u64) as i64;
            if sync {
                file.sync(start, start + n as u64)?;
            }
            Ok(n as isize)
        })
    }

    /// # Safety
    ///
    /// For the kernel to call, about an inode or a file of ours.
    unsafe extern "C" fn seek(
        file: *mut bindings::file,
        offset: bindings::loff_t,
        whence: kernel::ffi::c_int,
    ) -> bindings::loff_t {
        let seek = || -> Result<bindings::loff_t> {
            // SAFETY: an operation of our files only; the file is open.
            let this = unsafe { opened::<D>(file) };
            let size = this.size()?;
            let data = match whence as u32 {
                super::bindings::SEEK_DATA => true,
                super::bindings::SEEK_HOLE => false,
                _ => {
                    // SAFETY: as above.
                    return Ok(unsafe {
                        bindings::generic_file_llseek_size(
                            file,
                            offset,
                            whence,
                            MAX_DATA as i64,
                            size as i64,
                        )
                    });
                }
            };
            let at = u64::try_from(offset).ok().filter(|at| *at < size).ok_or(ENXIO)?;
            let found = this.seek(at, data)? as i64;
            // SAFETY: as above.
            Ok(unsafe { bindings::vfs_setpos(file, found, MAX_DATA as i64) })
        };
        seek().unwrap_or_else(|error| error.to_errno() as i64)
    }

    /// # Safety
    ///
    /// For the kernel to call, about an inode or a file of ours.
    unsafe extern "C" fn map(description: *mut bindings::vm_area_desc) -> kernel::ffi::c_int {
        from_result(|| {
            // SAFETY: the kernel hands us a description that is ours to change.
            let description = unsafe { &mut *description };
            // SAFETY: an operation of our files only.
            let this = unsafe { opened::<D>(description.file) };
            this.map(&MapRequest::new(description))?;
            fault::prepare::<Opened<D>>(description)?;
            Ok(0)
        })
    }

    /// # Safety
    ///
    /// For the kernel to call, about an inode or a file of ours.
    unsafe extern "C" fn sync(
        file: *mut bindings::file,
        from: bindings::loff_t,
        to: bindings::loff_t,
        _: kernel::ffi::c_int,
    ) -> kernel::ffi::c_int {
        // SAFETY: an operation of our files only; the file is open.
        let this = unsafe { opened::<D>(file) };
        let (from, to) = (from.max(0) as u64, to.max(0) as u64);
        from_result(|| this.sync(from, to.saturating_add(1)).map(|()| 0))
    }

    /// # Safety
    ///
    /// For the kernel to call, about an inode or a file of ours.
    unsafe extern "C" fn allocate(
        file: *mut bindings::file,
        mode: kernel::ffi::c_int,
        offset: bindings::loff_t,
        len: bindings::loff_t,
    ) -> kernel::ffi::c_long {
        result(|| {
            // SAFETY: an operation of our files only; the file is open.
            let (this, _one_at_a_time) = unsafe { (opened::<D>(file), Locked::new(file)) };
            // The kernel has checked that neither is negative nor the sum too large.
            let (from, to) = (offset as u64, (offset as u64).saturating_add(len as u64));
            match mode as u32 {
                0 => this.reserve(from, to, false)?,
                super::bindings::FALLOC_FL_KEEP_SIZE => this.reserve(from, to, true)?,
                PUNCH => this.punch(from, to)?,
                _ => return Err(Error::from_errno(-(bindings::EOPNOTSUPP as i32))),
            }
            Ok(0)
        })
    }
}

/// A flag of an open that programs cannot give: the kernel takes those away that
/// it does not know.
const OURS: u32 = 1 << 30;

const PUNCH: u32 = super::bindings::FALLOC_FL_KEEP_SIZE | super::bindings::FALLOC_FL_PUNCH_HOLE;

fn result(act: impl FnOnce() -> Result<isize>) -> isize {
    act().unwrap_or_else(|error| error.to_errno() as isize)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pool that the kernel module serves, behind `/dev/twz`.
//!
//! Every command is one call of [`crate::raw::ioctl`]. Mapping is not: a space's
//! arena is mapped once from its view ([`attach`]), and from then on the kernel
//! fills it in at the page fault, by what the view's entries say and the
//! security context grants. `kmod/abi/INTERFACE.md` is the contract.

mod attach;
mod backend;
mod contexts;
mod said;

use std::{
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use twz_abi::ObjectId;

use crate::{error::Result, raw::ioctl::Session};

/// Where the device is unless `TWZ_DEVICE` says otherwise.
pub const DEVICE: &str = "/dev/twz";

/// The kernel module's pool, open: one session.
pub struct KernelPool {
    path: PathBuf,
    session: Session,
    view: CurrentView,
}

/// The view that an arena shows.
#[derive(Default)]
struct CurrentView {
    /// Low and high half of its id; zeros before there is one.
    id: [AtomicU64; 2],
    /// Whether others may use it too.
    shared: AtomicBool,
    /// Which address space it was mapped in: [`Session::count`], and 1 more.
    mapped: AtomicU32,
    /// When that was, in milliseconds.
    at: AtomicU64,
    /// One thread at a time maps.
    busy: AtomicBool,
}

impl CurrentView {
    fn id(&self) -> ObjectId {
        let [lo, hi] = &self.id;
        ObjectId { lo: lo.load(Ordering::Acquire), hi: hi.load(Ordering::Acquire) }
    }

    fn set(&self, id: ObjectId, shared: bool) {
        self.id[0].store(id.lo, Ordering::Release);
        self.id[1].store(id.hi, Ordering::Release);
        self.shared.store(shared, Ordering::Release);
    }
}

/// Where the device is: `$TWZ_DEVICE`, else [`DEVICE`].
pub fn device() -> PathBuf {
    match std::env::var_os("TWZ_DEVICE").filter(|path| !path.is_empty()) {
        Some(path) => path.into(),
        None => DEVICE.into(),
    }
}

impl KernelPool {
    /// Opens a session on the device at `path`.
    pub fn open(path: &Path) -> Result<Self> {
        let session = Session::open(path)?;
        Ok(Self { path: path.into(), session, view: CurrentView::default() })
    }

    /// The device.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

// SPDX-License-Identifier: GPL-2.0
//! The module's one window on the kernel: the only folder with `unsafe` in it.
//!
//! Each file makes one thing of the kernel safe to use, and decides nothing:
//! what a fault maps, who may do what, is asked of the traits [`Device`] and
//! [`Descriptor`], which the rest of the module implements.

pub(crate) mod bindings;
mod device;
mod fault;
mod global;
mod hooks;
mod inode;
mod lock;
mod mapping;
mod memory;
mod page;
mod param;
mod pmem;
mod series;
mod task;
mod tick;

pub(crate) use device::{mapped_at, Device, DeviceFile, MapRequest, Registration};
pub(crate) use fault::{Fault, Mapped, Outcome};
pub(crate) use global::{serve, space, Serving};
pub(crate) use hooks::{Heirs, Hooks};
pub(crate) use inode::{Descriptor, InodeFile};
pub(crate) use lock::RwSem;
pub(crate) use mapping::{InodeMapping, Mapping};
pub(crate) use memory::{current_key, hide, unhide, Company, Memory, Owner, Part, Shows};
pub(crate) use page::{Frame, KernelPage};
pub(crate) use param::device_path;
#[cfg(twz_weaken)]
pub(crate) use param::weakened;
pub(crate) use pmem::Pmem;
pub(crate) use series::is_set;
pub(crate) use task::{
    linger, may_finish, may_go_on, may_log, may_read_all, process, random, thread, widen, Caller,
    UserBytes,
};
pub(crate) use tick::{now, tick_soon, Tick, Ticking};

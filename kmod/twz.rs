// SPDX-License-Identifier: GPL-2.0
//! twz.ko: an object space on a DAX device, mapped by views at page faults.
//!
//! `twz_abi` says what bytes mean and `twz_core` decides; here is what obeys:
//! one noun a file, and `sys/`, the one window on the kernel, with all of the
//! module's `unsafe`. Where to begin: `space.rs` for what there is and the order
//! of the locks, `fault.rs` for what happens at a fault, `command.rs` for ioctls.
#![deny(unsafe_code)]

use kernel::prelude::*;

mod attach;
mod command;
mod debugfs;
mod decisions;
mod descriptor;
mod error;
mod fault;
mod guard;
mod inode;
mod live;
mod look;
mod member;
mod names;
mod object;
mod provide;
mod refusals;
mod secctx;
mod session;
mod show;
mod slot;
mod space;
mod stats;
mod switch;
#[allow(unsafe_code)]
mod sys;
mod turn;
mod view;
mod wait;

module! {
    type: Twz,
    name: "twz",
    authors: ["The Twizzler on Linux developers"],
    description: "Twizzler objects on persistent memory",
    license: "GPL",
    params: {
        read_only: u8 {
            default: 0,
            description: "1: change nothing on the device",
        },
        debug: u8 {
            default: 0,
            description: "1: a line in the log for every refusal, not ten in five seconds",
        },
    },
}

/// The module while it is loaded; dropped from the first field to the last.
struct Twz {
    _device: sys::Registration<session::Session>,
    _files: Pin<KBox<debugfs::Files>>,
    _hooks: sys::Hooks<member::Inheritance>,
    _ticking: sys::Ticking,
    _space: sys::Serving,
}

impl kernel::Module for Twz {
    fn init(_module: &'static ThisModule) -> Result<Self> {
        let path = sys::device_path();
        let read_only = sys::is_set(module_parameters::read_only.value());
        let media = sys::Pmem::open(path).inspect_err(|error| {
            pr_err!("cannot hold {path:?}: {error:?}; name a DAX device with pmem=\n");
        })?;
        let space = space::Space::open(media, read_only).map_err(|refusal| refusal.errno)?;
        let pages = space.pages;
        let serving = sys::serve(space);
        let ticking = sys::Ticking::start::<space::Space>();
        let hooks = sys::Hooks::new().inspect_err(|error| {
            pr_err!("this kernel does not tell of fork and exec: {error:?}\n");
        })?;
        let files = KBox::pin_init(debugfs::Files::new(), GFP_KERNEL)?;
        let device = sys::Registration::new(c"twz")?;
        pr_info!(
            "serving {pages} pages on {path:?}{}\n",
            if read_only { ", read-only" } else { "" }
        );
        Ok(Self {
            _device: device,
            _files: files,
            _hooks: hooks,
            _ticking: ticking,
            _space: serving,
        })
    }
}

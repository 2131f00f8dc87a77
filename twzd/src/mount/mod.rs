// SPDX-License-Identifier: MIT OR Apache-2.0
//! A pool as a file system: names are its directories and files, and a file's bytes
//! are an object's data. MOUNT.md says what is where, and what it promises.
//!
//! [`Fs`] is the file system, over any pool: its names in [`tree`], and how they are spelled
//! in [`spelling`], what is open in [`open`], what is in a file in [`content`] and [`piece`],
//! what is seen of it in [`look`], what POSIX wants besides in [`attr`], [`table`],
//! [`xattr`], [`acl`], [`access`] and [`links`], which inodes there are in [`nodes`]. [`calls`], [`reply`]
//! and [`seek`] answer the kernel with it, and [`serve`] mounts it and takes it down.

mod access;
mod acl;
mod attr;
mod calls;
mod content;
mod links;
mod look;
mod nodes;
mod open;
mod piece;
mod reply;
mod seek;
mod serve;
mod spelling;
mod table;
mod tree;
mod xattr;

use std::{cell::RefCell, collections::HashMap};

use fuser::Errno;
use twz::{Backend, Error, ObjectId, ObjectStat};

use self::{
    attr::Attr,
    nodes::{Dir, Nodes, ROOT},
    open::Listing,
    table::Table,
};

pub use self::{
    nodes::SERVER,
    serve::{Cache, Options, mount_point, serve, unmount},
    table::HIDDEN,
};

/// What an object of housekeeping in the root is named.
const PROCESSES: &str = ".processes";

/// A pool as a file system.
pub struct Fs {
    pool: Box<dyn Backend>,
    /// The names are a real directory, and files have times of their own.
    native: bool,
    read_only: bool,
    /// Nobody else has the pool.
    alone: bool,
    /// What is known of objects then.
    stats: RefCell<HashMap<ObjectId, ObjectStat>>,
    /// Whom what has no owner belongs to: who mounted it.
    owner: (u32, u32),
    /// When the pool was made: the time of what has no times.
    since: i64,
    table: Table,
    nodes: Nodes,
    /// Of open directories, by handle: which one, and what was in it.
    listings: HashMap<u64, (u64, Listing)>,
    last_handle: u64,
}

impl Fs {
    /// The file system of a pool.
    pub fn new(pool: Box<dyn Backend>, read_only: bool) -> twz::Result<Self> {
        let info = pool.info()?;
        let read_only = read_only || info.read_only;
        let table = Table::open(&*pool, read_only)?;
        let owner = (nix::unistd::geteuid().as_raw(), nix::unistd::getegid().as_raw());
        let since = i64::try_from(info.created).unwrap_or(0).saturating_mul(1_000_000_000);
        let root = Dir::new(ROOT, "", table.object(), Attr::of_directory(since, owner));
        Ok(Self {
            native: info.home == "directory",
            read_only,
            alone: info.home == "image",
            stats: RefCell::default(),
            owner,
            since,
            table,
            nodes: Nodes::new(root),
            listings: HashMap::new(),
            last_handle: 0,
            pool,
        })
    }

    /// Makes all that was done so far durable.
    pub fn sync(&mut self) -> twz::Result<()> {
        if self.read_only {
            return Ok(());
        }
        self.table.flush(&*self.pool)?;
        self.pool.sync_all()
    }
}

/// What a program is told of an error.
fn errno(error: Error) -> Errno {
    match &error {
        Error::BadSize(_) | Error::ObjectFull { .. } => Errno::EFBIG,
        // What the daemon has no room for, no program that asks it has too many of.
        other if other.errno() == libc::EMFILE => Errno::ENFILE,
        other => Errno::from_i32(other.errno()),
    }
}

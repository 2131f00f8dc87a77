// SPDX-License-Identifier: MIT OR Apache-2.0
//! How many links a directory has. A pool's names have no such count: a host's file system
//! may keep one, and of any other it is counted once and kept up by [`super::tree`].

use twz::Binding;

use super::{
    Fs, PROCESSES,
    nodes::{Dir, ROOT},
    xattr::PLACE,
};

impl Fs {
    /// How many links a directory has: its own, the one in it, and one in each below.
    pub(super) fn links(&self, ino: u64, dir: &Dir) -> u32 {
        if dir.gone {
            return 0;
        }
        // A real directory knows, whoever made those below.
        if self.native || dir.below.get().is_none() {
            dir.below.set(self.count_dirs(ino));
        }
        // 1 says that nobody counts.
        dir.below.get().map_or(1, |below| below.saturating_add(2))
    }

    fn count_dirs(&self, ino: u64) -> Option<u32> {
        let below = self.pool.count_dirs(&self.nodes.path(ino)?).ok()?;
        if ino != ROOT {
            return Some(below);
        }
        let here = |name: &&str| matches!(self.pool.lookup(name), Ok(Binding::Directory));
        let hidden = [PROCESSES, PLACE].iter().filter(|name| here(name)).count();
        below.checked_sub(hidden as u32)
    }

    /// Directories came or went: how many are left is to be counted.
    pub(super) fn uncount(&self, ino: u64) {
        if let Some(dir) = self.nodes.dir(ino) {
            dir.below.set(None);
        }
    }

    /// There are more directories in a directory, or fewer.
    pub(super) fn count(&self, ino: u64, more: i32) {
        if let Some(dir) = self.nodes.dir(ino) {
            dir.below.set(dir.below.get().and_then(|below| below.checked_add_signed(more)));
        }
    }
}

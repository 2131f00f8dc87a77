// SPDX-License-Identifier: MIT OR Apache-2.0
//! The pool directory as a [`Backend`]: each method is the one beside it.

use std::{
    fs::File,
    os::fd::{AsFd as _, OwnedFd},
    time::Duration,
};

use twz_abi::{ObjectId, Rights, ioctl::ContextState, security::Signature};
use twz_core::ident::Identity;

use super::{EmbeddedPool, paths::ObjectPath, pool::CONTROL_OFFSET};
use crate::{
    backend::{Backend, Binding, Mapped, Medium, NewObject, ObjectStat, PoolInfo, Waited, Word},
    error::{Error, Result},
    raw::{Arena, SlotWindow, futex},
};

impl Backend for EmbeddedPool {
    fn info(&self) -> Result<PoolInfo> {
        self.pool_info()
    }

    fn create(&self, new: &NewObject) -> Result<ObjectId> {
        self.create_object(new)
    }

    fn adopt(&self, identity: &Identity, new: &NewObject) -> Result<ObjectId> {
        self.adopt_object(identity, new)
    }

    fn stat(&self, id: ObjectId) -> Result<ObjectStat> {
        self.stat_object(id)
    }

    fn list(&self, visit: &mut dyn FnMut(ObjectId) -> Result<()>) -> Result<()> {
        self.list_objects(visit)
    }

    fn resize(&self, id: ObjectId, size: u64) -> Result<()> {
        self.resize_object(id, size)
    }

    fn reserve(&self, id: ObjectId, from: u64, to: u64) -> Result<()> {
        self.reserve_data(id, from, to)
    }

    fn delete(&self, id: ObjectId) -> Result<()> {
        self.delete_object(id)
    }

    fn copy(&self, source: ObjectId, new: &NewObject) -> Result<ObjectId> {
        self.copy_object(source, new)
    }

    fn read(&self, id: ObjectId, offset: u64, into: &mut [u8]) -> Result<()> {
        self.read_object(id, offset, into)
    }

    fn write(&self, id: ObjectId, offset: u64, from: &[u8]) -> Result<()> {
        self.write_object(id, offset, from)
    }

    fn sync(&self, id: ObjectId) -> Result<()> {
        for path in [ObjectPath::data(id), ObjectPath::tail(id)] {
            let file = File::from(self.open_file(id, &path, false)?);
            file.sync_all().map_err(Error::at("sync", path.within(&self.root)))?;
        }
        Ok(())
    }

    fn lookup(&self, path: &str) -> Result<Binding> {
        self.lookup_name(path)
    }

    fn bind(&self, path: &str, id: ObjectId, replace: bool) -> Result<()> {
        self.bind_name(path, id, replace)
    }

    fn unbind(&self, path: &str) -> Result<()> {
        self.unbind_name(path).map(|_| ())
    }

    fn take_name(&self, path: &str) -> Result<ObjectId> {
        self.unbind_name(path)
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        self.rename_name(from, to)
    }

    fn make_dir(&self, path: &str) -> Result<()> {
        self.make_name_dir(path)
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        self.remove_name_dir(path)
    }

    fn count_dirs(&self, path: &str) -> Result<u32> {
        if let Some(kept) = self.count_name_dirs(path)? {
            return Ok(kept);
        }
        let mut found = 0;
        self.read_name_dir(path, &mut |_, binding| {
            found += u32::from(binding == Binding::Directory);
            Ok(())
        })?;
        Ok(found)
    }

    fn read_dir(
        &self,
        path: &str,
        visit: &mut dyn FnMut(&str, Binding) -> Result<()>,
    ) -> Result<()> {
        self.read_name_dir(path, visit)
    }

    fn bump_generation(&self) -> Result<()> {
        self.bump()
    }

    fn sync_all(&self) -> Result<()> {
        self.sync_everything()
    }

    fn attach(&self, arena: &Arena, view: Option<ObjectId>) -> Result<()> {
        if self.medium() == Medium::Persistent {
            arena.map_synchronously();
        }
        arena.map_control(self.control_file(), CONTROL_OFFSET as i64, !self.read_only)?;
        match view {
            Some(id) => {
                self.require(id, Rights(Rights::READ.0 | Rights::WRITE.0))?;
                arena.map_view(self.open_file(id, &ObjectPath::data(id), true)?.as_fd())
            }
            None => arena.reset_view(),
        }
    }

    fn map(&self, id: ObjectId, window: &SlotWindow<'_>, wanted: Rights) -> Result<Mapped> {
        self.map_object(id, window, wanted)
    }

    fn map_fot(
        &self,
        id: ObjectId,
        window: &SlotWindow<'_>,
        from: u32,
        pages: u32,
        rights: Rights,
    ) -> Result<u32> {
        self.map_more_fot(id, window, from, pages, rights)
    }

    fn unmap(&self, window: &SlotWindow<'_>) -> Result<()> {
        window.clear()
    }

    fn size(&self, id: ObjectId) -> Result<u64> {
        self.size_now(id)
    }

    fn host(&self, id: ObjectId) -> Option<std::fs::Metadata> {
        std::fs::symlink_metadata(ObjectPath::data(id).within(&self.root)).ok()
    }

    fn open_data(&self, id: ObjectId, rights: Rights) -> Result<OwnedFd> {
        self.require(id, rights.or(Rights::READ))?;
        self.open_file(id, &ObjectPath::data(id), rights.contains(Rights::WRITE))
    }

    fn process_file(&self) -> Result<OwnedFd> {
        self.writable()?;
        self.open_locks()
    }

    fn medium(&self) -> Medium {
        self.medium
    }

    fn wait(&self, word: &Word<'_>, value: u64, timeout: Option<Duration>) -> Result<Waited> {
        futex::wait(word.word, value, timeout)
    }

    fn wake(&self, word: &Word<'_>, count: u64) -> Result<u64> {
        futex::wake(word.word, count)
    }

    fn may(&self, id: ObjectId) -> Result<Rights> {
        Ok(self.allowed(&self.meta(id)?.0))
    }

    fn contexts(&self) -> Result<ContextState> {
        self.state_of_contexts()
    }

    fn attach_context(&self, id: ObjectId, flags: u32, proof: Option<&Signature>) -> Result<()> {
        self.attach_to(id, flags, proof)
    }

    fn detach_context(&self, id: ObjectId) -> Result<()> {
        self.detach_from(id)
    }

    fn switch_context(&self, id: ObjectId) -> Result<()> {
        self.switch_to(id)
    }

    fn load_context(&self, id: ObjectId) -> Result<(u32, u32)> {
        self.load_anew(id)
    }

    fn revoke(&self, id: ObjectId, epoch: u64, signature: &Signature) -> Result<()> {
        self.raise_epoch(id, epoch, signature)
    }

    fn bequest(&self) -> Option<String> {
        self.context_text()
    }
}

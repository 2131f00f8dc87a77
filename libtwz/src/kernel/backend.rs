// SPDX-License-Identifier: MIT OR Apache-2.0
//! The kernel's pool as a [`Backend`]: each method is one command, or a few of
//! the same.

use std::{os::fd::OwnedFd, time::Duration};

use nix::errno::Errno;
use twz_abi::{
    DATA_START, MAX_DATA, ObjectId, PAGE, Rights, TAIL_START,
    decision::Decision,
    ioctl::{self as abi, ContextState, DirEntry},
    meta,
    name::{self, kind},
    security::Signature,
};
use twz_core::{ident::Identity, rights::Access};
use zerocopy::FromZeros as _;

use super::KernelPool;
use crate::{
    backend::{
        Backend, Binding, Mapped, Medium, NewObject, ObjectStat, PoolInfo, Touch, Waited, Word,
    },
    error::{Error, Refusal, Result},
    raw::{Arena, SlotWindow, arena::Over, ioctl::Said},
    tx::process_object,
};

/// Ids and names that are asked for at once.
const BATCH: usize = 64;

const DURABILITY: &str =
    "persistent memory: a store survives the process at once, and a power cut after 'sync'";

impl KernelPool {
    fn create_args(new: &NewObject) -> Result<abi::Create> {
        if new.size > MAX_DATA {
            return Err(Error::BadSize(new.size));
        }
        if new.flags & !meta::flags::KNOWN != 0 || !new.default_rights.check() {
            return Err(Error::Unsupported("unknown flags or rights"));
        }
        Ok(abi::Create {
            id: ObjectId::NULL,
            nonce: new.nonce.unwrap_or_default(),
            owner: new.owner,
            flags: new.flags,
            default_rights: new.default_rights.0,
            kind: new.kind,
            reserved: 0,
            fingerprint: new.fingerprint,
            size: new.size,
        })
    }

    /// What the kernel says of an object; objects that are directories too.
    pub(super) fn stat_any(&self, id: ObjectId) -> Result<abi::Stat> {
        let mut stat = abi::Stat { id, ..Default::default() };
        match self.session.ask::<{ abi::STAT }, _>(&mut stat) {
            Ok(()) => Ok(stat),
            Err(errno) => Err(self.refused(errno, id, Rights::READ)),
        }
    }

    fn resolve(&self, id: ObjectId, wanted: Rights) -> Result<abi::Resolve> {
        let mut resolve = abi::Resolve { id, wanted: wanted.0, ..Default::default() };
        match self.session.ask::<{ abi::RESOLVE }, _>(&mut resolve) {
            Ok(()) => Ok(resolve),
            Err(errno) => Err(self.refused(errno, id, wanted)),
        }
    }

    /// The components of a path are checked here too, to be told apart from
    /// what else the kernel refuses in the same way.
    fn named<T>(&self, path: &str, ask: impl FnOnce() -> Said<T>) -> Result<T> {
        let _ = name::components(path.as_bytes())
            .map_err(|error| Error::Format { what: format!("'{path}'"), error })?;
        ask().map_err(|errno| self.refused_name(errno, path))
    }

    /// What was left of a transfer goes on; none of it is an error.
    fn whole(
        &self,
        id: ObjectId,
        right: Rights,
        len: usize,
        mut part: impl FnMut(usize) -> Said<usize>,
    ) -> Result<()> {
        let mut done = 0;
        while done < len {
            match part(done) {
                Ok(0) => return Err(self.refused(Errno::EIO, id, right)),
                Ok(n) => done += n,
                Err(Errno::EINTR) => {}
                Err(Errno::EINVAL) => {
                    return Err(Error::BadPointer { why: "the bytes are not all in the object" });
                }
                Err(errno) if right == Rights::WRITE => {
                    return Err(self.refused_change(errno, id));
                }
                Err(errno) => return Err(self.refused(errno, id, right)),
            }
        }
        Ok(())
    }

    fn reserve_slot(&self, id: ObjectId, from: u64, to: u64) -> Result<()> {
        let mut reserve = abi::Reserve { id, from, to };
        let asked = self.session.ask::<{ abi::RESERVE }, _>(&mut reserve);
        asked.map_err(|errno| self.refused_size(errno, id))
    }

    fn invalidate_slots(&self, first: u32, count: u32) -> Result<()> {
        let view = self.view.id();
        // Without an arena nothing is mapped; in a child nothing is yet.
        if view == ObjectId::NULL || !self.is_mapped() {
            return Ok(());
        }
        let mut changed = abi::InvalidateView { view, first, count };
        match self.session.ask::<{ abi::INVALIDATE_VIEW }, _>(&mut changed) {
            Ok(()) => Ok(()),
            Err(errno) => Err(self.refused(errno, view, Rights::NONE)),
        }
    }
}

fn binding((kind, id): (u32, ObjectId)) -> Binding {
    match kind == kind::DIRECTORY as u32 {
        true => Binding::Directory,
        false => Binding::Object(id),
    }
}

impl Backend for KernelPool {
    fn info(&self) -> Result<PoolInfo> {
        let mut info = abi::Info::new_zeroed();
        let asked = self.session.ask::<{ abi::INFO }, _>(&mut info);
        asked.map_err(|errno| self.refused(errno, ObjectId::NULL, Rights::NONE))?;
        let label = info.label.split(|&b| b == 0).next().unwrap_or(&[]);
        Ok(PoolInfo {
            home: "kernel",
            path: self.path.clone(),
            pool_id: info.pool_id,
            label: String::from_utf8_lossy(label).into_owned(),
            created: info.created,
            version: info.format_version,
            objects: Some(info.objects),
            capacity: info.data_pages * PAGE,
            free: info.free_pages * PAGE,
            read_only: info.read_only != 0,
            durability: DURABILITY,
        })
    }

    fn create(&self, new: &NewObject) -> Result<ObjectId> {
        if new.flags & meta::flags::IMMUTABLE != 0 {
            return Err(Error::Unsupported(
                "an immutable object is made by copying one that has its data",
            ));
        }
        let mut create = Self::create_args(new)?;
        match self.session.ask::<{ abi::CREATE }, _>(&mut create) {
            Ok(()) => Ok(create.id),
            Err(errno) => Err(self.refused(errno, create.id, Rights::NONE)),
        }
    }

    fn adopt(&self, identity: &Identity, new: &NewObject) -> Result<ObjectId> {
        let id = identity.id().ok_or(Error::Unsupported("this identity gives no valid id"))?;
        let new = NewObject {
            nonce: Some(identity.nonce),
            owner: identity.owner,
            flags: identity.flags,
            default_rights: Rights(identity.default_rights),
            ..*new
        };
        let create = abi::Create { id, ..Self::create_args(&new)? };
        let mut adopt = abi::Adopt { create, content: identity.content, epoch: new.epoch };
        match self.session.ask::<{ abi::ADOPT }, _>(&mut adopt) {
            Ok(()) => Ok(id),
            Err(errno) => Err(self.refused(errno, id, Rights::NONE)),
        }
    }

    fn stat(&self, id: ObjectId) -> Result<ObjectStat> {
        let stat = self.stat_any(id)?;
        Ok(ObjectStat {
            id,
            identity: Identity {
                nonce: stat.nonce,
                owner: stat.owner,
                flags: stat.flags,
                default_rights: stat.default_rights,
                content: stat.content,
            },
            kind: stat.kind,
            fingerprint: stat.fingerprint,
            size: stat.size,
            stored: stat.pages * PAGE,
            names: stat.names as u64,
            epoch: stat.epoch,
        })
    }

    fn list(&self, visit: &mut dyn FnMut(ObjectId) -> Result<()>) -> Result<()> {
        let (mut cursor, mut ids) = (0, [ObjectId::NULL; BATCH]);
        loop {
            let listed = self.session.list(&mut cursor, &mut ids);
            let count =
                listed.map_err(|errno| self.refused(errno, ObjectId::NULL, Rights::NONE))?;
            if count == 0 {
                return Ok(());
            }
            for &id in ids.iter().take(count) {
                match self.stat_any(id) {
                    Ok(stat) if stat.kind == meta::kind::NAMES => {}
                    // Deleted since it was listed.
                    Err(Error::NoObject(_)) => {}
                    // What is damaged is there all the same.
                    Ok(_) | Err(_) => visit(id)?,
                }
            }
        }
    }

    fn resize(&self, id: ObjectId, size: u64) -> Result<()> {
        if size > MAX_DATA {
            return Err(Error::BadSize(size));
        }
        let mut resize = abi::Resize { id, size, reserved: 0 };
        let asked = self.session.ask::<{ abi::RESIZE }, _>(&mut resize);
        asked.map_err(|errno| self.refused_size(errno, id))
    }

    fn reserve(&self, id: ObjectId, from: u64, to: u64) -> Result<()> {
        if to > MAX_DATA || from > to {
            return Err(Error::BadSize(to));
        }
        self.reserve_slot(id, DATA_START + from, DATA_START + to)
    }

    fn delete(&self, id: ObjectId) -> Result<()> {
        let mut delete = abi::Delete { id, reserved: 0 };
        let asked = self.session.ask::<{ abi::DELETE }, _>(&mut delete);
        asked.map_err(|errno| self.refused(errno, id, Rights::DELETE))
    }

    fn copy(&self, source: ObjectId, new: &NewObject) -> Result<ObjectId> {
        let mut copy = abi::Copy { source, create: Self::create_args(new)?, epoch: new.epoch };
        match self.session.ask::<{ abi::COPY }, _>(&mut copy) {
            Ok(()) => Ok(copy.create.id),
            Err(Errno::EEXIST) => Err(Error::Exists(copy.create.id)),
            Err(errno) => Err(self.refused(errno, source, Rights::READ)),
        }
    }

    fn read(&self, id: ObjectId, offset: u64, into: &mut [u8]) -> Result<()> {
        self.whole(id, Rights::READ, into.len(), |done| {
            let rest = into.get_mut(done..).unwrap_or_default();
            self.session.read(id, offset + done as u64, rest)
        })
    }

    fn write(&self, id: ObjectId, offset: u64, from: &[u8]) -> Result<()> {
        self.whole(id, Rights::WRITE, from.len(), |done| {
            let rest = from.get(done..).unwrap_or_default();
            self.session.write(id, offset + done as u64, rest)
        })
    }

    fn sync(&self, id: ObjectId) -> Result<()> {
        let mut sync = abi::Sync { id, reserved: 0 };
        let asked = self.session.ask::<{ abi::SYNC }, _>(&mut sync);
        asked.map_err(|errno| self.refused(errno, id, Rights::NONE))
    }

    fn lookup(&self, path: &str) -> Result<Binding> {
        self.named(path, || self.session.lookup(path)).map(binding)
    }

    fn bind(&self, path: &str, id: ObjectId, replace: bool) -> Result<()> {
        let bound = self.named(path, || match self.session.bind(path, id, replace) {
            Err(Errno::EISDIR) => Err(Errno::EEXIST),
            other => other,
        });
        match bound {
            // Either there is no such object, or no such directory.
            Err(Error::NoName(path)) => Err(self.stat_any(id).err().unwrap_or(Error::NoName(path))),
            other => other,
        }
    }

    fn unbind(&self, path: &str) -> Result<()> {
        self.named(path, || self.session.at_path::<{ abi::UNBIND }>(path))
    }

    fn rename(&self, from: &str, to: &str) -> Result<()> {
        let _ = name::components(to.as_bytes())
            .map_err(|error| Error::Format { what: format!("'{to}'"), error })?;
        match self.named(from, || self.session.rename(from, to)) {
            Err(Error::NameTaken(_)) => Err(Error::NameTaken(to.into())),
            Err(Error::NotEmpty(_)) => Err(Error::NotEmpty(to.into())),
            other => other,
        }
    }

    fn make_dir(&self, path: &str) -> Result<()> {
        self.named(path, || self.session.at_path::<{ abi::MKDIR }>(path))
    }

    fn remove_dir(&self, path: &str) -> Result<()> {
        self.named(path, || self.session.at_path::<{ abi::RMDIR }>(path))
    }

    fn read_dir(
        &self,
        path: &str,
        visit: &mut dyn FnMut(&str, Binding) -> Result<()>,
    ) -> Result<()> {
        let (mut cursor, mut entries) = (0, vec![DirEntry::new_zeroed(); BATCH]);
        loop {
            let count =
                self.named(path, || self.session.read_dir(path, &mut cursor, &mut entries))?;
            if count == 0 {
                return Ok(());
            }
            for entry in entries.iter().take(count) {
                let bytes = entry.name.get(..entry.len as usize).unwrap_or_default();
                // A name that is not UTF-8 has no path here.
                if let Ok(name) = std::str::from_utf8(bytes) {
                    visit(name, binding((entry.kind, entry.id)))?;
                }
            }
        }
    }

    fn bump_generation(&self) -> Result<()> {
        self.invalidate_slots(0, 0)
    }

    fn invalidate(&self, first: u32, count: u32) -> Result<()> {
        self.invalidate_slots(first, count)
    }

    fn attach(&self, arena: &Arena, view: Option<ObjectId>) -> Result<()> {
        self.show(arena, view, Over::Mine)
    }

    fn touched(&self, arena: &Arena, address: usize, access: Access, present: bool) -> Touch {
        self.touch(arena, address, access, present)
    }

    fn refusal(&self) -> Option<(ObjectId, Refusal)> {
        self.why()
    }

    fn map(&self, id: ObjectId, window: &SlotWindow<'_>, wanted: Rights) -> Result<Mapped> {
        let there = self.resolve(id, wanted)?;
        let granted = Rights(there.granted).and(wanted);
        if !granted.contains(Rights::READ) {
            return Err(Error::denied(id, Rights::READ));
        }
        // What this context may not run, another one may: the module decides at the fault.
        if let Some(view) = self.session.shown().filter(|_| wanted.contains(Rights::EXEC)) {
            window.show(view, true)?;
        }
        Ok(Mapped { granted, fot_pages: there.fot_pages })
    }

    fn map_fot(
        &self,
        id: ObjectId,
        _: &SlotWindow<'_>,
        from: u32,
        pages: u32,
        rights: Rights,
    ) -> Result<u32> {
        let there = self.resolve(id, rights)?.fot_pages;
        if there < pages {
            return Err(Error::BadPointer {
                why: "its FOT entry is in a page that was never claimed",
            });
        }
        if rights.contains(Rights::WRITE) {
            // So that a full pool is an error here, and no signal at a store.
            let at = |pages: u32| TAIL_START - pages as u64 * PAGE;
            self.reserve_slot(id, at(there), at(from))?;
        }
        Ok(there)
    }

    fn unmap(&self, window: &SlotWindow<'_>) -> Result<()> {
        self.invalidate_slots(window.slot(), 1)?;
        match self.session.shown().filter(|_| self.is_mapped() && window.executes()) {
            Some(view) => window.show(view, false),
            None => Ok(()),
        }
    }

    fn withdraw(&self, _: &SlotWindow<'_>) -> Result<()> {
        // Whoever took the right away took the pages out.
        Ok(())
    }

    fn size(&self, id: ObjectId) -> Result<u64> {
        Ok(self.resolve(id, Rights::READ)?.size.min(MAX_DATA))
    }

    fn open_data(&self, id: ObjectId, rights: Rights) -> Result<OwnedFd> {
        let rights = rights.and(Rights(3)).or(Rights::READ);
        self.session.open_fd(id, rights).map_err(|errno| self.refused(errno, id, rights))
    }

    fn process_file(&self) -> Result<OwnedFd> {
        process_object(self)
    }

    fn medium(&self) -> Medium {
        Medium::Persistent
    }

    fn wait(&self, word: &Word<'_>, value: u64, timeout: Option<Duration>) -> Result<Waited> {
        let (id, offset) = (word.id, word.offset);
        let timeout = timeout.map_or(u64::MAX, |t| t.as_nanos().min(u64::MAX as u128 - 1) as u64);
        let mut wait = abi::Wait { id, offset, value, timeout };
        match self.session.ask::<{ abi::WAIT }, _>(&mut wait) {
            Ok(()) | Err(Errno::EINTR) => Ok(Waited::Woken),
            Err(Errno::EAGAIN) => Ok(Waited::Changed),
            Err(Errno::ETIMEDOUT) => Ok(Waited::TimedOut),
            Err(errno) => Err(self.refused(errno, id, Rights::READ)),
        }
    }

    fn wake(&self, word: &Word<'_>, count: u64) -> Result<u64> {
        let mut wake = abi::Wake { id: word.id, offset: word.offset, count };
        match self.session.ask::<{ abi::WAKE }, _>(&mut wake) {
            Ok(()) => Ok(wake.count),
            Err(errno) => Err(self.refused(errno, word.id, Rights::WRITE)),
        }
    }

    fn contexts(&self) -> Result<ContextState> {
        self.ask_contexts()
    }

    fn attach_context(&self, id: ObjectId, flags: u32, proof: Option<&Signature>) -> Result<()> {
        self.ask_attach(id, flags, proof)
    }

    fn detach_context(&self, id: ObjectId) -> Result<()> {
        self.ask_of_context::<{ abi::DETACH }>(id).map(|_| ())
    }

    fn switch_context(&self, id: ObjectId) -> Result<()> {
        self.ask_of_context::<{ abi::SWITCH }>(id).map(|_| ())
    }

    fn load_context(&self, id: ObjectId) -> Result<(u32, u32)> {
        self.ask_of_context::<{ abi::LOAD }>(id)
    }

    fn decisions(&self, tell: &mut dyn FnMut(&Decision)) -> Result<()> {
        self.ask_decisions(tell)
    }

    fn revoke(&self, id: ObjectId, epoch: u64, signature: &Signature) -> Result<()> {
        self.ask_revoke(id, epoch, signature)
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Commands about names.

use crate::{
    command::zero,
    error::{Refusal, Result},
    session::Session,
    sys::{self, UserBytes},
};
use kernel::prelude::*;
use twz_abi::{
    ioctl::{Bind, DirEntry, Lookup, PathOnly, ReadDir, Rename},
    name::{kind, NameEntry, MAX_PATH},
};
use twz_core::{names::Binding, Identity};
use zerocopy::FromZeros as _;

/// Names that are listed under one lock.
const NAMES: usize = 32;

impl Session {
    pub(crate) fn lookup(&self, lookup: &mut Lookup) -> Result {
        let path = path(lookup.path, lookup.len)?;
        let found = self.space.look(|state| Ok(state.store.lookup(&path)?))?;
        lookup.kind = kind_of(&found) as u32;
        lookup.id = found.id();
        Ok(())
    }

    pub(crate) fn bind(&self, bind: &mut Bind) -> Result {
        if bind.replace > 1 {
            return Err(Refusal::argument());
        }
        let path = path(bind.path, bind.len)?;
        self.rename_something(|state| {
            state.find(bind.id)?;
            Ok(state.store.bind(&path, bind.id, bind.replace == 1).map(|_| ())?)
        })
    }

    pub(crate) fn unbind(&self, name: &mut PathOnly) -> Result {
        zero(name.reserved as u64)?;
        let path = path(name.path, name.len)?;
        self.rename_something(|state| Ok(state.store.unbind(&path).map(|_| ())?))
    }

    pub(crate) fn rename(&self, names: &mut Rename) -> Result {
        let from = path(names.from, names.from_len)?;
        let to = path(names.to, names.to_len)?;
        self.rename_something(|state| Ok(state.store.rename(&from, &to).map(|_| ())?))
    }

    pub(crate) fn mkdir(&self, name: &mut PathOnly) -> Result {
        zero(name.reserved as u64)?;
        let path = path(name.path, name.len)?;
        let identity = loop {
            let identity = Identity::plain(sys::random());
            if identity.id().is_some() {
                break identity;
            }
        };
        self.rename_something(|state| Ok(state.store.mkdir(&path, &identity).map(|_| ())?))
    }

    pub(crate) fn rmdir(&self, name: &mut PathOnly) -> Result {
        zero(name.reserved as u64)?;
        let path = path(name.path, name.len)?;
        self.rename_something(|state| {
            let r = state.store.rmdir(&path)?;
            state.live.kill(r);
            Ok(())
        })
    }

    /// Changes names, and tells those who remember what they meant.
    fn rename_something(&self, act: impl FnOnce(&mut crate::space::State) -> Result) -> Result {
        self.space.change(act)?;
        self.space.control.bump_names();
        Ok(())
    }

    pub(crate) fn read_dir(&self, list: &mut ReadDir) -> Result {
        let path = path(list.path, list.len)?;
        let mut found = KVec::with_capacity(NAMES, GFP_KERNEL)?;
        let (mut done, wanted) = (0, list.count);
        while done < wanted {
            found.clear();
            let room = NAMES.min((wanted - done) as usize);
            let mut cursor = list.cursor;
            self.space.look(|state| {
                let Binding::Directory(dir) = state.store.lookup(&path)? else {
                    return Err(ENOTDIR.into());
                };
                let mut entry = NameEntry::new_zeroed();
                while found.len() < room {
                    let Some(binding) = state.store.read_dir(dir, &mut cursor, &mut entry)? else {
                        break;
                    };
                    let (id, kind) = (binding.id(), kind_of(&binding) as u32);
                    let entry = DirEntry { id, kind, len: entry.len as u32, name: entry.name };
                    found.push(entry, GFP_KERNEL)?;
                }
                Ok(())
            })?;
            let size = core::mem::size_of::<DirEntry>();
            let at = list.entries as usize + done as usize * size;
            UserBytes::new(at, found.len() * size).write(found.as_slice().as_bytes())?;
            list.cursor = cursor;
            done += found.len() as u32;
            if found.len() < room {
                break;
            }
        }
        list.count = done;
        Ok(())
    }
}

/// Copies a path in.
fn path(address: u64, len: u32) -> Result<KVec<u8>> {
    if len as usize > MAX_PATH {
        return Err(Refusal::argument());
    }
    let mut path = KVec::from_elem(0, len as usize, GFP_KERNEL)?;
    UserBytes::new(address as usize, len as usize).read(&mut path)?;
    Ok(path)
}

fn kind_of(binding: &Binding) -> u8 {
    match binding {
        Binding::Object(_) => kind::OBJECT,
        Binding::Directory(_) => kind::DIRECTORY,
    }
}

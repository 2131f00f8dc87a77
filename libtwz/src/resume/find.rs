// SPDX-License-Identifier: MIT OR Apache-2.0
//! Threads of a pool: finding, making and removing them, and who may have one
//! run. They are found by their names, all in one directory.

use std::{
    fs::{self, File, Permissions},
    os::{fd::OwnedFd, unix::fs::MetadataExt as _, unix::fs::PermissionsExt as _},
};

use twz_abi::{ObjectId, Rights, meta::kind, thread::THREAD_BYTES};

use super::{
    claim::{Claim, Place, READ_WRITE, failed, is_running, read},
    state::State,
};
use crate::{
    backend::{Backend, Binding, Medium, NewObject, PoolInfo},
    error::{Error, Result},
};

/// The directory of names that threads are found in.
pub const DIRECTORY: &str = "threads";

/// A thread of a pool.
#[derive(Debug)]
pub struct Found {
    /// Its name in [`DIRECTORY`].
    pub name: String,
    /// Its object.
    pub id: ObjectId,
    /// What it says of itself.
    pub state: State,
    /// Whether a process is it.
    pub running: bool,
    /// Who answers for what it says: the user, or why nobody does.
    vouched: std::result::Result<u32, &'static str>,
}

/// What is said of those whose word is not enough.
const NOT_VOUCHED: &str = "others may open the device and so have written it: \
                           give the device to its user alone, or say --trust-pool";

impl Found {
    /// Whether it may be run as its user: whether nobody else can have written
    /// what it says. If not, why.
    pub fn may_run(&self) -> std::result::Result<(), &'static str> {
        match self.vouched {
            Ok(uid) if uid == self.state.uid => Ok(()),
            Ok(_) => Err("it says that it is one user's, and its object is another's"),
            Err(why) => Err(why),
        }
    }

    /// Whether it is only that others may write to the pool as a whole.
    pub fn is_pool_open_to_others(&self) -> bool {
        self.vouched == Err(NOT_VOUCHED)
    }
}

/// Visits the threads of a pool, by name. One that cannot be read is visited
/// as an error.
pub fn each(pool: &dyn Backend, visit: &mut dyn FnMut(&str, Result<Found>)) -> Result<()> {
    let mut names = Vec::new();
    let listed = pool.read_dir(DIRECTORY, &mut |name, binding| {
        if let Binding::Object(id) = binding {
            names.push((name.to_string(), id));
        }
        Ok(())
    });
    match listed {
        Err(Error::NoName(_)) => return Ok(()),
        other => other?,
    }
    names.sort();
    let info = pool.info()?;
    for (name, id) in names {
        let found = look(pool, &info, &name, id);
        visit(&name, found);
    }
    Ok(())
}

/// One thread by its name.
pub fn find(pool: &dyn Backend, name: &str) -> Result<Found> {
    match pool.lookup(&path_of(name)?)? {
        Binding::Object(id) => look(pool, &pool.info()?, name, id),
        Binding::Directory => Err(Error::Unsupported("that is a directory of names, no thread")),
    }
}

fn look(pool: &dyn Backend, info: &PoolInfo, name: &str, id: ObjectId) -> Result<Found> {
    if pool.stat(id)?.kind != kind::THREAD {
        return Err(Error::Unsupported("it is an object of another kind, and no thread"));
    }
    let file = File::from(pool.open_data(id, Rights::READ)?);
    let running = is_running(&file)?;
    let (_, state) = read(&file, Place { id, pool: info.pool_id })?;
    let vouched = voucher(info, &file)?;
    Ok(Found { name: name.into(), id, state, running, vouched })
}

/// Whose word an object's bytes are. In a directory, its owner's, if no one else
/// may write to it, in a pool that is the same user's or root's. The kernel's
/// pool is written by who may open the device.
fn voucher(info: &PoolInfo, file: &File) -> Result<std::result::Result<u32, &'static str>> {
    let pool = fs::metadata(&info.path).map_err(Error::at("look at", &info.path))?;
    if info.home == "kernel" {
        let others = pool.mode() & 0o007 != 0 || pool.gid() != 0 && pool.mode() & 0o070 != 0;
        return Ok(if others { Err(NOT_VOUCHED) } else { Ok(pool.uid()) });
    }
    let object = file.metadata().map_err(failed)?;
    Ok(if object.mode() & 0o022 != 0 {
        Err("others may write to its object: take that right from them")
    } else if pool.uid() != object.uid() && pool.uid() != 0 {
        Err("its object is another user's than the pool")
    } else {
        Ok(object.uid())
    })
}

/// The path of a thread's name.
pub(super) fn path_of(name: &str) -> Result<String> {
    match name.is_empty() || name.contains('/') {
        true => Err(Error::Unsupported("the name of a thread is one word, without a '/'")),
        false => Ok(format!("{DIRECTORY}/{name}")),
    }
}

/// Makes a thread object and binds its name. The claim to it is held.
pub fn make(pool: &dyn Backend, name: &str, state: State) -> Result<Claim> {
    let path = path_of(name)?;
    let new = NewObject { kind: kind::THREAD, size: THREAD_BYTES, ..NewObject::default() };
    let id = pool.create(&new)?;
    let made = fill(pool, id, state).and_then(|claim| {
        match pool.make_dir(DIRECTORY) {
            Ok(()) | Err(Error::NameTaken(_)) => {}
            Err(error) => return Err(error),
        }
        pool.bind(&path, id, false)?;
        Ok(claim)
    });
    match made {
        // In a directory the names are on the medium when the file system says so.
        Ok(claim) if pool.medium() == Medium::PageCache => pool.sync_all().map(|()| claim),
        Ok(claim) => Ok(claim),
        Err(error) => {
            // Nobody knows of it yet.
            let _ = pool.delete(id);
            Err(error)
        }
    }
}

fn fill(pool: &dyn Backend, id: ObjectId, state: State) -> Result<Claim> {
    let file: OwnedFd = pool.open_data(id, READ_WRITE)?;
    let file = File::from(file);
    // Who else may write to it could have anything run. A kernel's object has no
    // mode of its own.
    let _ = file.set_permissions(Permissions::from_mode(0o644));
    let claim = Claim::begin(file, Place { id, pool: pool.info()?.pool_id }, state)?;
    pool.sync(id)?;
    Ok(claim)
}

/// Removes a thread that does not run: its name and its object.
pub fn remove(pool: &dyn Backend, name: &str) -> Result<()> {
    let path = path_of(name)?;
    let Binding::Object(id) = pool.lookup(&path)? else {
        return Err(Error::Unsupported("that is a directory of names, no thread"));
    };
    if pool.stat(id)?.kind != kind::THREAD {
        return Err(Error::Unsupported("it is an object of another kind, and no thread"));
    }
    // A damaged one can be removed too; the lock is all that matters.
    let file = File::from(pool.open_data(id, READ_WRITE)?);
    if is_running(&file)? {
        return Err(Error::Busy { what: "a process is this thread; stop it first" });
    }
    pool.unbind(&path)?;
    pool.delete(id)
}

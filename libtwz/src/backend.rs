// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where objects are kept, as the rest of the library sees it.
//!
//! Three kinds of home implement this: the embedded pool directory
//! ([`crate::embedded`]), the kernel module ([`crate::kernel`]) and a store in
//! an image file ([`crate::image`], which cannot map). Offsets are slot offsets
//! everywhere: data begins at 4096, the tail is at the end of the slot.
//!
//! Who puts an object into a slot differs. In the embedded pool the library
//! does, at the signal that the first touch raises: [`Backend::map`] maps it
//! whole. In the kernel the page fault does, page by page, and raises no signal:
//! [`Backend::map`] says what it will grant, and a signal means that it refused.
//! [`Backend::touched`] is where the two part.

use std::{os::fd::OwnedFd, sync::atomic::AtomicU64, time::Duration};

use twz_abi::{
    ObjectId, Rights, decision::Decision, ioctl::ContextState, meta, security::Signature,
};
use twz_core::{ident::Identity, rights::Access};

use crate::{
    error::{Error, Refusal, Result},
    holes,
    raw::{Arena, SlotWindow, sys},
};

/// What an object shall be.
#[derive(Clone, Copy, Debug)]
pub struct NewObject {
    /// Makes the id differ; `None` takes a random one.
    pub nonce: Option<[u8; 16]>,
    /// The object with the owner's public key, or null.
    pub owner: ObjectId,
    /// [`meta::flags`].
    pub flags: u32,
    /// Rights that everybody has.
    pub default_rights: Rights,
    /// [`meta::kind`].
    pub kind: u32,
    /// Fingerprint of the root's type, or 0.
    pub fingerprint: u64,
    /// Bytes of data.
    pub size: u64,
    /// Its epoch: 0, unless it comes from elsewhere and has been through some.
    pub epoch: u64,
}

impl Default for NewObject {
    fn default() -> Self {
        Self {
            nonce: None,
            owner: ObjectId::NULL,
            flags: 0,
            default_rights: Rights::DEFAULT,
            kind: meta::kind::BYTES,
            fingerprint: 0,
            size: 0,
            epoch: 0,
        }
    }
}

impl NewObject {
    /// An id that nobody has, and what it is made from. `content` is the hash of
    /// an immutable object's data, else zeros.
    pub(crate) fn earn_id(&self, content: [u8; 32]) -> Result<(ObjectId, Identity)> {
        loop {
            let nonce = match self.nonce {
                Some(nonce) => nonce,
                None => sys::random()?,
            };
            let identity = Identity {
                nonce,
                owner: self.owner,
                flags: self.flags,
                default_rights: self.default_rights.0,
                content,
            };
            match identity.id() {
                Some(id) => return Ok((id, identity)),
                None if self.nonce.is_some() => {
                    return Err(Error::Unsupported("this nonce gives no valid id; use another"));
                }
                None => {}
            }
        }
    }
}

/// What an object is.
#[derive(Clone, Debug)]
pub struct ObjectStat {
    /// Its id.
    pub id: ObjectId,
    /// What its id is made from.
    pub identity: Identity,
    /// [`meta::kind`].
    pub kind: u32,
    /// Fingerprint of the root's type, or 0.
    pub fingerprint: u64,
    /// Bytes of data.
    pub size: u64,
    /// Bytes it takes on the medium.
    pub stored: u64,
    /// Names bound to it.
    pub names: u64,
    /// Its epoch: what was granted on it before is void.
    pub epoch: u64,
}

/// What a pool is.
#[derive(Clone, Debug)]
pub struct PoolInfo {
    /// "directory", "image" or "kernel".
    pub home: &'static str,
    /// Where it is.
    pub path: std::path::PathBuf,
    /// Its own id.
    pub pool_id: [u8; 16],
    /// Text for people.
    pub label: String,
    /// Seconds since 1970 at its creation.
    pub created: u64,
    /// Format version.
    pub version: u32,
    /// Objects in it; `None` where counting means listing.
    pub objects: Option<u64>,
    /// Bytes it could hold in all.
    pub capacity: u64,
    /// Bytes that are free.
    pub free: u64,
    /// Whether it cannot be written.
    pub read_only: bool,
    /// How stores become durable here.
    pub durability: &'static str,
}

/// What a name is bound to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Binding {
    /// An object.
    Object(ObjectId),
    /// A directory of names.
    Directory,
}

/// What there is to touch in a slot.
#[derive(Clone, Copy, Debug)]
pub struct Mapped {
    /// The rights that it has.
    pub granted: Rights,
    /// FOT pages below the tail page.
    pub fot_pages: u32,
}

/// What a touch that raised a signal is to lead to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// The library maps what the view says: [`Backend::map`].
    Map,
    /// It will go through now.
    Again,
    /// It was refused, by whoever decides.
    Refused,
}

/// A word of an object to sleep on.
pub struct Word<'a> {
    /// The object.
    pub id: ObjectId,
    /// Slot offset of the word, a multiple of 8.
    pub offset: u64,
    /// The word itself, mapped.
    pub word: &'a AtomicU64,
}

/// How a sleep on a word of an object ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// Somebody woke the word, or a signal came: look at it again.
    Woken,
    /// The word did not hold the value any more, or not at all.
    Changed,
    /// The time is over.
    TimedOut,
}

/// What lies between a store to a mapped object and the medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// Nothing: it is memory, and gone with the power.
    Memory,
    /// The processor's caches: it is persistent memory.
    Persistent,
    /// The page cache.
    PageCache,
}

/// A home of objects.
pub trait Backend: Send + Sync {
    /// What the pool is.
    fn info(&self) -> Result<PoolInfo>;

    /// Makes an object. Nobody can know its id before this returns.
    fn create(&self, new: &NewObject) -> Result<ObjectId>;

    /// Puts in place an object that was made elsewhere, under the id it has.
    fn adopt(&self, identity: &Identity, new: &NewObject) -> Result<ObjectId>;

    /// What an object is. The id is verified.
    fn stat(&self, id: ObjectId) -> Result<ObjectStat>;

    /// Visits every id, in no order.
    fn list(&self, visit: &mut dyn FnMut(ObjectId) -> Result<()>) -> Result<()>;

    /// Changes the size of the data.
    fn resize(&self, id: ObjectId, size: u64) -> Result<()>;

    /// Makes sure that data bytes `from` to `to` exist and have storage behind
    /// them, so that storing to them cannot fail.
    fn reserve(&self, id: ObjectId, from: u64, to: u64) -> Result<()>;

    /// Deletes an object. It stays for those who have it mapped, and is
    /// refused while names are bound to it.
    fn delete(&self, id: ObjectId) -> Result<()>;

    /// Makes an object with the data and the FOT of `source`; pages are shared
    /// until written where the medium can. With [`meta::flags::IMMUTABLE`] the
    /// new id covers the data.
    fn copy(&self, source: ObjectId, new: &NewObject) -> Result<ObjectId>;

    /// Copies bytes out of an object's slot. Holes are zeros.
    fn read(&self, id: ObjectId, offset: u64, into: &mut [u8]) -> Result<()>;

    /// Copies bytes into an object's slot, within its size or its tail.
    fn write(&self, id: ObjectId, offset: u64, from: &[u8]) -> Result<()>;

    /// Makes everything done to an object so far durable.
    fn sync(&self, id: ObjectId) -> Result<()>;

    /// The same for every object and name.
    fn sync_all(&self) -> Result<()> {
        self.list(&mut |id| match self.sync(id) {
            Err(Error::NoObject(_)) => Ok(()),
            other => other,
        })
    }

    /// What a path is bound to.
    fn lookup(&self, path: &str) -> Result<Binding>;

    /// Binds a path to an object; with `replace`, whatever it was bound to, in
    /// one step.
    fn bind(&self, path: &str, id: ObjectId, replace: bool) -> Result<()>;

    /// Takes a name away; the object stays.
    fn unbind(&self, path: &str) -> Result<()>;

    /// The same, and says which object it was a name of.
    fn take_name(&self, path: &str) -> Result<ObjectId> {
        let Binding::Object(id) = self.lookup(path)? else {
            return Err(Error::Unsupported("that is a directory of names"));
        };
        self.unbind(path)?;
        Ok(id)
    }

    /// Renames, replacing what `to` was bound to.
    fn rename(&self, from: &str, to: &str) -> Result<()>;

    /// Makes a directory of names.
    fn make_dir(&self, path: &str) -> Result<()>;

    /// Removes an empty directory of names.
    fn remove_dir(&self, path: &str) -> Result<()>;

    /// Visits the names in a directory, in no order.
    fn read_dir(
        &self,
        path: &str,
        visit: &mut dyn FnMut(&str, Binding) -> Result<()>,
    ) -> Result<()>;

    /// How many directories are in a directory.
    fn count_dirs(&self, path: &str) -> Result<u32> {
        let mut found = 0;
        self.read_dir(path, &mut |_, binding| {
            found += u32::from(binding == Binding::Directory);
            Ok(())
        })?;
        Ok(found)
    }

    /// Says that cached translations may be stale.
    fn bump_generation(&self) -> Result<()>;

    /// Says that `count` entries of the view in force have changed, from
    /// `first` on. The slots have been emptied ([`Backend::unmap`]) where the
    /// library knew of something in them.
    fn invalidate(&self, first: u32, count: u32) -> Result<()> {
        let _ = (first, count);
        self.bump_generation()
    }

    /// Lets an arena show a view: a view object, or with `None` a new private
    /// one. All slots are empty.
    fn attach(&self, arena: &Arena, view: Option<ObjectId>) -> Result<()>;

    /// What a touch in the arena is to lead to that raised a signal, of a page that was
    /// mapped without the right (`present`) or not mapped. Runs in the fault handler:
    /// it must not allocate and takes no locks.
    fn touched(&self, arena: &Arena, address: usize, access: Access, present: bool) -> Touch {
        let _ = (arena, address, access, present);
        Touch::Map
    }

    /// Why this thread's last touch was refused, and over which object, where it
    /// was not the library that refused it. Runs in the fault handler.
    fn refusal(&self) -> Option<(ObjectId, Refusal)> {
        None
    }

    /// Sees to it that an object can be touched in a slot with the rights that
    /// are wanted, or as many of them as there are, reading at least. Runs in
    /// the fault handler: it must not allocate and takes no locks.
    fn map(&self, id: ObjectId, window: &SlotWindow<'_>, wanted: Rights) -> Result<Mapped>;

    /// The same for FOT pages that were added since; returns how many there
    /// are. Runs in the fault handler.
    fn map_fot(
        &self,
        id: ObjectId,
        window: &SlotWindow<'_>,
        from: u32,
        pages: u32,
        rights: Rights,
    ) -> Result<u32>;

    /// Takes everything out of a slot again. The caller has made sure that
    /// nobody needs it.
    fn unmap(&self, window: &SlotWindow<'_>) -> Result<()>;

    /// Takes everything out of a slot that stays its object's: the active context
    /// allows nothing on it.
    fn withdraw(&self, window: &SlotWindow<'_>) -> Result<()> {
        window.clear()
    }

    /// Bytes of data an object has now, without verifying it again.
    fn size(&self, id: ObjectId) -> Result<u64>;

    /// What the host says of an object's data, where that is a file of its own and the
    /// pool would say nothing else.
    fn host(&self, id: ObjectId) -> Option<std::fs::Metadata> {
        let _ = id;
        None
    }

    /// An object's data as a file, with READ and, if that is among the
    /// `rights`, WRITE.
    fn open_data(&self, id: ObjectId, rights: Rights) -> Result<OwnedFd>;

    /// The first byte of an object's data from byte `at` on that may be no hole, or,
    /// asked for a `hole`, the first that is in one; the size if there is none.
    fn next(&self, id: ObjectId, at: u64, hole: bool) -> Result<u64> {
        holes::next(&self.open_data(id, Rights::READ)?, at, hole)
    }

    /// Makes a hole of data bytes `from` to `to`, as far as the size goes.
    fn punch(&self, id: ObjectId, from: u64, to: u64) -> Result<()> {
        holes::punch(&self.open_data(id, Rights(Rights::READ.0 | Rights::WRITE.0))?, from, to)
    }

    /// The file of process slots, opened anew, for reading and writing: each
    /// process that uses the pool locks a byte of it. FORMAT.md, "Owners".
    fn process_file(&self) -> Result<OwnedFd>;

    /// What lies between a store to a mapped object and the medium.
    fn medium(&self) -> Medium {
        Medium::PageCache
    }

    /// Sleeps while a word holds `value`, for at most `timeout`. It may end
    /// without a reason: look at the word again.
    fn wait(&self, word: &Word<'_>, value: u64, timeout: Option<Duration>) -> Result<Waited>;

    /// Wakes at most so many of those who sleep on a word, in all processes;
    /// says how many. Store first, then wake.
    fn wake(&self, word: &Word<'_>, count: u64) -> Result<u64>;

    /// What the active context allows on an object, as far as that is known here
    /// without asking anybody.
    fn may(&self, id: ObjectId) -> Result<Rights> {
        let _ = id;
        Ok(Rights::NONE)
    }

    /// What the process is attached to. Asking makes a new nonce.
    fn contexts(&self) -> Result<ContextState> {
        Err(NO_CONTEXTS)
    }

    /// Attaches the process to a context: [`attach_flags`], less PROOF, which a
    /// signature says.
    ///
    /// [`attach_flags`]: twz_abi::ioctl::attach_flags
    fn attach_context(&self, id: ObjectId, flags: u32, proof: Option<&Signature>) -> Result<()> {
        let _ = (id, flags, proof);
        Err(NO_CONTEXTS)
    }

    /// Detaches the process from a context.
    fn detach_context(&self, id: ObjectId) -> Result<()> {
        let _ = id;
        Err(NO_CONTEXTS)
    }

    /// Makes an attached context the active one. Who has mapped anything asks
    /// [`Backend::map`] again, for each slot.
    fn switch_context(&self, id: ObjectId) -> Result<()> {
        let _ = id;
        Err(NO_CONTEXTS)
    }

    /// Reads a context anew: grants that hold, and that do not.
    fn load_context(&self, id: ObjectId) -> Result<(u32, u32)> {
        let _ = id;
        Err(NO_CONTEXTS)
    }

    /// What a program that this one runs has to find in its environment as
    /// [`crate::security::ENVIRONMENT`] to act in the same contexts; `None` if nothing,
    /// as where somebody else sees to it.
    fn bequest(&self) -> Option<String> {
        None
    }

    /// Tells what was decided about rights since this was last asked, by whatever program,
    /// from the oldest on that is known. It takes the capability to read every file.
    fn decisions(&self, tell: &mut dyn FnMut(&Decision)) -> Result<()> {
        let _ = tell;
        Err(Error::Unsupported("only the kernel module tells of what it decides"))
    }

    /// Raises an object's epoch to what its owner has signed.
    fn revoke(&self, id: ObjectId, epoch: u64, signature: &Signature) -> Result<()> {
        let _ = (id, epoch, signature);
        Err(NO_CONTEXTS)
    }
}

const NO_CONTEXTS: Error =
    Error::Unsupported("nobody acts in an image; copy the pool into a directory first");

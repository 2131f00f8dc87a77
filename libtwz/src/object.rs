// SPDX-License-Identifier: MIT OR Apache-2.0
//! Handles of objects: what keeps one mapped, and what is done to it as a whole.

use std::{marker::PhantomData, os::fd::OwnedFd, sync::atomic::Ordering, time::Duration};

use twz_abi::{
    DATA_START, MAX_DATA, META_START, Meta, ObjectId, Rights, TAIL_START,
    meta::{heap_word, kind},
};

use crate::{
    Persist,
    backend::{NewObject, ObjectStat, Waited},
    error::{Error, Result},
    ptr::Global,
    raw::{
        object::{self as memory, place},
        translate::Translation,
    },
    slots::Hold,
    space::Space,
    tx::{self, lock::Held},
};

/// An open object whose root is a `T`. `Object<()>` is one whose contents are
/// just bytes, and any object can be opened as that.
pub struct Object<T> {
    space: Space,
    slot: u32,
    id: ObjectId,
    root: Translation,
    _type: PhantomData<fn() -> T>,
}

/// Where what comes after a root of `root` bytes begins: the heap, mostly.
pub(crate) fn heap_after(root: u64) -> u64 {
    (DATA_START + root).next_multiple_of(64)
}

/// Makes an object, with a heap after its root if `heap` says so.
pub(crate) fn create<T: Persist>(
    space: &Space,
    new: &NewObject,
    root: T,
    heap: bool,
) -> Result<Object<T>> {
    let typed = size_of::<T>() != 0;
    let rest = heap_after(size_of::<T>() as u64);
    let new = NewObject {
        kind: if typed { kind::TYPED } else { new.kind },
        fingerprint: if typed { T::FINGERPRINT } else { new.fingerprint },
        size: new.size.max(if typed { rest - DATA_START } else { 0 }),
        ..*new
    };
    let id = space.backend().create(&new)?;
    let made = fill(space, id, root, typed.then_some(rest), heap);
    if made.is_err() {
        // Nobody knows of it yet.
        let _ = space.backend().delete(id);
    }
    made
}

fn fill<T: Persist>(
    space: &Space,
    id: ObjectId,
    root: T,
    rest: Option<u64>,
    heap: bool,
) -> Result<Object<T>> {
    let object = open_unchecked::<T>(space, id, Rights(Rights::READ.0 | Rights::WRITE.0))?;
    if let Some(rest) = rest {
        let own = space.core().reserve(object.slot, DATA_START, rest)?;
        memory::init(own, DATA_START, root)?;
        if heap {
            object.set_heap(rest)?;
        }
    }
    Ok(object)
}

/// Makes an object of zeros for a root that is no Rust type: of `root` bytes,
/// with a heap after them if there are any.
pub(crate) fn create_raw(space: &Space, new: &NewObject, root: u64) -> Result<ObjectId> {
    if root == 0 {
        return space.backend().create(new);
    }
    if root > MAX_DATA || heap_after(root) >= TAIL_START {
        return Err(Error::BadSize(root));
    }
    let heap = heap_after(root);
    let new = NewObject { size: new.size.max(heap - DATA_START), ..*new };
    let id = space.backend().create(&new)?;
    let made = open_unchecked::<()>(space, id, Rights(Rights::READ.0 | Rights::WRITE.0)).and_then(
        |object| {
            object.set_heap(heap)?;
            space.core().reserve(object.slot, DATA_START, heap).map(|_| ())
        },
    );
    if made.is_err() {
        // Nobody knows of it yet.
        let _ = space.backend().delete(id);
    }
    made.map(|()| id)
}

pub(crate) fn open<T: Persist>(space: &Space, id: ObjectId, rights: Rights) -> Result<Object<T>> {
    let object = open_unchecked::<T>(space, id, rights)?;
    if size_of::<T>() == 0 {
        return Ok(object);
    }
    let found = space.core().arena().meta(object.slot)?.fingerprint;
    if found != T::FINGERPRINT {
        return Err(Error::WrongType { id, expected: T::FINGERPRINT, found });
    }
    place::<T, _>(&object, object.root, DATA_START)?;
    Ok(object)
}

fn open_unchecked<T>(space: &Space, id: ObjectId, rights: Rights) -> Result<Object<T>> {
    let core = space.core();
    let slot = core.slot_for(id, rights, Hold::Pin)?;
    space.0.handles.fetch_add(1, Ordering::AcqRel);
    // From here on dropping undoes it.
    let mut object = Object {
        space: space.clone(),
        slot,
        id,
        root: Translation::new(0, 0, false),
        _type: PhantomData,
    };
    // Asked anew: it may have been deleted while its slot stayed mapped.
    object.root = core.refresh(slot)?;
    Ok(object)
}

impl<T> Drop for Object<T> {
    fn drop(&mut self) {
        self.space.core().unpin(self.slot);
        self.space.0.handles.fetch_sub(1, Ordering::AcqRel);
    }
}

impl<T> Object<T> {
    /// The object's id.
    pub fn id(&self) -> ObjectId {
        self.id
    }

    /// The space it is open in.
    pub fn space(&self) -> &Space {
        &self.space
    }

    /// The slot it is mapped at in this process.
    pub fn slot(&self) -> u32 {
        self.slot
    }

    /// The address of its slot in this process, to see that it differs from others'.
    pub fn address(&self) -> usize {
        self.space.core().arena().address(self.slot)
    }

    /// What it is.
    pub fn stat(&self) -> Result<ObjectStat> {
        self.space.backend().stat(self.id)
    }

    /// Bytes of data it has now.
    pub fn len(&self) -> Result<u64> {
        self.space.backend().size(self.id)
    }

    /// Whether it has no data.
    pub fn is_empty(&self) -> Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Changes how many bytes of data it has.
    pub fn resize(&self, size: u64) -> Result<()> {
        self.space.backend().resize(self.id, size)?;
        self.space.core().refresh(self.slot).map(|_| ())
    }

    /// Makes everything stored so far survive a power cut.
    #[cfg_attr(feature = "crash-hooks", track_caller)]
    pub fn sync(&self) -> Result<()> {
        // A replay after a power cut must not take back what is durable now.
        self.space.core().forget_log_for_now(self.slot)?;
        self.space.core().sync_object(self.id)
    }

    /// Copies data out, from byte `at`.
    pub fn read(&self, at: u64, into: &mut [u8]) -> Result<()> {
        self.space.backend().read(self.id, DATA_START.saturating_add(at), into)
    }

    /// Copies data in, at byte `at`, within the size. Unlike a store to a field
    /// in a hole, this says so when the disk is full.
    pub fn write(&self, at: u64, from: &[u8]) -> Result<()> {
        let core = self.space.core();
        if !core.translate(self.slot, 0)?.writable() && !core.try_widen(self.slot) {
            return Err(core.lacks(self.slot, Rights::WRITE));
        }
        self.space.backend().write(self.id, DATA_START.saturating_add(at), from)
    }

    /// The data as a file: a descriptor of its own, with READ and, if that is
    /// among the `rights`, WRITE. It stays good when the object is closed, in
    /// whatever process has it, and goes past nothing that the object grants.
    pub fn fd(&self, rights: Rights) -> Result<OwnedFd> {
        if !rights.contains(Rights::READ) || !Rights(3).contains(rights) {
            return Err(Error::Unsupported("a descriptor has the right r, and w if wanted"));
        }
        let missing = rights.without(self.space.core().granted(self.slot));
        match missing {
            Rights::NONE => self.space.backend().open_data(self.id, rights),
            missing => Err(Error::denied(self.id, missing)),
        }
    }

    /// Sleeps while the 8 bytes at byte `at` of the data, which is a multiple of
    /// 8, hold `value`, and for at most `timeout`. It may end without a reason:
    /// look again.
    pub fn wait(&self, at: u64, value: u64, timeout: Option<Duration>) -> Result<Waited> {
        self.space.core().wait(self.slot, DATA_START.saturating_add(at), value, timeout)
    }

    /// Wakes at most `count` of those who wait for the word at byte `at`, in all
    /// processes; says how many. Whoever changes a word stores first, then wakes.
    pub fn wake(&self, at: u64, count: u64) -> Result<u64> {
        self.space.core().wake(self.slot, DATA_START.saturating_add(at), count)
    }

    /// Makes every pointer in this object that leads to `from` lead to `to`, by
    /// one store, whatever the object's contents. Returns whether there were any.
    pub fn retarget(&self, from: ObjectId, to: ObjectId) -> Result<bool> {
        self.space.core().fot_retarget(self.slot, from, to)
    }

    /// Waits until nobody else in any process holds the object's lock.
    pub fn lock(&self) -> Result<Writer<'_, T>> {
        let _held = Held::wait(&self.space, self.id)?;
        Ok(Writer { object: self, held: Keep::Alone { _held } })
    }

    /// Says where the heap is, in an object that nobody knows of yet.
    fn set_heap(&self, heap: u64) -> Result<()> {
        if !self.root.writable() {
            return Err(Error::denied(self.id, Rights::WRITE));
        }
        let at = META_START + core::mem::offset_of!(Meta, heap) as u64;
        if let Some(word) = self.space.core().arena().tail_words(self.slot, at, 1)?.first() {
            word.store(heap_word(heap), Ordering::Release);
        }
        Ok(())
    }
}

impl<T: Persist> Object<T> {
    /// The value at the start of the object's data.
    #[inline]
    pub fn root(&self) -> &T {
        match place(self, self.root, DATA_START) {
            Ok(root) => root,
            // `open` has placed the same root once, and `root` has not changed.
            Err(_) => unreachable!("the root was checked when the object was opened"),
        }
    }

    /// The root as a place that means the same everywhere.
    pub fn global(&self) -> Global {
        Global { id: self.id, offset: DATA_START }
    }

    /// Puts a value into the object, and returns where it is.
    pub fn alloc<U: Persist>(&self, value: U) -> Result<&U> {
        let core = self.space.core();
        let offset =
            core.heap_alloc(self.slot, size_of::<U>().max(1) as u64, align_of::<U>() as u64)?;
        let own = core.translate(self.slot, 0)?;
        memory::init(own, offset, value)?;
        place(self, own, offset)
    }

    /// Puts a run of values into the object, each made by `make`.
    pub fn alloc_slice<U: Persist>(
        &self,
        len: u64,
        mut make: impl FnMut(u64) -> U,
    ) -> Result<&[U]> {
        let core = self.space.core();
        let bytes = len.checked_mul(size_of::<U>() as u64).ok_or(Error::BadSize(len))?;
        let offset = core.heap_alloc(self.slot, bytes.max(1), align_of::<U>() as u64)?;
        let own = core.translate(self.slot, 0)?;
        for i in 0..len {
            memory::init(own, offset + i * size_of::<U>() as u64, make(i))?;
        }
        memory::place_slice(self, own, offset, len)
    }

    /// Gives a value's memory back. Pointers to it that are left lead to
    /// whatever comes to lie there next, which is a value all the same.
    pub fn free<U: Persist>(&self, value: &U) -> Result<()> {
        let address = (&raw const *value) as usize;
        if self.space.core().arena().slot_of(address) != Some(self.slot) {
            return Err(Error::NotInObject);
        }
        self.space.core().heap_free(self.slot, (address - self.address()) as u64)
    }
}

/// What [`Space::transaction_over`] locks: an [`Object`] of any type.
pub trait Member: sealed::Sealed {
    /// The object's id.
    fn id(&self) -> ObjectId;
    /// The slot it is mapped at.
    #[doc(hidden)]
    fn slot(&self) -> u32;
}

mod sealed {
    pub trait Sealed {}
    impl<T> Sealed for super::Object<T> {}
}

impl<T> Member for Object<T> {
    fn id(&self) -> ObjectId {
        self.id
    }

    fn slot(&self) -> u32 {
        self.slot
    }
}

/// The exclusive right to change an object in steps that belong together, among
/// all threads and processes. It ends when this is dropped, or the process dies;
/// one that a transaction gave ends with that. Readers do not wait for it.
pub struct Writer<'a, T> {
    object: &'a Object<T>,
    held: Keep,
}

/// Who keeps the lock.
enum Keep {
    Alone { _held: Held },
    Within(tx::SessionCell),
}

impl<'a, T> Writer<'a, T> {
    /// The object.
    pub fn object(&self) -> &'a Object<T> {
        self.object
    }

    /// Of an object that a transaction has locked.
    pub(crate) fn within(object: &'a Object<T>, session: tx::SessionCell) -> Self {
        Self { object, held: Keep::Within(session) }
    }

    /// The transaction that the lock is a part of.
    pub(crate) fn session(&self) -> Option<&tx::SessionCell> {
        match &self.held {
            Keep::Within(session) => Some(session),
            Keep::Alone { .. } => None,
        }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which contexts this process acts in, in one pool: what the module keeps of a
//! memory map, kept by the library for a pool directory.
//!
//! All spaces that a process opens on a pool share one realm, and a child that was
//! forked has a copy; beyond exec it goes in the environment
//! ([`EmbeddedPool::inherit`]). What the active context allows is asked where an
//! object is mapped, in the fault handler, and where its bytes are read or written.
//! The rules are SECURITY.md's, the decisions `twz_core`'s, and it is honest programs
//! that are held to them. Not here: rules A6 and A8, which only a fault can obey.

use std::{
    fs::File,
    os::{
        fd::AsFd as _,
        unix::fs::{FileExt as _, MetadataExt as _},
    },
    sync::{
        Arc, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use twz_abi::{
    META_START, Meta, ObjectId, Rights,
    ioctl::{ContextState, attach_flags},
    meta::{MAX_EPOCH, epoch_of, epoch_word},
    reason,
    security::{AttachClaim, Key, MAX_ATTACHED, RECORD, RevokeClaim, Signature, context_flags},
};
use twz_core::security::{
    Facts, Object, Rules, Spoiled, claim,
    link::{self, Bytes},
};

use super::{EmbeddedPool, objects::identity_of, paths::ObjectPath};
use crate::{
    error::{Error, Result},
    raw::{fault, published::Published, sys, tail::TailPage},
    security::{DEFAULT, ENVIRONMENT, Ed25519, book::Book, now},
    space::Core,
};

/// What a process is attached to, in one pool.
pub(super) struct Realm {
    /// What the active context allows, for the fault handler; none for the default one.
    active: Published<Arc<Book>>,
    /// Whether there is anything to keep up to date.
    confers: AtomicBool,
    state: Mutex<State>,
}

struct State {
    attached: Vec<Attachment>,
    active: ObjectId,
    nonce: Option<[u8; 32]>,
    /// The pool's generation that all of it was read in.
    generation: u64,
}

struct Attachment {
    id: ObjectId,
    cloexec: bool,
    /// None for the default context.
    book: Option<Arc<Book>>,
}

impl Attachment {
    fn is_undetachable(&self) -> bool {
        let flags = self.book.as_ref().map_or(0, |book| book.policy().flags);
        flags & context_flags::UNDETACHABLE != 0
    }
}

/// Tells pools apart, copies of one too.
type PoolKey = ([u8; 16], u64, u64);
static REALMS: Mutex<Vec<(PoolKey, Arc<Realm>)>> = Mutex::new(Vec::new());

impl Realm {
    /// The realm of a pool in this process, and whether it is new.
    pub(super) fn of(pool_id: [u8; 16], file: &File) -> Result<(Arc<Self>, bool)> {
        let stat = file.metadata().map_err(Error::at("stat", super::POOL_FILE))?;
        let key = (pool_id, stat.dev(), stat.ino());
        let mut realms = REALMS.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if let Some((_, realm)) = realms.iter().find(|(known, _)| *known == key) {
            return Ok((realm.clone(), false));
        }
        let attached = vec![Attachment { id: DEFAULT, cloexec: false, book: None }];
        let state = State { attached, active: DEFAULT, nonce: None, generation: 0 };
        let realm = Arc::new(Self {
            active: Published::empty(),
            confers: AtomicBool::new(false),
            state: Mutex::new(state),
        });
        realms.push((key, realm.clone()));
        Ok((realm, true))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
    }

    /// Has the fault handler ask what is active in `state`.
    fn publish(&self, state: &State) {
        let active = state.attached.iter().find(|one| one.id == state.active);
        self.active.replace(active.and_then(|one| one.book.clone()));
        self.confers.store(state.attached.iter().any(|one| one.book.is_some()), Ordering::Release);
    }
}

impl State {
    fn find(&mut self, id: ObjectId) -> Result<&mut Attachment> {
        let found = self.attached.iter_mut().find(|one| one.id == id);
        found.ok_or(Error::context(id, reason::NOT_ATTACHED))
    }

    fn flags(&self) -> u32 {
        let active = self.attached.iter().find(|one| one.id == self.active);
        active.and_then(|one| one.book.as_ref()).map_or(0, |book| book.policy().flags)
    }

    /// Rule A5.
    fn must_not_be_confined(&self) -> Result<()> {
        match self.flags() & context_flags::CONFINED {
            0 => Ok(()),
            _ => Err(Error::context(self.active, reason::CONFINED)),
        }
    }
}

impl Facts for EmbeddedPool {
    fn object(&self, id: ObjectId) -> Option<Object> {
        self.meta(id).ok().map(|(meta, _)| about(&meta))
    }

    fn key(&self, id: ObjectId) -> Option<[u8; size_of::<Key>()]> {
        let file = File::from(self.open_file(id, &ObjectPath::data(id), false).ok()?);
        let mut bytes = [0; size_of::<Key>()];
        let whole = file.metadata().ok()?.len() == bytes.len() as u64;
        (whole && file.read_exact_at(&mut bytes, 0).is_ok()).then_some(bytes)
    }
}

/// An object, as its checked meta record says.
fn about(meta: &Meta) -> Object {
    Object {
        id: meta.id,
        identity: identity_of(meta),
        epoch: epoch_of(meta.epoch).unwrap_or(MAX_EPOCH),
    }
}

impl EmbeddedPool {
    /// What the active context allows on an object: `E` of SECURITY.md. Runs in the
    /// fault handler.
    pub(super) fn allowed(&self, meta: &Meta) -> Rights {
        let object = about(meta);
        self.realm.active.with(|book| match book {
            None => Rules::DEFAULT.allowed_on(&object),
            Some(book) => book.allowed(&object, now(), self),
        })
    }

    /// Refuses what the active context does not allow.
    pub(super) fn must_allow(&self, meta: &Meta, wanted: Rights) -> Result<()> {
        let granted = self.allowed(meta);
        match granted.contains(wanted) {
            true => Ok(()),
            false => Err(Error::refused(meta.id, wanted, granted)),
        }
    }

    /// Notices that time, an epoch or another process has changed what is allowed.
    pub(super) fn keep_up(&self) {
        if !self.realm.confers.load(Ordering::Acquire) {
            return;
        }
        let mut state = self.realm.lock();
        let generation = self.generation().load(Ordering::Acquire);
        let now = now();
        let ended = |one: &Attachment| {
            one.book.as_ref().and_then(|book| book.built().next).is_some_and(|next| next <= now)
        };
        if state.generation == generation && !state.attached.iter().any(ended) {
            return;
        }
        for one in &mut state.attached {
            let Some(book) = &one.book else { continue };
            // A load that fails leaves what was loaded before, by today's epochs.
            let new = self.read_book(one.id, Some(book)).unwrap_or_else(|_| {
                let mut same = Book::clone(book);
                same.rebuild(self, now);
                same
            });
            one.book = Some(Arc::new(new));
        }
        state.generation = generation;
        self.settle(state);
    }

    /// Puts what was decided in force: what is mapped and not allowed any more is out
    /// of reach when this returns (rules A7, R3, R4).
    fn settle(&self, state: MutexGuard<'_, State>) {
        self.realm.publish(&state);
        drop(state);
        fault::each_space(Core::recheck);
    }

    /// Loads a context (rules C1 to C5).
    fn read_book(&self, id: ObjectId, before: Option<&Arc<Book>>) -> Result<Book> {
        let (meta, _) = self.meta(id)?;
        let size = self.data_size(id)?;
        let spoiled = |why| Error::spoiled(id, why);
        let count = link::count(meta.kind, size).map_err(spoiled)?;
        let bytes = self.copy_context(id, count)?;
        if let Some(before) = before.filter(|before| before.is_of(&bytes)) {
            let mut same = Book::clone(before);
            same.rebuild(self, now());
            return Ok(same);
        }
        let seed = u64::from_le_bytes(sys::random()?);
        Book::load(id, bytes, before.map(|book| &**book), self, (now(), seed)).map_err(spoiled)
    }

    /// Copies a context's bytes, once.
    fn copy_context(&self, id: ObjectId, count: u64) -> Result<(Bytes, Vec<Bytes>)> {
        let file = File::from(self.open_file(id, &ObjectPath::data(id), false)?);
        let mut bytes = vec![[0; RECORD]; count as usize + 1];
        let whole = file.read_exact_at(bytes.as_flattened_mut(), 0);
        whole.map_err(|_| Error::spoiled(id, Spoiled::Size(count)))?;
        let header = bytes.remove(0);
        Ok((header, bytes))
    }

    pub(super) fn state_of_contexts(&self) -> Result<ContextState> {
        self.keep_up();
        let mut state = self.realm.lock();
        let nonce = sys::random()?;
        state.nonce = Some(nonce);
        let mut attached = [ObjectId::NULL; MAX_ATTACHED];
        for (place, one) in attached.iter_mut().zip(&state.attached) {
            *place = one.id;
        }
        let (active, count, flags) = (state.active, state.attached.len() as u32, state.flags());
        Ok(ContextState { active, attached, count, flags, nonce })
    }

    pub(super) fn attach_to(
        &self,
        id: ObjectId,
        flags: u32,
        proof: Option<&Signature>,
    ) -> Result<()> {
        if flags & !(attach_flags::SWITCH | attach_flags::CLOEXEC) != 0 {
            return Err(Error::Unsupported("unknown flags"));
        }
        self.keep_up();
        let mut state = self.realm.lock();
        state.must_not_be_confined()?;
        // Rule A2.
        if id == DEFAULT && state.find(id).is_err() {
            return Err(Error::context(id, reason::NO_USE));
        }
        if state.find(id).is_ok() {
            return Err(Error::Attached(id));
        }
        self.may_attach(&mut state, id, proof)?;
        if state.attached.len() >= MAX_ATTACHED {
            return Err(Error::context(id, reason::TOO_MANY));
        }
        let book = Some(Arc::new(self.read_book(id, None)?));
        let cloexec = flags & attach_flags::CLOEXEC != 0;
        state.attached.push(Attachment { id, cloexec, book });
        if flags & attach_flags::SWITCH != 0 {
            state.active = id;
        }
        self.settle(state);
        Ok(())
    }

    /// Rule A1.
    fn may_attach(&self, state: &mut State, id: ObjectId, proof: Option<&Signature>) -> Result<()> {
        let (meta, _) = self.meta(id)?;
        let allowed = match proof {
            None => self.allowed(&meta).contains(Rights::USE),
            Some(proof) => state.nonce.take().is_some_and(|nonce| {
                let claim = AttachClaim { pool: self.superblock.pool_id, context: id, nonce };
                claim::attaches(self, &Ed25519, &claim, proof)
            }),
        };
        if allowed { Ok(()) } else { Err(Error::context(id, reason::NO_USE)) }
    }

    pub(super) fn switch_to(&self, id: ObjectId) -> Result<()> {
        self.keep_up();
        let mut state = self.realm.lock();
        state.must_not_be_confined()?;
        state.find(id)?;
        state.active = id;
        self.settle(state);
        Ok(())
    }

    pub(super) fn detach_from(&self, id: ObjectId) -> Result<()> {
        let mut state = self.realm.lock();
        state.must_not_be_confined()?;
        let active = state.active;
        if state.find(id)?.is_undetachable() || active == id {
            return Err(Error::context(id, reason::UNDETACHABLE));
        }
        state.attached.retain(|one| one.id != id);
        self.realm.publish(&state);
        Ok(())
    }

    pub(super) fn load_anew(&self, id: ObjectId) -> Result<(u32, u32)> {
        if id == DEFAULT {
            return Ok((0, 0));
        }
        let mut state = self.realm.lock();
        let before = state.find(id).ok().and_then(|one| one.book.clone());
        if before.is_none() {
            // Who may neither act in it nor change it has nothing to do with it.
            let (meta, _) = self.meta(id)?;
            let some = Rights(Rights::USE.0 | Rights::WRITE.0);
            if self.allowed(&meta).and(some).is_empty() {
                return Err(Error::context(id, reason::NO_USE));
            }
        }
        let book = self.read_book(id, before.as_ref())?;
        let built = book.built();
        if let Ok(one) = state.find(id) {
            one.book = Some(Arc::new(book));
        }
        self.settle(state);
        // Others who act in it read it, too, when they next look.
        if !self.read_only {
            self.bump()?;
        }
        Ok((built.grants, built.void))
    }

    /// Raises an object's epoch (rules R1, R2, R5).
    pub(super) fn raise_epoch(&self, id: ObjectId, epoch: u64, by: &Signature) -> Result<()> {
        self.writable()?;
        self.meta(id)?;
        let refused = || Error::context(id, reason::BAD_STATEMENT);
        let claim = RevokeClaim { object: id, epoch, reserved: 0 };
        if epoch > MAX_EPOCH || !claim::revokes(self, &Ed25519, &claim, by) {
            return Err(refused());
        }
        let path = ObjectPath::tail(id);
        let tail = self.open_file(id, &path, true)?;
        let page = TailPage::map(tail.as_fd())?;
        let word = page.word(META_START + core::mem::offset_of!(Meta, epoch) as u64)?;
        let raised = word.fetch_update(Ordering::AcqRel, Ordering::Acquire, |word| {
            epoch_of(word).is_ok_and(|before| before < epoch).then(|| epoch_word(epoch))
        });
        if raised.is_err() {
            return Err(refused());
        }
        File::from(tail).sync_all().map_err(Error::at("sync", path.within(&self.root)))?;
        self.bump()?;
        self.keep_up();
        Ok(())
    }

    /// What a program that this one runs has to find in its environment under
    /// [`crate::security::ENVIRONMENT`] (rule A9): `POOL:ID,*ID,...`, with a star at
    /// the active one.
    pub(super) fn context_text(&self) -> Option<String> {
        let state = self.realm.lock();
        let confined = state.flags() & context_flags::CONFINED != 0;
        let stays = |one: &Attachment| !one.cloexec || one.is_undetachable();
        let any = state.attached.iter().any(stays);
        let goes = |one: &&Attachment| match one.id == state.active {
            true if confined || !any => true,
            active => (active || !confined) && stays(one),
        };
        let text = |one: &Attachment| {
            let star = if one.id == state.active { "*" } else { "" };
            format!("{star}{}", one.id)
        };
        let all: Vec<_> = state.attached.iter().filter(goes).map(text).collect();
        let pool = ObjectId::from_u128(u128::from_be_bytes(self.superblock.pool_id));
        (all != [format!("*{DEFAULT}")]).then(|| format!("{pool}:{}", all.join(",")))
    }

    /// Attaches a process to what its parent was attached to, if that was in this pool.
    pub(super) fn inherit(&self) -> Result<()> {
        let Some(text) = std::env::var_os(ENVIRONMENT) else { return Ok(()) };
        let bad = || Error::Unsupported("TWZ_CONTEXT is not what 'twz run --context' puts there");
        let pool = ObjectId::from_u128(u128::from_be_bytes(self.superblock.pool_id));
        let (of, list) = text.to_str().and_then(|text| text.split_once(':')).ok_or_else(bad)?;
        if of.parse() != Ok(pool) {
            return Ok(());
        }
        let mut state = self.realm.lock();
        let (mut attached, mut active) = (Vec::new(), None);
        for part in list.split(',') {
            let (star, id) = match part.strip_prefix('*') {
                Some(id) => (true, id),
                None => (false, part),
            };
            let id: ObjectId = id.parse().map_err(|_| bad())?;
            let book = match id {
                DEFAULT => None,
                id => Some(Arc::new(self.read_book(id, None)?)),
            };
            active = if star { Some(id) } else { active };
            attached.push(Attachment { id, cloexec: false, book });
        }
        if attached.len() > MAX_ATTACHED {
            return Err(bad());
        }
        // Whose active context stayed behind goes on in the first that came along.
        state.active = active.or(attached.first().map(|one| one.id)).ok_or_else(bad)?;
        state.attached = attached;
        self.realm.publish(&state);
        Ok(())
    }
}

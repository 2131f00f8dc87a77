// SPDX-License-Identifier: GPL-2.0
//! Who acts in which context: [`Member`], what a memory map is attached to, and
//! [`Members`], all there are. A memory map that is none acts in the default context.
//!
//! The active context changes only under the space's lock for writing, after what it
//! does not allow was taken out of the page tables (`switch.rs`): who holds the lock
//! can rely on it. At fork and exec nothing can sleep, so what is handed on is
//! copied then, and what of it is to stay behind is left the first time that the new
//! one is asked, under the lock: nothing is mapped in it before.

use crate::{
    error::Result,
    guard::{on, Guard},
    secctx::{ContextNo, Hold},
    space::State,
    sys::{self, Heirs, Owner},
};
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use kernel::{
    alloc::Flags,
    mm::Mm,
    new_spinlock,
    prelude::*,
    rbtree::{RBTree, RBTreeNode},
    sync::{Arc, SpinLock},
};
use twz_abi::security::MAX_ATTACHED;

/// A context that one is attached to.
#[derive(Clone)]
struct Attachment {
    hold: Hold,
    /// Not beyond exec.
    cloexec: bool,
}

/// What it is attached to, in the order of attaching, without gaps.
type Attachments = [Option<Attachment>; MAX_ATTACHED];

/// What changes without the space's lock, for whoever forks.
struct Belongings {
    attached: Attachments,
    /// What was made at an exec is to be left behind (`settle`).
    execed: bool,
    /// What a proof has to cover.
    nonce: Option<[u8; 32]>,
}

/// A memory map that is attached to contexts.
#[pin_data]
pub(crate) struct Member {
    owner: Owner,
    /// The active context. One of those that are attached.
    active: AtomicU32,
    /// It was copied, and not asked since.
    fresh: AtomicBool,
    #[pin]
    belongings: SpinLock<Belongings>,
}

impl Member {
    fn new(
        owner: Owner,
        attached: Attachments,
        active: ContextNo,
        fresh: bool,
        execed: bool,
        flags: Flags,
    ) -> Result<Arc<Self>, Error> {
        Arc::pin_init(
            pin_init!(Self {
                owner,
                active: AtomicU32::new(active.number()),
                fresh: AtomicBool::new(fresh),
                belongings <- new_spinlock!(Belongings { attached, execed, nonce: None }),
            }),
            flags,
        )
    }

    /// Whose it is.
    pub(crate) fn owner(&self) -> &Owner {
        &self.owner
    }

    /// The active context.
    #[inline]
    pub(crate) fn context(&self, state: &State) -> ContextNo {
        if self.fresh.load(Ordering::Acquire) {
            self.settle(state);
        }
        ContextNo::from_number(self.active.load(Ordering::Relaxed))
    }

    /// Leaves behind what a fork or an exec does not take along (rule A9).
    #[cold]
    fn settle(&self, state: &State) {
        // Freed with the lock let go.
        let mut left = [const { None::<Attachment> }; MAX_ATTACHED];
        let mut belongings = self.belongings.lock();
        if !self.fresh.load(Ordering::Relaxed) {
            return;
        }
        let mut active = ContextNo::from_number(self.active.load(Ordering::Relaxed));
        let confined = state.contexts.rules(active).is_confined() && on(Guard::InheritConfined);
        let execed = belongings.execed && on(Guard::Cloexec);
        let stays = |one: &Attachment| match one.hold.no() {
            no if confined => no == active,
            no => !(execed && one.cloexec) || state.contexts.rules(no).is_undetachable(),
        };
        let last = belongings.attached.iter().flatten().filter(|one| stays(one)).count() == 0;
        let mut kept = 0;
        for at in 0..MAX_ATTACHED {
            let Some(one) = belongings.attached.get_mut(at).and_then(Option::take) else { break };
            // Who would be left in none stays where it is.
            if stays(&one) || (last && one.hold.no() == active) {
                if let Some(place) = belongings.attached.get_mut(kept) {
                    *place = Some(one);
                    kept += 1;
                }
            } else if let Some(place) = left.get_mut(at) {
                *place = Some(one);
            }
        }
        let mut nos = belongings.attached.iter().flatten().map(|one| one.hold.no());
        if !nos.clone().any(|no| no == active) {
            active = nos.next().unwrap_or(active);
        }
        self.active.store(active.number(), Ordering::Relaxed);
        belongings.execed = false;
        self.fresh.store(false, Ordering::Release);
        drop(belongings);
    }

    /// What it is attached to, one after the other: the one at `at`.
    pub(crate) fn attached(&self, at: usize) -> Option<Hold> {
        self.belongings.lock().attached.get(at)?.as_ref().map(|one| one.hold.clone())
    }

    /// Whether it is attached to a context.
    pub(crate) fn is_attached(&self, context: ContextNo) -> bool {
        self.belongings.lock().attached.iter().flatten().any(|one| one.hold.no() == context)
    }

    /// Whether there is another context to go to.
    pub(crate) fn has_others(&self) -> bool {
        self.belongings.lock().attached.get(1).is_some_and(Option::is_some)
    }

    /// Attaches one more; gives it back if there is no room.
    pub(crate) fn attach(&self, hold: Hold, cloexec: bool) -> Result<(), Hold> {
        let mut belongings = self.belongings.lock();
        match belongings.attached.iter_mut().find(|place| place.is_none()) {
            Some(place) => {
                *place = Some(Attachment { hold, cloexec });
                Ok(())
            }
            None => Err(hold),
        }
    }

    /// Detaches one, which is not the active one.
    pub(crate) fn detach(&self, context: ContextNo) -> Option<Hold> {
        let mut belongings = self.belongings.lock();
        let attached = &mut belongings.attached;
        let is =
            |place: &Option<Attachment>| place.as_ref().is_some_and(|one| one.hold.no() == context);
        let at = attached.iter().position(is)?;
        let found = attached.get_mut(at)?.take();
        attached.get_mut(at..)?.rotate_left(1);
        found.map(|one| one.hold)
    }

    /// Makes another one the active one. For `switch.rs`, which has taken out what
    /// that does not allow.
    pub(crate) fn set_active(&self, context: ContextNo) {
        // The lock, so that who forks copies one that is attached.
        let _belongings = self.belongings.lock();
        self.active.store(context.number(), Ordering::Relaxed);
    }

    /// Makes a new nonce.
    pub(crate) fn new_nonce(&self) -> [u8; 32] {
        let mut nonce = [0; 32];
        for half in nonce.chunks_exact_mut(16) {
            half.copy_from_slice(&sys::random());
        }
        self.belongings.lock().nonce = Some(nonce);
        nonce
    }

    /// The nonce, once.
    pub(crate) fn take_nonce(&self) -> Option<[u8; 32]> {
        let mut belongings = self.belongings.lock();
        match on(Guard::NonceOnce) {
            true => belongings.nonce.take(),
            false => belongings.nonce,
        }
    }

    /// A copy for another memory map, made where nothing may sleep.
    fn hand_on(&self, to: &Mm, execed: bool) -> Result<Arc<Self>, Error> {
        let belongings = self.belongings.lock();
        let attached = belongings.attached.clone();
        let active = ContextNo::from_number(self.active.load(Ordering::Relaxed));
        let execed = execed || belongings.execed;
        drop(belongings);
        Self::new(Owner::of(to), attached, active, true, execed, GFP_ATOMIC)
    }

    /// Whether it has, or may come to, other rights than everybody.
    fn is_special(&self) -> bool {
        self.belongings.lock().attached.iter().flatten().any(|one| !one.hold.id().is_null())
    }
}

/// All members, by the number of their memory map.
#[pin_data]
pub(crate) struct Members {
    #[pin]
    table: SpinLock<RBTree<usize, Arc<Member>>>,
}

/// Members that one step of [`Members::sweep`] takes.
const SWEEP: usize = 32;

impl Members {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self { table <- new_spinlock!(RBTree::new()) })
    }

    fn find(&self, key: usize) -> Option<Arc<Member>> {
        self.table.lock().get(&key).cloned()
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.table.lock().values().count()
    }

    /// The calling program's, if it is one.
    pub(crate) fn current(&self) -> Option<Arc<Member>> {
        self.find(sys::current_key())
    }

    /// The context that the calling program acts in. Asked under the lock, since it may
    /// come to be a member, or another thread of it switch, until then.
    pub(crate) fn context(&self, state: &State) -> ContextNo {
        if !on(Guard::DescriptorAsks) {
            return ContextNo::DEFAULT;
        }
        self.current().map_or(ContextNo::DEFAULT, |member| member.context(state))
    }

    /// Makes the calling program a member, in the default context, unless it is one.
    pub(crate) fn join(&self, default: Hold) -> Result<Arc<Member>> {
        let owner = Owner::current().ok_or(ESRCH)?;
        let key = owner.key();
        if let Some(member) = self.find(key) {
            return Ok(member);
        }
        let mut attached = [const { None }; MAX_ATTACHED];
        let active = default.no();
        if let Some(first) = attached.first_mut() {
            *first = Some(Attachment { hold: default, cloexec: false });
        }
        let member = Member::new(owner, attached, active, false, false, GFP_KERNEL)?;
        let node = RBTreeNode::new(key, member.clone(), GFP_KERNEL)?;
        let mut table = self.table.lock();
        // Another thread may have been faster. (What is not used is freed after.)
        let there = table.get(&key).cloned();
        match there {
            Some(there) => {
                drop(table);
                Ok(there)
            }
            None => {
                table.insert(node);
                Ok(member)
            }
        }
    }

    /// Forgets those whose memory map has ended. Says whether any are left.
    pub(crate) fn sweep(&self) -> bool {
        loop {
            let mut ended = [0; SWEEP];
            let (mut count, mut left) = (0, false);
            {
                let table = self.table.lock();
                for (key, _) in table.iter().filter(|(_, member)| member.owner.has_ended()) {
                    match ended.get_mut(count) {
                        Some(place) => *place = *key,
                        None => break,
                    }
                    count += 1;
                }
                left |= table.values().count() > count;
            }
            for key in ended.iter().take(count) {
                // Freed with the lock let go.
                let node = self.table.lock().remove_node(key);
                drop(node);
            }
            if count < SWEEP {
                return left;
            }
        }
    }

    /// Copies what a memory map is attached to for another.
    fn hand_on(&self, from: &Mm, to: &Mm, execed: bool) -> Result<Option<Arc<Member>>, Error> {
        let Some(member) = self.find(from.as_raw() as usize) else { return Ok(None) };
        let heir = member.hand_on(to, execed)?;
        let node = RBTreeNode::new(heir.owner.key(), heir.clone(), GFP_ATOMIC)?;
        // A memory map that is new has none yet.
        let old = self.table.lock().insert(node);
        drop(old);
        Ok(Some(heir))
    }
}

/// What fork and exec hand on.
pub(crate) struct Inheritance;

impl Heirs for Inheritance {
    fn forked(from: &Mm, to: &Mm) -> Result<(), Error> {
        match sys::space() {
            Some(space) if on(Guard::Inherit) => {
                space.members.hand_on(from, to, false)?;
                sys::tick_soon();
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn execed(from: &Mm, to: &Mm) -> Result<bool, Error> {
        match sys::space() {
            Some(space) if on(Guard::Inherit) => {
                let heir = space.members.hand_on(from, to, true)?;
                sys::tick_soon();
                Ok(heir.is_some_and(|heir| heir.is_special()) && on(Guard::Hide))
            }
            _ => Ok(false),
        }
    }
}

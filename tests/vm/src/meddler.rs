// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random things about contexts: what [`crate::fuzzer`] and [`crate::tools::stress`]
//! do with them among everything else. What it signs may well hold; what it writes is
//! cut short or has a bit flipped now and then; and contexts change while they are
//! loaded. It knows that most commands may fail, and asks for none that must not.

use std::{
    os::fd::RawFd,
    sync::atomic::{AtomicBool, Ordering},
};

use twz_abi::{
    ObjectId, PAGE, Rights,
    ioctl::{self as abi, attach_flags},
    meta,
    security::{
        ContextHeader, Gate, Grant, Mask, Policy, RECORD, RevokeClaim, SIGNATURE, context_flags,
    },
};
use twz_core::security::link::digest;
use zerocopy::IntoBytes as _;

use crate::{
    rng::Rng,
    security::{Owner, context},
    sys::{self, Session},
    world::OPEN,
};

/// Contexts at a time.
const CONTEXTS: usize = 5;

/// Records that a context has room for.
const RECORDS: u64 = 39;

/// Grants that others are derived from, at most.
const GRANTS: usize = 24;

/// Who does them.
#[derive(Clone)]
pub struct Meddler {
    owners: [Owner; 2],
    contexts: Vec<ObjectId>,
    targets: Vec<ObjectId>,
    grants: Vec<Grant>,
}

impl Meddler {
    /// With keys, contexts and owned objects that are made in a session.
    pub fn new(session: &Session) -> Self {
        let owners = [1, 2].map(|n| Owner::new(session, n));
        let contexts =
            (0..CONTEXTS).map(|n| context(session, owners[n % 2].id, Rights::ALL, 0)).collect();
        let targets = [OPEN, Rights::READ, Rights::NONE]
            .map(|rights| owners[0].object(session, 40 * PAGE, rights));
        Self { owners, contexts, targets: targets.to_vec(), grants: Vec::new() }
    }

    /// What it has made: contexts and owned objects.
    pub fn ids(&self) -> Vec<ObjectId> {
        [&self.contexts[..], &self.targets].concat()
    }

    /// A key's object, or none.
    pub fn owner(&self, rng: &mut Rng) -> ObjectId {
        *rng.of(&[ObjectId::NULL, self.owners[0].id, self.owners[1].id])
    }

    /// One thing, to one of its objects or one of these.
    pub fn one(&mut self, rng: &mut Rng, session: &Session, ids: &[ObjectId]) {
        let id = *rng.of(&self.contexts);
        match rng.below(20) {
            0 => self.renew(rng, session),
            1 => self.header(rng, session, id),
            2..=6 => self.record(rng, session, id, ids),
            7 => Self::scribble(rng, session.raw(), id),
            8 | 9 => {
                let _ = session.load(id);
            }
            10 => Self::load_what_changes(rng, session, id),
            11..=13 => self.attach(rng, session, id),
            14 => {
                let id = if rng.one_in(6) { ObjectId::NULL } else { id };
                let _ = session.detach(id);
            }
            15..=17 => {
                // Back, more often than not: whoever may do nothing finds nothing.
                let id = if rng.one_in(2) { ObjectId::NULL } else { id };
                let _ = session.switch(id);
            }
            _ => self.revoke(rng, session, ids),
        }
    }

    fn target(&self, rng: &mut Rng, ids: &[ObjectId]) -> ObjectId {
        match rng.below(3) {
            0 => *rng.of(ids),
            1 => *rng.of(&self.contexts),
            _ => *rng.of(&self.targets),
        }
    }

    /// Puts a new context in the place of an old one.
    fn renew(&mut self, rng: &mut Rng, session: &Session) {
        let create = abi::Create {
            kind: meta::kind::CONTEXT,
            size: RECORD as u64 * (RECORDS + 1),
            owner: self.owners[rng.below(2) as usize].id,
            default_rights: (Rights(rng.below(64) as u32) | Rights::DELETE | Rights::WRITE).0,
            ..Default::default()
        };
        let Ok(id) = session.create_as(create) else { return };
        let n = rng.below(CONTEXTS as u64) as usize;
        let _ = session.delete(std::mem::replace(&mut self.contexts[n], id));
        self.header(rng, session, id);
    }

    fn header(&self, rng: &mut Rng, session: &Session, id: ObjectId) {
        let mask = if rng.one_in(4) { Rights(rng.below(64) as u32) } else { Rights::ALL };
        let flags = match rng.below(24) {
            0 => context_flags::CONFINED,
            1..=3 => context_flags::UNDETACHABLE,
            _ => 0,
        };
        let mut header = ContextHeader::new(id, Policy { mask, flags });
        if rng.one_in(8) {
            let bytes = header.as_mut_bytes();
            bytes[rng.below(RECORD as u64) as usize] ^= 1 << rng.below(8);
        }
        let _ = session.write(id, PAGE, header.as_bytes());
    }

    /// Writes a record: of a kind there is, or nearly.
    fn record(&mut self, rng: &mut Rng, session: &Session, id: ObjectId, ids: &[ObjectId]) {
        let mut bytes: Vec<u8> = match rng.below(6) {
            0 => vec![0; RECORD],
            1 => {
                let rights = Rights(rng.below(64) as u32);
                Mask::new(self.target(rng, ids), rights).as_bytes().to_vec()
            }
            _ => self.grant(rng, id, ids).as_bytes().to_vec(),
        };
        if rng.one_in(6) {
            bytes[rng.below(RECORD as u64) as usize] ^= 1 << rng.below(8);
        }
        if rng.one_in(12) {
            bytes.truncate(rng.below(RECORD as u64) as usize);
        }
        let at = PAGE + (1 + rng.below(RECORDS)) * RECORD as u64;
        let _ = session.write(id, at, &bytes);
    }

    /// A grant: by whom it may be, or not, and of what it comes from, if of anything.
    fn grant(&mut self, rng: &mut Rng, id: ObjectId, ids: &[ObjectId]) -> Grant {
        let owner = &self.owners[rng.one_in(4) as usize];
        let accessor = if rng.one_in(4) { *rng.of(&self.contexts) } else { id };
        let rights = Rights(1 + rng.below(63) as u32);
        let mut grant = owner.grant(self.target(rng, ids), accessor, rights, Gate::NONE);
        if rights.contains(Rights::EXEC) && rng.one_in(2) {
            let (offset, length) = (PAGE + rng.below(2 * PAGE), 1 + rng.below(64));
            grant.gate = Gate { offset, length, align: 1 << rng.below(5) };
        }
        if rng.one_in(4) {
            let now = std::time::UNIX_EPOCH.elapsed().map_or(0, |now| now.as_nanos() as u64);
            grant.not_before = now.wrapping_sub(1_000_000_000) + rng.below(2_000_000_000);
            grant.expires = grant.not_before + rng.below(3_000_000_000);
        }
        grant.epoch = rng.below(3);
        if !self.grants.is_empty() && rng.one_in(2) {
            let parent = rng.of(&self.grants);
            (grant.grantor, grant.parent) = (parent.accessor, digest(parent));
            if !rng.one_in(4) {
                (grant.target, grant.gate) = (parent.target, parent.gate);
                grant.rights &= parent.rights;
            }
        }
        let grant = owner.sign(grant);
        if self.grants.len() == GRANTS {
            self.grants.swap_remove(rng.below(GRANTS as u64) as usize);
        }
        self.grants.push(grant);
        grant
    }

    /// Random bytes somewhere in a context, or another size.
    fn scribble(rng: &mut Rng, fd: RawFd, id: ObjectId) {
        let whole = RECORD as u64 * (RECORDS + 1);
        if rng.one_in(6) {
            let size = *rng.of(&[whole, whole, RECORD as u64, 0, whole - 1, 3000, 2 * whole]);
            let _ = sys::command(fd, abi::RESIZE, &mut abi::Resize { id, size, reserved: 0 });
            return;
        }
        let len = 1 + rng.below(40) as usize;
        let bytes = if rng.one_in(3) { vec![0; 256] } else { rng.bytes(len) };
        let (offset, len) = (PAGE + rng.below(whole / 8) * 8, bytes.len() as u64);
        let address = bytes.as_ptr() as u64;
        let _ = sys::command(fd, abi::WRITE, &mut abi::Transfer { id, offset, address, len });
    }

    fn load_what_changes(rng: &mut Rng, session: &Session, id: ObjectId) {
        let (stop, fd, seed) = (AtomicBool::new(false), session.raw(), rng.next());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut rng = Rng::new(seed);
                while !stop.load(Ordering::Relaxed) {
                    Self::scribble(&mut rng, fd, id);
                }
            });
            (0..3).for_each(|_| _ = session.load(id));
            stop.store(true, Ordering::Relaxed);
        });
    }

    fn attach(&self, rng: &mut Rng, session: &Session, id: ObjectId) {
        let flags = rng.below(4) as u32;
        if !rng.one_in(3) {
            let _ = session.attach(id, flags);
            return;
        }
        let owner = rng.of(&self.owners);
        let mut proof = owner.proof(&session.claim(id));
        if rng.one_in(4) {
            proof[rng.below(SIGNATURE as u64) as usize] ^= 1 << rng.below(8);
        }
        let _ = session.attach_proven(id, flags & attach_flags::KNOWN, proof);
    }

    fn revoke(&self, rng: &mut Rng, session: &Session, ids: &[ObjectId]) {
        let (object, owner) = (self.target(rng, ids), &self.owners[rng.one_in(4) as usize]);
        let epoch = if rng.one_in(40) { rng.next() } else { rng.below(4) };
        let mut signature = owner.revocation(&RevokeClaim { object, epoch, reserved: 0 });
        if rng.one_in(6) {
            signature[rng.below(SIGNATURE as u64) as usize] ^= 1;
        }
        let _ =
            session.call(abi::REVOKE, &mut abi::Revoke { object, epoch, reserved: 0, signature });
    }
}

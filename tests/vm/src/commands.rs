// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every command with an argument that would be accepted, and what in it must
//! not be otherwise: what the table-driven tests run over.

use std::mem::{offset_of, size_of};

use twz_abi::{
    ObjectId, PAGE, Rights, ioctl as abi,
    ioctl::attach_flags::{CLOEXEC, PROOF, SWITCH},
    meta, reason,
    security::RevokeClaim,
};
use twz_core::Identity;
use zerocopy::{FromZeros as _, Immutable, IntoBytes};

use crate::{
    errno::Errno,
    security::{Owner, context, context_for},
    sys::{self, Session},
    world::view_object,
};

/// Objects, memory and a name that the arguments speak of.
pub struct Props {
    /// An object of two pages.
    pub object: ObjectId,
    /// A view.
    pub view: ObjectId,
    /// Who owns what follows.
    pub owner: Owner,
    /// A context that everybody may use, in which this program is not.
    pub context: ObjectId,
    /// One that nobody may use.
    closed: ObjectId,
    /// One whose size is no context's.
    ragged: ObjectId,
    /// An object that has an owner.
    pub owned: ObjectId,
    /// A name that is bound to `object`, or a directory: none of them is there.
    path: Vec<u8>,
    /// Room for answers.
    room: Vec<u8>,
}

/// A change to a valid argument for which it is refused.
pub struct Spoil {
    /// What is changed.
    pub field: &'static str,
    /// Where it lies.
    at: usize,
    /// What is put there.
    with: Vec<u8>,
    /// What it is refused with.
    pub errno: Errno,
    /// What `LAST_ERROR` tells of it.
    pub reason: u32,
}

/// A command with a valid argument.
pub struct Case {
    /// The command.
    pub command: &'static abi::Command,
    /// Its argument.
    pub valid: Vec<u8>,
    /// Where the id of an object stands, if one does.
    pub id_at: Option<usize>,
    /// Where the address of memory stands, if one does.
    pub addresses: Vec<usize>,
    /// What it must not say.
    pub spoils: Vec<Spoil>,
}

impl Case {
    /// The argument, changed.
    pub fn spoiled(&self, spoil: &Spoil) -> Vec<u8> {
        self.with(spoil.at, &spoil.with)
    }

    /// The argument with other bytes at `at`.
    pub fn with(&self, at: usize, bytes: &[u8]) -> Vec<u8> {
        let mut argument = self.valid.clone();
        argument[at..at + bytes.len()].copy_from_slice(bytes);
        argument
    }

    /// Issues the command with these bytes for an argument.
    pub fn issue(&self, fd: i32, argument: &mut [u8]) -> crate::errno::Result {
        assert_eq!(argument.len(), self.command.size);
        // Aligned as a structure is.
        let mut words = vec![0u64; argument.len() / 8];
        words.as_mut_bytes().copy_from_slice(argument);
        let done = sys::ioctl(fd, self.command.number, words.as_mut_ptr() as usize);
        argument.copy_from_slice(words.as_bytes());
        done.map(|_| ())
    }
}

impl Props {
    /// Made in a session, and gone with it.
    pub fn new(session: &Session) -> Self {
        let owner = Owner::new(session, 1);
        let ragged = context(session, owner.id, Rights::ALL, 0);
        assert_eq!(session.resize(ragged, 1000), Ok(()));
        Self {
            context: context(session, owner.id, Rights::ALL, 0),
            closed: context_for(session, owner.id, Rights::ALL, 0, Rights::NONE),
            ragged,
            owned: owner.object(session, PAGE, Rights::READ),
            owner,
            object: session.object(2 * PAGE),
            view: view_object(session, 8),
            path: format!("/props-{}", std::process::id()).into_bytes(),
            room: vec![0; 4096],
        }
    }

    fn path(&self) -> (u64, u32) {
        (self.path.as_ptr() as u64, self.path.len() as u32)
    }

    /// Every command, in the table's order.
    pub fn cases(&self) -> Vec<Case> {
        let mut cases = self.session_cases();
        cases.extend(self.object_cases());
        cases.extend(self.data_cases());
        cases.extend(self.view_cases());
        cases.extend(self.name_cases());
        cases.extend(self.context_cases());
        cases.sort_by_key(|case| case.command.number & 0xff);
        let listed: Vec<u32> = cases.iter().map(|case| case.command.number).collect();
        let all: Vec<u32> = abi::COMMANDS.iter().map(|command| command.number).collect();
        assert_eq!(listed, all, "every command of the table has a case");
        cases
    }

    fn session_cases(&self) -> Vec<Case> {
        let fault = abi::Fault { address: 4096, access: 1, reserved: 0 };
        vec![
            case(abi::HANDSHAKE, sys::greeting()).word(
                "reserved",
                offset_of!(abi::Handshake, reserved),
                1,
            ),
            case(abi::INFO, abi::Info::new_zeroed()),
            case(abi::LAST_ERROR, abi::LastError::default()),
            case(abi::FAULT, fault)
                .half("no access", offset_of!(abi::Fault, access), 0)
                .half("two accesses", offset_of!(abi::Fault, access), 3)
                .half("an unknown access", offset_of!(abi::Fault, access), 64)
                .half("reserved", offset_of!(abi::Fault, reserved), 1),
        ]
    }

    fn object_cases(&self) -> Vec<Case> {
        let id = self.object;
        let create = abi::Create { size: 1, default_rights: 19, ..Default::default() };
        let adopt = adoptable(session_nonce(id), 1);
        let count = (self.room.len() / 16) as u32;
        let list = abi::List { cursor: 0, ids: self.room.as_ptr() as u64, count, reserved: 0 };
        let copy = abi::Copy { source: id, create, epoch: 0 };
        let in_copy = offset_of!(abi::Copy, create);
        vec![
            spoil_create(case(abi::CREATE, create), 0).word(
                "size",
                offset_of!(abi::Create, size),
                twz_abi::MAX_DATA + 1,
            ),
            spoil_create(case(abi::ADOPT, adopt), 0).word(
                "content of what can change",
                offset_of!(abi::Adopt, content) + 24,
                1,
            ),
            case(abi::STAT, abi::Stat { id, ..Default::default() }).id(0),
            case(abi::LIST, list)
                .half("reserved", offset_of!(abi::List, reserved), 1)
                .address(offset_of!(abi::List, ids)),
            case(abi::RESIZE, abi::Resize { id, size: PAGE, reserved: 0 })
                .id(0)
                .word("size", offset_of!(abi::Resize, size), twz_abi::MAX_DATA + 1)
                .word("reserved", offset_of!(abi::Resize, reserved), 1 << 63),
            case(abi::RESERVE, abi::Reserve { id, from: PAGE, to: 2 * PAGE })
                .id(0)
                .word("from after to", offset_of!(abi::Reserve, from), 3 * PAGE)
                .word("from in the null page", offset_of!(abi::Reserve, from), 0)
                .word("to", offset_of!(abi::Reserve, to), twz_abi::SLOT + 1),
            case(abi::DELETE, abi::Delete { id, reserved: 0 }).id(0).word(
                "reserved",
                offset_of!(abi::Delete, reserved),
                1,
            ),
            case(abi::SYNC, abi::Sync { id, reserved: 0 }).id(0).word(
                "reserved",
                offset_of!(abi::Sync, reserved),
                1,
            ),
            spoil_create(case(abi::COPY, copy), in_copy).id(0),
        ]
    }

    fn data_cases(&self) -> Vec<Case> {
        let id = self.object;
        let (offset, address) = (PAGE, self.room.as_ptr() as u64);
        let transfer = abi::Transfer { id, offset, address, len: 64 };
        let wait = abi::Wait { id, offset, value: 1, timeout: 0 };
        let offset_at = offset_of!(abi::Transfer, offset);
        let mut cases: Vec<Case> = [abi::READ, abi::WRITE]
            .map(|number| {
                case(number, transfer)
                    .id(0)
                    .address(offset_of!(abi::Transfer, address))
                    .word("offset in the null page", offset_at, PAGE - 1)
                    .word("offset past the slot", offset_at, 1 << 30)
                    .word("offset that overflows", offset_at, u64::MAX - 8)
            })
            .into();
        cases.extend([
            case(abi::OPEN_FD, abi::OpenFd { id, rights: 1, fd: 0 })
                .id(0)
                .half("EXEC", offset_of!(abi::OpenFd, rights), 5)
                .half("an unknown right", offset_of!(abi::OpenFd, rights), 65),
            case(abi::WAIT, wait)
                .id(0)
                .word("offset of no word", offset_of!(abi::Wait, offset), PAGE + 4)
                .word("offset in the null page", offset_of!(abi::Wait, offset), 0)
                .word("offset past the slot", offset_of!(abi::Wait, offset), 1 << 30),
            case(abi::WAKE, abi::Wake { id, offset, count: 1 })
                .id(0)
                .word("offset of no word", offset_of!(abi::Wake, offset), PAGE + 4)
                .word("offset past the slot", offset_of!(abi::Wake, offset), 1 << 30),
        ]);
        cases
    }

    fn view_cases(&self) -> Vec<Case> {
        let view = self.view;
        let first = offset_of!(abi::InvalidateView, first);
        let resolve = abi::Resolve { id: self.object, wanted: 1, ..Default::default() };
        vec![
            case(abi::SET_VIEW, abi::SetView { view, fd: 0, reserved: 0 }).id(0).half(
                "reserved",
                offset_of!(abi::SetView, reserved),
                1,
            ),
            case(abi::INVALIDATE_VIEW, abi::InvalidateView { view, first: 0, count: 1 })
                .id(0)
                .half("first", first, twz_abi::view::MAX_SLOTS)
                .half("count", first + 4, twz_abi::view::MAX_SLOTS + 1)
                .half("count that overflows", first + 4, u32::MAX),
            case(abi::RESOLVE, resolve)
                .id(0)
                .half("wanted", offset_of!(abi::Resolve, wanted), 64)
                .half("reserved", offset_of!(abi::Resolve, reserved), 1),
        ]
    }

    fn name_cases(&self) -> Vec<Case> {
        let ((path, len), id) = (self.path(), self.object);
        let only = abi::PathOnly { path, len, reserved: 0 };
        let reserved = offset_of!(abi::PathOnly, reserved);
        let rename = abi::Rename { from: path, to: path, from_len: len, to_len: len };
        // The root.
        let read = abi::ReadDir {
            path,
            entries: self.room.as_ptr() as u64,
            cursor: 0,
            len: 1,
            count: (self.room.len() / size_of::<abi::DirEntry>()) as u32,
        };
        let mut cases = vec![
            case(abi::LOOKUP, abi::Lookup { path, len, ..Default::default() })
                .address(0)
                .half("len", 8, 4096),
            case(abi::BIND, abi::Bind { path, len, replace: 0, id })
                .id(offset_of!(abi::Bind, id))
                .address(0)
                .half("len", 8, 4096)
                .half("replace", offset_of!(abi::Bind, replace), 2),
            case(abi::RENAME, rename)
                .address(0)
                .address(8)
                .half("from_len", offset_of!(abi::Rename, from_len), 4096)
                .half("to_len", offset_of!(abi::Rename, to_len), u32::MAX),
            case(abi::READ_DIR, read).address(0).address(8).half(
                "len",
                offset_of!(abi::ReadDir, len),
                4096,
            ),
        ];
        cases.extend([abi::UNBIND, abi::MKDIR, abi::RMDIR].map(|number| {
            case(number, only).address(0).half("len", 8, 4096).half("reserved", reserved, 1)
        }));
        cases
    }

    /// Done in the table's order they all are accepted: what was attached is detached.
    fn context_cases(&self) -> Vec<Case> {
        let context = self.context;
        let signature = [0; 64];
        let attach = abi::Attach { context, flags: 0, reserved: 0, signature };
        let flags = offset_of!(abi::Attach, flags);
        let [null, object, owned, closed, ragged] =
            [ObjectId::NULL, self.object, self.owned, self.closed, self.ragged];
        let only = |number: u32, context: ObjectId| {
            let argument = abi::ContextOnly { context, ..Default::default() };
            let reserved = offset_of!(abi::ContextOnly, reserved);
            case(number, argument).object(0).word("reserved", reserved, 1)
        };
        // What is no context is none that one is in, either.
        let (no, out) = (Errno::ENOENT, reason::NOT_ATTACHED);
        let elsewhere = |case: Case| {
            case.refuses("a context that one is not in", 0, &closed, no, out)
                .refuses("a plain object", 0, &object, no, out)
                .refuses("no id", 0, &ObjectId { lo: 1, hi: 0 }, no, out)
        };
        let (bad, no_use) = (reason::BAD_CONTEXT, reason::NO_USE);
        vec![
            case(abi::CONTEXTS, abi::ContextState::new_zeroed()),
            case(abi::ATTACH, attach)
                .object(0)
                .half("reserved", offset_of!(abi::Attach, reserved), 1)
                .half("flags", flags, 8)
                .half("flags", flags, 1 << 31 | SWITCH | CLOEXEC)
                .word("a signature that is no proof", offset_of!(abi::Attach, signature) + 56, 1)
                .refuses(
                    "no id",
                    0,
                    &ObjectId { lo: 1, hi: 0 },
                    Errno::EINVAL,
                    reason::BAD_ARGUMENT,
                )
                .refuses("a proof that is none", flags, &PROOF, Errno::EACCES, no_use)
                .refuses("the default context", 0, &null, Errno::EEXIST, reason::NONE)
                .refuses("a context without USE", 0, &closed, Errno::EACCES, no_use)
                .refuses("an object without USE", 0, &owned, Errno::EACCES, no_use)
                .refuses("a context of no size", 0, &ragged, Errno::EINVAL, bad),
            elsewhere(only(abi::DETACH, context)).refuses(
                "the active context",
                0,
                &null,
                Errno::EBUSY,
                reason::UNDETACHABLE,
            ),
            // The one that is active, so that it is accepted.
            elsewhere(only(abi::SWITCH, null)),
            only(abi::LOAD, context)
                .refuses("the default context", 0, &null, Errno::EINVAL, reason::BAD_ARGUMENT)
                .refuses("a plain object", 0, &object, Errno::EINVAL, bad)
                .refuses("a context of no size", 0, &ragged, Errno::EINVAL, bad)
                .refuses(
                    "an object with READ alone",
                    0,
                    &owned,
                    Errno::EACCES,
                    reason::CONTEXT_DENIES,
                ),
            self.revoke_case(),
        ]
    }

    fn revoke_case(&self) -> Case {
        let revoke = |object: ObjectId, epoch: u64| {
            let claim = RevokeClaim { object, epoch, reserved: 0 };
            abi::Revoke { object, epoch, reserved: 0, signature: self.owner.revocation(&claim) }
        };
        let (epoch, signature) =
            (offset_of!(abi::Revoke, epoch), offset_of!(abi::Revoke, signature));
        let bad = reason::BAD_STATEMENT;
        let (low, high) = (revoke(self.owned, 0), revoke(self.owned, meta::MAX_EPOCH + 1));
        case(abi::REVOKE, revoke(self.owned, 1))
            .id(0)
            .word("reserved", offset_of!(abi::Revoke, reserved), 1)
            .refuses("another epoch", epoch, &2u64, Errno::EACCES, bad)
            .refuses("another signature", signature, &[0u8; 64], Errno::EACCES, bad)
            .refuses("another's object", 0, &revoke(self.object, 1), Errno::EACCES, bad)
            .refuses("another object", 0, &self.context, Errno::EACCES, bad)
            .refuses("the epoch that it has", 0, &low, Errno::EINVAL, bad)
            .refuses("an epoch above all", 0, &high, Errno::EINVAL, bad)
    }
}

fn session_nonce(id: ObjectId) -> [u8; 16] {
    (id.as_u128() ^ 1).to_le_bytes()
}

/// An object of zeros that can be adopted: its id is earned.
pub fn adoptable(nonce: [u8; 16], size: u64) -> abi::Adopt {
    let identity = Identity::plain(nonce);
    let create = abi::Create {
        id: identity.id().expect("a nonce that gives an id"),
        nonce,
        default_rights: identity.default_rights,
        size,
        ..Default::default()
    };
    abi::Adopt { create, content: [0; 32], epoch: 0 }
}

fn case<T: IntoBytes + Immutable>(number: u32, argument: T) -> Case {
    let command = abi::COMMANDS.iter().find(|command| command.number == number);
    Case {
        command: command.expect("a command of the table"),
        valid: argument.as_bytes().to_vec(),
        id_at: None,
        addresses: Vec::new(),
        spoils: Vec::new(),
    }
}

/// What every structure that describes a new object must not say.
fn spoil_create(case: Case, at: usize) -> Case {
    case.half("reserved", at + offset_of!(abi::Create, reserved), 1)
        .half("flags", at + offset_of!(abi::Create, flags), 2)
        .half("flags", at + offset_of!(abi::Create, flags), 1 << 31)
        .half("default_rights", at + offset_of!(abi::Create, default_rights), Rights::ALL.0 + 1)
}

impl Case {
    fn half(self, field: &'static str, at: usize, with: u32) -> Self {
        self.spoil(field, at, with.to_le_bytes().to_vec())
    }

    fn word(self, field: &'static str, at: usize, with: u64) -> Self {
        self.spoil(field, at, with.to_le_bytes().to_vec())
    }

    fn spoil(mut self, field: &'static str, at: usize, with: Vec<u8>) -> Self {
        let (errno, reason) = (Errno::EINVAL, reason::BAD_ARGUMENT);
        self.spoils.push(Spoil { field, at, with, errno, reason });
        self
    }

    /// Is refused in a way of its own, with other bytes there.
    fn refuses<T: IntoBytes + Immutable>(
        mut self,
        field: &'static str,
        at: usize,
        with: &T,
        errno: Errno,
        reason: u32,
    ) -> Self {
        self.spoils.push(Spoil { field, at, with: with.as_bytes().to_vec(), errno, reason });
        self
    }

    /// Where the id of an object stands that may be null.
    fn object(mut self, at: usize) -> Self {
        self.id_at = Some(at);
        self
    }

    fn id(self, at: usize) -> Self {
        self.object(at).spoil("a null id", at, vec![0; 16])
    }

    fn address(mut self, at: usize) -> Self {
        self.addresses.push(at);
        self
    }
}

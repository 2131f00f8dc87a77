// SPDX-License-Identifier: MIT OR Apache-2.0
//! The cases, by operation. What is shown of an object when it is judged is in
//! `tests/crash/src/store.rs` (`PARTS`): data pages 0 and 1, 510 to 512, 1022 and
//! 1023, and 64 bytes of page 2000; what is changed here is there.

use libc::{FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE};
use twz_abi::{DATA_START, PAGE, Rights, ioctl as abi, meta};
use twz_core::{NewObject, Result, ident::ContentHash};
use twz_trace::mark::Promise::{self, Shown, Whole, Words};

use super::{Case, Furnish, Furnished, Step, stage::Stage};
use crate::{
    commands::adoptable,
    image::{id, identity},
    map,
    process::syscall,
    world::OPEN,
};

/// Pages of a small pool.
const SMALL: u64 = 96;

/// Pages of one with room for a large page.
const LARGE: u64 = 1200;

/// Bytes of an object that reaches to what is shown.
const SIZE: u64 = 5 << 20;

const fn case(
    name: &'static str,
    promise: Promise,
    furnish: Furnish,
    prepare: Step,
    steps: &'static [Step],
) -> Case {
    Case { name, promise, pages: SMALL, furnish, prepare, steps }
}

/// All of them.
pub fn all() -> impl Iterator<Item = Case> {
    [
        objects_that_come(),
        objects_that_go_or_are_copied(),
        data(),
        rights(),
        names(),
        files(),
        faults(),
    ]
    .into_iter()
    .flatten()
}

fn nothing(_: &mut Furnished<'_>) -> Result<()> {
    Ok(())
}

fn new(n: u64, size: u64) -> NewObject {
    NewObject { size, ..NewObject::bytes(identity(n)) }
}

/// Object 1, all holes.
fn empty(s: &mut Furnished<'_>) -> Result<()> {
    s.create(id(1), &new(1, SIZE)).map(|_| ())
}

/// Object 1 with pages in the record, below two leaves, and in its tail.
fn full(s: &mut Furnished<'_>) -> Result<()> {
    let r = s.create(id(1), &new(1, SIZE))?;
    s.write(r, DATA_START, &[1; 2 * 4096])?;
    s.write(r, DATA_START + 510 * PAGE, &[2; 3 * 4096])?;
    s.write(r, DATA_START + 1022 * PAGE, &[3; 2 * 4096])?;
    s.write(r, twz_abi::TAIL_START, &[4; 64])
}

/// The same, and object 2, a copy of it.
fn copied(s: &mut Furnished<'_>) -> Result<()> {
    full(s)?;
    let r = s.find(id(1))?;
    s.copy(r, id(2), &new(2, 0)).map(|_| ())
}

/// The same as `full`, with names.
fn named(s: &mut Furnished<'_>) -> Result<()> {
    full(s)?;
    s.create(id(2), &new(2, 100))?;
    s.mkdir(b"/dir", &identity(1000))?;
    s.bind(b"/dir/one", id(1), false)?;
    s.bind(b"/two", id(2), false).map(|_| ())
}

/// One that was deleted and not given back.
fn dying(s: &mut Furnished<'_>) -> Result<()> {
    copied(s)?;
    s.delete(id(1)).map(|_| ())
}

const NONE: Step = |_| ();

fn seal(s: &mut Stage) {
    let flags = meta::flags::IMMUTABLE;
    let create = abi::Create { flags, default_rights: 17, ..Default::default() };
    s.session().copy_as(id(1), create).expect("COPY");
}

fn objects_that_come() -> Vec<Case> {
    vec![
        case("load: a pool with an object to give back", Whole, dying, NONE, &[]),
        case(
            "create: bytes, a view",
            Whole,
            nothing,
            NONE,
            &[
                |s| s.made = Some(s.session().create(3 * PAGE, OPEN)),
                |s| {
                    let kind = meta::kind::VIEW;
                    let view =
                        abi::Create { kind, size: PAGE, default_rights: 19, ..Default::default() };
                    s.session().create_as(view).expect("CREATE");
                },
            ],
        ),
        case(
            "adopt: at an epoch",
            Whole,
            nothing,
            NONE,
            &[|s| {
                let adopt = abi::Adopt { epoch: 7, ..adoptable([9; 16], 2 * PAGE) };
                s.session().adopt(adopt).expect("ADOPT");
            }],
        ),
        case(
            "adopt: sealed, filled, found whole",
            Words,
            nothing,
            NONE,
            &[
                |s| {
                    let adopt = sealed();
                    s.made = Some(s.session().adopt(adopt).expect("ADOPT"));
                },
                |s| {
                    let id = s.made.expect("it was adopted");
                    assert_eq!(s.session().write(id, DATA_START, &SEALED), Ok(SEALED.len() as u64));
                },
                |s| s.session().sync(s.made.expect("it was adopted")).expect("SYNC"),
            ],
        ),
    ]
}

fn objects_that_go_or_are_copied() -> Vec<Case> {
    vec![
        case(
            "delete: with pages",
            Whole,
            full,
            NONE,
            &[|s| {
                s.session().delete(id(1)).expect("DELETE");
            }],
        ),
        case(
            "delete: what is held, and let go",
            Whole,
            full,
            |s| s.open(1),
            &[|s| s.session().delete(id(1)).expect("DELETE"), |s| s.file = None],
        ),
        case(
            "delete: of a copy",
            Whole,
            copied,
            NONE,
            &[|s| {
                s.session().delete(id(2)).expect("DELETE");
            }],
        ),
        case(
            "copy: with pages",
            Whole,
            full,
            NONE,
            &[|s| {
                let create = abi::Create { default_rights: OPEN.0, ..Default::default() };
                s.session().copy_as(id(1), create).expect("COPY");
            }],
        ),
        case(
            "copy: what is being written",
            Words,
            full,
            |s| s.show(1),
            &[
                |s| s.store(8, 1),
                |s| s.sync(1),
                |s| s.made = Some(s.session().copy(id(1)).expect("COPY")),
                |s| s.store(16, 2),
                |s| s.sync(1),
            ],
        ),
        // What its id covers has to be there as soon as the id is.
        case("seal: what is being written", Words, full, |s| s.show(1), &[|s| s.store(8, 1), seal]),
        case("seal: a copy whose id covers it", Whole, full, NONE, &[seal]),
    ]
}

const SEALED: [u8; 5000] = [5; 5000];

/// Of which the id covers the bytes above.
fn sealed() -> abi::Adopt {
    let mut hash = ContentHash::new();
    hash.update(&SEALED);
    let mut identity = identity(7);
    identity.flags = meta::flags::IMMUTABLE;
    identity.content = hash.finish();
    let create = abi::Create {
        id: identity.id().expect("an id"),
        nonce: identity.nonce,
        flags: identity.flags,
        default_rights: identity.default_rights,
        size: SEALED.len() as u64,
        ..Default::default()
    };
    abi::Adopt { create, content: identity.content, epoch: 0 }
}

fn data() -> Vec<Case> {
    vec![
        case(
            "resize: up, down, to nothing",
            Whole,
            full,
            NONE,
            &[|s| s.resize(1, 6 << 20), |s| s.resize(1, 511 * PAGE), |s| s.resize(1, 0)],
        ),
        case("resize: into a page", Shown, full, NONE, &[|s| s.resize(1, 511 * PAGE + 100)]),
        case(
            "reserve: holes",
            Words,
            empty,
            NONE,
            &[|s| s.reserve(1, 0, 2), |s| s.reserve(1, 510, 3)],
        ),
        case(
            "write: in place",
            Words,
            full,
            NONE,
            &[|s| s.write(1, 100, &[9; 140]), |s| s.sync(1)],
        ),
        case(
            "write: into holes",
            Words,
            empty,
            NONE,
            &[|s| s.write(1, 100, &[9; 5000]), |s| s.write(1, 511 * PAGE, &[8; 64]), |s| s.sync(1)],
        ),
        case(
            "write: to what is shared",
            Words,
            copied,
            NONE,
            &[|s| s.write(2, 4000, &[7; 200]), |s| s.sync(2)],
        ),
        case(
            "write: in place, then create",
            Words,
            full,
            NONE,
            &[
                |s| s.write(1, 0, &[9; 64]),
                |s| s.sync(1),
                |s| s.made = Some(s.session().create(PAGE, Rights::DEFAULT)),
            ],
        ),
    ]
}

fn rights() -> Vec<Case> {
    let steps: &[Step] = &[|s| s.revoke(1), |s| s.revoke(3)];
    vec![case("revoke: twice", Whole, nothing, Stage::own, steps)]
}

fn names() -> Vec<Case> {
    vec![
        case(
            "name: bind",
            Whole,
            named,
            NONE,
            &[
                |s| s.session().bind(b"/dir/another", id(1), false).expect("BIND"),
                |s| s.session().bind(b"/two", id(1), true).expect("BIND"),
            ],
        ),
        case(
            "name: unbind",
            Whole,
            named,
            NONE,
            &[|s| {
                s.session().unbind(b"/dir/one").expect("UNBIND");
            }],
        ),
        case(
            "name: rename",
            Whole,
            named,
            NONE,
            &[
                |s| s.session().rename(b"/dir/one", b"/dir/other").expect("RENAME"),
                |s| s.session().rename(b"/dir/other", b"/two").expect("RENAME"),
            ],
        ),
        case(
            "name: mkdir, rmdir",
            Whole,
            named,
            NONE,
            &[
                |s| s.session().mkdir(b"/dir/deeper").expect("MKDIR"),
                |s| s.session().rmdir(b"/dir/deeper").expect("RMDIR"),
            ],
        ),
    ]
}

fn files() -> Vec<Case> {
    vec![
        case(
            "file: written, then fsync",
            Words,
            full,
            |s| s.open(1),
            &[
                |s| assert_eq!(s.file().pwrite(&[9; 300], 4000), Ok(300)),
                |s| s.file().sync().expect("fsync"),
            ],
        ),
        case(
            "file: truncated",
            Shown,
            full,
            |s| s.open(1),
            &[|s| s.file().truncate(PAGE + 100).expect("ftruncate")],
        ),
        case(
            "file: allocated",
            Words,
            empty,
            |s| s.open(1),
            &[|s| s.file().allocate(0, 0, 2 * PAGE).expect("fallocate")],
        ),
        case(
            "file: punched, whole pages",
            Words,
            full,
            |s| s.open(1),
            &[|s| {
                let mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
                s.file().allocate(mode, 511 * PAGE, 600 * PAGE).expect("fallocate");
            }],
        ),
        case(
            "file: punched, within pages",
            Words,
            full,
            |s| s.open(1),
            &[
                |s| {
                    let mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
                    s.file().allocate(mode, 64, 4000).expect("fallocate");
                },
                |s| s.file().sync().expect("fsync"),
            ],
        ),
        case(
            "file: mapped, then msync",
            Words,
            full,
            map_one,
            &[
                |s| s.store_mapped(8, 77),
                |s| {
                    let at = s.map.as_ref().expect("it is mapped").at(0);
                    let sync = [at, 2 * map::PAGE, libc::MS_SYNC as usize, 0, 0, 0];
                    // The range is the mapping's.
                    syscall(libc::SYS_msync, sync).expect("msync");
                },
            ],
        ),
    ]
}

fn map_one(s: &mut Stage) {
    s.open(1);
    s.map_file(2);
}

fn faults() -> Vec<Case> {
    let large = Case {
        pages: LARGE,
        ..case(
            "fault: a large page",
            Words,
            empty,
            |s| s.show(1),
            &[|s| s.store(511 * PAGE, 5), |s| s.persist(511 * PAGE)],
        )
    };
    vec![
        case("fault: a hole", Words, empty, |s| s.show(1), &[|s| s.store(8, 5), |s| s.persist(8)]),
        case(
            "fault: holes below leaves",
            Words,
            empty,
            |s| s.show(1),
            &[
                |s| s.store(510 * PAGE, 5),
                |s| s.persist(510 * PAGE),
                |s| s.store(1022 * PAGE, 6),
                |s| s.sync(1),
            ],
        ),
        case(
            "fault: what is shared",
            Words,
            copied,
            |s| s.show(2),
            &[|s| s.store(512 * PAGE + 8, 5), |s| s.persist(512 * PAGE + 8)],
        ),
        case(
            "fault: what is shared, in the original",
            Words,
            copied,
            |s| s.show(1),
            &[|s| s.store(8, 5), |s| s.sync(1)],
        ),
        large,
    ]
}

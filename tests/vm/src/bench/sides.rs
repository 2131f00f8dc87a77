// SPDX-License-Identifier: MIT OR Apache-2.0
//! The sides of the race: a view, and files.

use std::{
    os::fd::OwnedFd,
    path::{Path, PathBuf},
};

use twz_abi::{ObjectId, PAGE, SLOT};

use super::Case;
use crate::{
    file::File,
    map::{self, HUGE, Map},
    probe,
    sys::{self, Session},
    world::{OPEN, RW, World},
};

/// Slots of the view: the objects of a batch, after the first two.
pub const SLOTS: u32 = 66;

/// Objects that are shown at a time where mapping is raced.
const BATCH: u64 = 64;

/// What there is before the clock runs.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// Nothing but a size.
    Sparse,
    /// Storage that was never written.
    Reserved,
    /// Storage that was asked for and filled.
    Written,
}

impl State {
    /// What it adds to a case's name.
    pub const fn suffix(self) -> &'static str {
        match self {
            Self::Sparse => "",
            Self::Reserved => "/reserved",
            Self::Written => "/written",
        }
    }
}

/// Something that can be mapped and touched.
pub trait Side {
    /// Its name in the report.
    fn name(&self) -> &'static str;

    /// Makes what is touched, and maps it, unless that is what is raced.
    fn prepare(&mut self, case: Case, state: State, touches: u64);

    /// The touches: what is timed.
    fn touch(&mut self, case: Case, touches: u64);

    /// Whether they were done.
    fn check(&mut self, case: Case, state: State, touches: u64);

    /// Lets go of it all.
    fn clear(&mut self);
}

/// Bytes between two touches.
fn stride(case: Case) -> u64 {
    if case == Case::Large { HUGE as u64 } else { PAGE }
}

/// The first byte that is touched: that of a page of 2 MiB, in an object too.
fn start(case: Case) -> u64 {
    if case == Case::Large { HUGE as u64 - PAGE } else { 0 }
}

fn size(case: Case, touches: u64) -> u64 {
    match case {
        Case::Map => PAGE,
        _ => start(case) + touches * stride(case) + HUGE as u64,
    }
}

/// Touches of what lies at `base`; the sum keeps loads from being left out.
fn touch_at(base: usize, case: Case, touches: u64) {
    let mut sum = 0;
    for n in 0..touches {
        let at = base + (n * stride(case)) as usize;
        let word = probe::atomic(at);
        match case {
            Case::Read4k => sum |= word.load(std::sync::atomic::Ordering::Relaxed),
            _ => word.store(n + 1, std::sync::atomic::Ordering::Relaxed),
        }
    }
    std::hint::black_box(sum);
}

fn check_at(base: usize, case: Case, state: State, touches: u64) {
    for n in 0..touches {
        let expected = match (case, state) {
            (Case::Read4k, State::Written) => 0x0101_0101_0101_0101,
            (Case::Read4k, _) => 0,
            _ => n + 1,
        };
        let found = probe::load(base + (n * stride(case)) as usize);
        assert_eq!(found, Ok(expected), "touch {n} of {case:?}");
    }
}

/// Objects in a view.
pub struct Twz {
    world: World,
    ids: Vec<ObjectId>,
    fill: Vec<u8>,
}

impl Twz {
    /// On a view that is there.
    pub fn new(session: Session, view: ObjectId) -> Self {
        let world = World::of(session, view, SLOTS, map::RW);
        world.show(1, view, RW);
        assert!(probe::load(world.at(1, 0)).is_ok());
        Self { world, ids: Vec::new(), fill: vec![1; 1 << 20] }
    }

    /// Makes an object that no session deletes.
    fn object(&mut self, size: u64, state: State) -> ObjectId {
        let mut create =
            twz_abi::ioctl::Create { size, default_rights: OPEN.0, ..Default::default() };
        let session = &self.world.session;
        sys::command(session.raw(), twz_abi::ioctl::CREATE, &mut create).expect("CREATE");
        let id = create.id;
        match state {
            State::Sparse => {}
            State::Reserved => session.reserve(id, 0, size).expect("RESERVE"),
            State::Written => {
                session.reserve(id, 0, size).expect("RESERVE");
                for at in (0..size).step_by(self.fill.len()) {
                    let len = (size - at).min(self.fill.len() as u64) as usize;
                    session.write(id, PAGE + at, &self.fill[..len]).expect("WRITE");
                }
            }
        }
        self.ids.push(id);
        id
    }
}

impl Side for Twz {
    fn name(&self) -> &'static str {
        "twz"
    }

    fn prepare(&mut self, case: Case, state: State, touches: u64) {
        if case == Case::Map {
            for _ in 0..touches {
                self.object(PAGE, state);
            }
            return;
        }
        let id = self.object(size(case, touches), state);
        self.world.show(2, id, RW);
        let advice = if case == Case::Large { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
        let _ = map::madvise(self.world.slot(2, 0), SLOT as usize, advice);
        self.world.session.invalidate(self.world.view, 2, 1).expect("INVALIDATE_VIEW");
    }

    fn touch(&mut self, case: Case, touches: u64) {
        if case != Case::Map {
            return touch_at(self.world.at(2, start(case)), case, touches);
        }
        // A store into the view maps; one command for all slots makes them fit to
        // be used again, as munmap does one by one.
        for (n, id) in self.ids.iter().enumerate() {
            let slot = 2 + (n as u64 % BATCH) as u32;
            self.world.store_entry(slot, *id, RW);
            let word = probe::atomic(self.world.at(slot, 0));
            word.store(n as u64 + 1, std::sync::atomic::Ordering::Relaxed);
            if (n as u64 + 1).is_multiple_of(BATCH) {
                let view = self.world.view;
                self.world.session.invalidate(view, 2, BATCH as u32).expect("INVALIDATE_VIEW");
            }
        }
    }

    fn check(&mut self, case: Case, state: State, touches: u64) {
        if case != Case::Map {
            return check_at(self.world.at(2, start(case)), case, state, touches);
        }
        for (n, id) in self.ids.iter().enumerate() {
            assert_eq!(self.world.session.word(*id, 0), n as u64 + 1);
        }
    }

    fn clear(&mut self) {
        (2..SLOTS).for_each(|slot| self.world.hide(slot));
        self.world.session.invalidate(self.world.view, 2, SLOTS - 2).expect("INVALIDATE_VIEW");
        for id in self.ids.drain(..) {
            self.world.session.delete(id).expect("DELETE");
        }
    }
}

/// Files in a directory.
struct Files {
    home: PathBuf,
    paths: Vec<String>,
    map: Option<Map>,
    fill: Vec<u8>,
}

impl Files {
    fn new(home: &Path) -> Self {
        Self { home: home.into(), paths: Vec::new(), map: None, fill: vec![1; 1 << 20] }
    }

    fn file(&mut self, size: u64, state: State) -> OwnedFd {
        let path = self.home.join(format!("file {}", self.paths.len()));
        let path = path.to_str().expect("text").to_owned();
        let fd = sys::open(&path, libc::O_RDWR | libc::O_CREAT | libc::O_EXCL).expect("open");
        let file = File(fd);
        match state {
            State::Sparse => file.truncate(size).expect("ftruncate"),
            State::Reserved => file.allocate(0, 0, size).expect("fallocate"),
            State::Written => {
                file.allocate(0, 0, size).expect("fallocate");
                for at in (0..size).step_by(self.fill.len()) {
                    let len = (size - at).min(self.fill.len() as u64) as usize;
                    file.pwrite(&self.fill[..len], at).expect("pwrite");
                }
            }
        }
        file.sync().expect("fsync");
        self.paths.push(path);
        file.0
    }

    fn prepare(&mut self, case: Case, state: State, touches: u64) {
        if case == Case::Map {
            (0..touches).for_each(|_| drop(self.file(PAGE, state)));
            return;
        }
        // A file's large pages begin at its first byte: one more for what an
        // object has before its first.
        let len = size(case, touches).next_multiple_of(HUGE as u64);
        let fd = self.file(len, state);
        let map = huge_aligned(&fd, len as usize);
        let advice = if case == Case::Large { libc::MADV_HUGEPAGE } else { libc::MADV_NOHUGEPAGE };
        map::madvise(map.at(0), map.len(), advice).expect("madvise");
        self.map = Some(map);
    }

    fn base(&self) -> usize {
        self.map.as_ref().expect("a mapping").at(0)
    }

    fn touch(&mut self, case: Case, touches: u64) {
        if case != Case::Map {
            return touch_at(self.base(), case, touches);
        }
        for (n, path) in self.paths.iter().enumerate() {
            let fd = sys::open(path, libc::O_RDWR).expect("open");
            let map = Map::shared(&fd, map::PAGE, map::RW).expect("mmap");
            let word = probe::atomic(map.at(0));
            word.store(n as u64 + 1, std::sync::atomic::Ordering::Relaxed);
        }
    }

    fn check(&mut self, case: Case, state: State, touches: u64) {
        if case != Case::Map {
            return check_at(self.base(), case, state, touches);
        }
        for (n, path) in self.paths.iter().enumerate() {
            let mut word = [0; 8];
            let file = File(sys::open(path, libc::O_RDWR).expect("open"));
            assert_eq!(file.pread(&mut word, 0), Ok(8));
            assert_eq!(u64::from_le_bytes(word), n as u64 + 1);
        }
    }

    fn clear(&mut self) {
        self.map = None;
        for path in self.paths.drain(..) {
            std::fs::remove_file(path).expect("unlink");
        }
    }
}

/// Maps a file at an address where its large pages can be.
fn huge_aligned(fd: &OwnedFd, len: usize) -> Map {
    use std::os::fd::AsRawFd as _;
    let room = Map::anonymous(len + HUGE, 0).expect("mmap");
    let base = room.at(0).next_multiple_of(HUGE);
    let flags = libc::MAP_SHARED | libc::MAP_FIXED;
    map::mmap(base, len, map::RW, flags, fd.as_raw_fd(), 0).expect("mmap");
    let skipped = base - room.at(0);
    room.from(skipped)
}

macro_rules! files {
    ($(#[$doc:meta])* $name:ident, $text:literal) => {
        $(#[$doc])*
        pub struct $name(Files);

        impl $name {
            /// In this directory.
            pub fn new(home: &Path) -> Self {
                Self(Files::new(home))
            }
        }

        impl Side for $name {
            fn name(&self) -> &'static str {
                $text
            }
            fn prepare(&mut self, case: Case, state: State, touches: u64) {
                self.0.prepare(case, state, touches);
            }
            fn touch(&mut self, case: Case, touches: u64) {
                self.0.touch(case, touches);
            }
            fn check(&mut self, case: Case, state: State, touches: u64) {
                self.0.check(case, state, touches);
            }
            fn clear(&mut self) {
                self.0.clear();
            }
        }
    };
}

files!(
    /// Files of ext4, with DAX.
    Ext4,
    "ext4dax"
);

files!(
    /// Files of tmpfs.
    Tmpfs,
    "tmpfs"
);

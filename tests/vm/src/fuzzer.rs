// SPDX-License-Identifier: MIT OR Apache-2.0
//! One random call after another: what [`crate::tools::fuzz`] runs.

use std::os::fd::{AsRawFd as _, IntoRawFd as _, RawFd};

use twz_abi::{ObjectId, PAGE, Rights, SLOT, ViewEntry, ioctl as abi, meta};
use zerocopy::IntoBytes as _;

use crate::{
    commands::{Case, Props},
    errno::Errno,
    map::{self, Map, RWX},
    meddler::Meddler,
    probe, process,
    rng::Rng,
    sys::{self, Session},
    world::{World, view_object},
};

/// Slots that are mapped.
const SLOTS: u32 = 16;

/// A process that does random things to the module.
pub struct Fuzzer {
    rng: Rng,
    world: World,
    cases: Vec<Case>,
    /// What the cases speak of.
    _props: Props,
    meddler: Meddler,
    ids: Vec<ObjectId>,
    files: Vec<RawFd>,
    maps: Vec<Map>,
    scratch: Map,
}

extern "C" fn nothing(_: libc::c_int) {}

/// Interrupts what sleeps, twenty times a second.
fn alarms() {
    // SAFETY: `nothing` does nothing, and the structures are this function's.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = nothing as *const () as usize;
        libc::sigaction(libc::SIGALRM, &action, std::ptr::null_mut());
        let period = libc::timeval { tv_sec: 0, tv_usec: 50_000 };
        let timer = libc::itimerval { it_interval: period, it_value: period };
        libc::setitimer(libc::ITIMER_REAL, &timer, std::ptr::null_mut());
    }
}

impl Fuzzer {
    /// In a process of its own, on a view that several share.
    pub fn new(rng: Rng, view: ObjectId) -> Self {
        let session = Session::open();
        let props = Props::new(&session);
        let cases = props.cases();
        let meddler = Meddler::new(&session);
        let mut ids = vec![view, props.object, props.view];
        ids.extend(meddler.ids());
        let scratch = Map::anonymous(64 * map::PAGE, map::RW).expect("mmap");
        // Large pages need a mapping that cannot be run.
        let mut rng = rng;
        let protection = if rng.one_in(2) { RWX } else { map::RW };
        // Another one may have deleted the view that all began with.
        let (view, fd) = match session.set_view(view) {
            Ok(fd) => (view, fd),
            Err(_) => {
                let own = view_object(&session, SLOTS);
                (own, session.set_view(own).expect("SET_VIEW"))
            }
        };
        let arena = map::arena(&fd, SLOTS, protection).expect("the arena");
        let world = World { arena, fd, view, slots: SLOTS, session };
        let (files, maps) = (vec![], vec![]);
        // Not before: none of that may be interrupted.
        alarms();
        Self { rng, world, cases, _props: props, meddler, ids, files, maps, scratch }
    }

    fn id(&mut self) -> ObjectId {
        match self.rng.below(12) {
            0 => ObjectId::NULL,
            1 => ObjectId { lo: self.rng.next(), hi: self.rng.next() },
            _ => *self.rng.of(&self.ids),
        }
    }

    /// An address: of memory, of an arena, of nothing.
    fn address(&mut self) -> usize {
        let scratch = self.scratch.at(self.rng.below(60 * PAGE) as usize);
        match self.rng.below(10) {
            0 => self.rng.next() as usize,
            1 => self.rng.below(1 << 16) as usize,
            2 => self.touchable(),
            3 => (0xffff_8000_0000_0000 | self.rng.next() >> 17) as usize,
            _ => scratch,
        }
    }

    /// A slot offset, mostly near something.
    fn offset(&mut self) -> u64 {
        let near = *self.rng.of(&[0, PAGE, 2 * PAGE, 9 * PAGE, 2 << 20, SLOT - PAGE, SLOT - 512]);
        match self.rng.below(8) {
            0 => self.rng.next(),
            1 => self.rng.below(SLOT),
            _ => near.wrapping_add(self.rng.below(5000)).wrapping_sub(self.rng.below(64)),
        }
    }

    /// An address in the arena.
    fn touchable(&mut self) -> usize {
        let slot = self.rng.below(SLOTS as u64) as u32;
        let offset = self.offset() & (SLOT - 8);
        self.world.slot(slot, offset)
    }

    /// One call.
    pub fn one(&mut self) {
        match self.rng.below(22) {
            0..=5 => self.command(),
            6 | 7 => self.make(),
            8 => self.garbage(),
            9 | 10 => self.entry(),
            11..=14 => self.touch(),
            15 => self.file(),
            16 => self.memory(),
            17 => self.object_bytes(),
            18 => self.change(),
            19 | 20 => self.meddler.one(&mut self.rng, &self.world.session, &self.ids),
            _ => self.family(),
        }
    }

    /// A command whose argument was valid, with some of it changed.
    fn command(&mut self) {
        let n = self.rng.below(self.cases.len() as u64) as usize;
        let mut argument = self.cases[n].valid.clone();
        if let Some(at) = self.cases[n].id_at {
            let id = self.id();
            argument[at..at + 16].copy_from_slice(id.as_bytes());
        }
        for at in self.cases[n].addresses.clone() {
            let address = self.address() as u64;
            argument[at..at + 8].copy_from_slice(address.as_bytes());
        }
        for _ in 0..self.rng.below(3) {
            let at = self.rng.below(argument.len() as u64 / 4) as usize * 4;
            let value = match self.rng.below(4) {
                0 => self.rng.next() as u32,
                1 => u32::MAX,
                2 => 1 << self.rng.below(32),
                _ => self.rng.below(70) as u32,
            };
            argument[at..at + 4].copy_from_slice(&value.to_le_bytes());
        }
        let number = self.cases[n].command.number;
        let done = self.cases[n].issue(self.world.session.raw(), &mut argument);
        if done.is_ok() {
            self.keep(number, &argument);
        }
    }

    /// Remembers what a command has made.
    fn keep(&mut self, number: u32, argument: &[u8]) {
        let id = |at: usize| {
            let half =
                |at: usize| u64::from_le_bytes(argument[at..at + 8].try_into().expect("8 bytes"));
            ObjectId { lo: half(at), hi: half(at + 8) }
        };
        match number {
            abi::CREATE | abi::ADOPT => self.ids.push(id(0)),
            abi::COPY => self.ids.push(id(16)),
            abi::OPEN_FD => {
                let fd = i32::from_le_bytes(argument[20..24].try_into().expect("4 bytes"));
                self.files.push(fd);
            }
            abi::SET_VIEW => {
                let fd = i32::from_le_bytes(argument[16..20].try_into().expect("4 bytes"));
                self.files.push(fd);
            }
            _ => {}
        }
        if self.ids.len() > 40 {
            let old = self.ids.remove(3);
            let _ = self.world.session.delete(old);
        }
        if self.files.len() > 30 {
            let old = self.files.remove(0);
            // A descriptor of this process that nothing else uses.
            let _ = process::syscall(libc::SYS_close, [old as usize, 0, 0, 0, 0, 0]);
        }
    }

    /// Makes an object that can be deleted later.
    fn make(&mut self) {
        let size = match self.rng.below(4) {
            0 => self.rng.below(twz_abi::MAX_DATA),
            1 => self.rng.below(8 << 20),
            _ => self.rng.below(20 * PAGE),
        };
        let rights = Rights(self.rng.below(64) as u32) | Rights::DELETE | Rights::READ;
        let kind = *self.rng.of(&[0, 1, meta::kind::VIEW, meta::kind::CONTEXT]);
        let create = abi::Create { size, kind, default_rights: rights.0, ..Default::default() };
        let made = match self.rng.one_in(3) {
            true => {
                let source = self.id();
                self.world.session.copy_as(source, create)
            }
            false => self.world.session.create_as(create),
        };
        if let Ok(id) = made {
            self.ids.push(id);
        }
    }

    /// Any number, any address.
    fn garbage(&mut self) {
        let number = match self.rng.below(3) {
            0 => self.rng.next() as u32,
            1 => abi::iowr(self.rng.next() as u8, self.rng.below(1 << 14) as usize),
            _ => self.rng.of(abi::COMMANDS).number ^ 1 << self.rng.below(32),
        };
        let address = self.address();
        // Those that the kernel itself answers for any file, and that would
        // change this process: FIOCLEX and its kind.
        if number >> 8 & 0xff != 0x54 {
            let fd = match self.files.last() {
                Some(fd) if self.rng.one_in(2) => *fd,
                _ => self.world.session.raw(),
            };
            let _ = sys::ioctl(fd, number, address);
        }
    }

    /// An entry of the view: good, nearly good, or bytes.
    fn entry(&mut self) {
        let slot = self.rng.below(SLOTS as u64 + 2) as u32;
        let mut entry = ViewEntry::new(self.id(), Rights(self.rng.below(8) as u32));
        match self.rng.below(8) {
            0 => entry.word ^= 1 << self.rng.below(64),
            1 => entry.reserved = self.rng.next(),
            2 => entry = ViewEntry { id: entry.id, word: self.rng.next(), reserved: 0 },
            3 => entry = ViewEntry::default(),
            _ => {}
        }
        let view = *self.rng.of(&self.ids);
        let offset = ViewEntry::offset(slot);
        let _ = self.world.session.write(view, offset, entry.as_bytes());
        if self.rng.one_in(3) {
            let count = self.rng.below(20) as u32;
            let _ = self.world.session.invalidate(view, slot, count);
        }
    }

    fn touch(&mut self) {
        let at = self.touchable();
        let value = self.rng.next();
        match self.rng.below(6) {
            0 | 1 => drop(probe::store(at, value)),
            // What is there may be anything but a `ret`: not unless we put one there.
            2 if probe::store(at, crate::world::RET).is_ok() => {
                let access = Rights(1 << self.rng.below(3));
                let _ = self.world.session.fault(at, access);
            }
            _ => drop(probe::load(at)),
        }
    }

    /// Descriptors of objects.
    fn file(&mut self) {
        let id = self.id();
        let rights = Rights(self.rng.below(4) as u32);
        if let Ok(fd) = self.world.session.open_fd(id, rights) {
            self.files.push(fd.into_raw_fd());
        }
        let Some(&fd) = self.files.last() else { return };
        let (a, b) = (self.offset() as usize, self.rng.below(20_000) as usize);
        let address = self.address();
        let whence = self.rng.below(6) as usize;
        let mode = *self.rng.of(&[0usize, 1, 2, 3, 0x10, 0x20]);
        let calls = [
            (libc::SYS_pread64, [fd as usize, address, b, a, 0, 0]),
            (libc::SYS_pwrite64, [fd as usize, address, b, a, 0, 0]),
            (libc::SYS_lseek, [fd as usize, a, whence, 0, 0, 0]),
            (libc::SYS_ftruncate, [fd as usize, a & 0xff_ffff, 0, 0, 0, 0]),
            (libc::SYS_fallocate, [fd as usize, mode, a & 0xff_ffff, b, 0, 0]),
            (libc::SYS_fsync, [fd as usize, 0, 0, 0, 0, 0]),
        ];
        let (number, arguments) = *self.rng.of(&calls);
        // Addresses are of scratch memory, of objects, or to be refused.
        if !(number == libc::SYS_pread64 && self.is_ours(address, b)) {
            let _ = process::syscall(number, arguments);
        }
    }

    /// Whether bytes read to there could fall on memory of this program's own.
    fn is_ours(&self, address: usize, len: usize) -> bool {
        let within = |from: usize, size: usize| address >= from && address + len <= from + size;
        let scratch = within(self.scratch.at(0), self.scratch.len());
        let arena = within(self.world.arena.at(0), self.world.arena.len());
        !(scratch || arena) && (1 << 16..1 << 47).contains(&address)
    }

    /// What a program does to its mappings; those of the arena stay where they are.
    fn memory(&mut self) {
        let at = self.touchable() & !(map::PAGE - 1);
        let len = (1 + self.rng.below(600) as usize) * map::PAGE;
        let len = len.min(self.world.arena.at(self.world.arena.len()) - at);
        match self.rng.below(6) {
            0 => drop(map::mprotect(at, len, self.rng.below(8) as i32)),
            1 | 2 => drop(map::madvise(at, len, self.rng.below(30) as i32)),
            3 => {
                let fd = self.files.last().copied().unwrap_or(self.world.fd.as_raw_fd());
                let protection = self.rng.below(8) as i32;
                let flags = *self.rng.of(&[libc::MAP_SHARED, libc::MAP_SHARED, libc::MAP_PRIVATE]);
                let flags = flags | if self.rng.one_in(4) { libc::MAP_POPULATE } else { 0 };
                let offset = self.offset() & !(PAGE - 1);
                let fd = Raw(fd);
                if let Ok(made) = Map::new(&fd, offset & 0xff_ffff_ffff, len, protection, flags) {
                    self.maps.push(made);
                }
            }
            4 if !self.maps.is_empty() => {
                let n = self.rng.below(self.maps.len() as u64) as usize;
                let made = self.maps.swap_remove(n);
                let _ = probe::load(made.at(0));
                let _ = probe::store(made.at(made.len() - 8), 1);
            }
            _ => {
                // The range is of the arena.
                let arguments = [at, len, libc::MS_SYNC as usize, 0, 0, 0];
                let _ = process::syscall(libc::SYS_msync, arguments);
            }
        }
        if self.maps.len() > 20 {
            self.maps.clear();
        }
    }

    /// Random bytes where the kernel reads: views, tables, meta records.
    fn object_bytes(&mut self) {
        let id = *self.rng.of(&self.ids);
        let len = 1 + self.rng.below(300) as usize;
        let (bytes, offset) = (self.rng.bytes(len), self.offset());
        let _ = self.world.session.write(id, offset, &bytes);
        // The meta record too, which only a mapping reaches.
        let slot = 2 + self.rng.below(10) as u32;
        let at = self.world.slot(slot, SLOT - 512 + self.rng.below(64) * 8);
        let _ = probe::store(at, self.rng.next());
    }

    /// What changes an object's size or life.
    fn change(&mut self) {
        let id = self.id();
        let (a, b) = (self.rng.below(8 << 20), self.rng.below(8 << 20));
        let session = &self.world.session;
        let _ = match self.rng.below(6) {
            0 => session.resize(id, a),
            1 => session.reserve(id, a.min(b), a.max(b)),
            2 => session.sync(id),
            3 => session.wait(id, PAGE + (a & 0xff8), 0, 1_000_000),
            4 => session.wake(id, PAGE + (a & 0xff8), b).map(|_| ()),
            _ if id != self.ids[0] => session.delete(id),
            _ => Err(Errno::EBUSY),
        };
    }

    /// Children, that do a little and end, and threads.
    fn family(&mut self) {
        if !self.rng.one_in(40) {
            return self.command();
        }
        let at = self.touchable();
        let child = process::fork(|| {
            let _ = probe::load(at);
            let _ = self.world.session.stat(self.ids[0]);
            let _ = Session::open().stat(self.ids[0]);
            0
        });
        if self.rng.one_in(3) {
            child.signal(libc::SIGKILL);
        }
        child.wait();
    }
}

/// A descriptor that somebody else closes.
struct Raw(RawFd);

impl std::os::fd::AsRawFd for Raw {
    fn as_raw_fd(&self) -> RawFd {
        self.0
    }
}

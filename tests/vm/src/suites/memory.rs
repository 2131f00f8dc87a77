// SPDX-License-Identifier: MIT OR Apache-2.0
//! Everything else that the kernel lets a program do to memory: none of it
//! widens a right, and none of it crashes.

use std::{io::Read as _, os::fd::AsRawFd as _};

use twz_abi::{ObjectId, PAGE, Rights};

use crate::{
    errno::Errno,
    ktap::{Test, skip},
    map::{self, HUGE, Map, RWX},
    probe, process,
    suites::objects::undeletable,
    sys::{self, Session},
    tests,
    world::{OPEN, RET, RW, RWX_RIGHTS, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    no_advice_widens_a_right,
    no_advice_on_large_pages_widens_a_right,
    no_advice_from_outside_does,
    a_tracer_neither_reads_nor_writes,
    process_vm_neither_reads_nor_writes,
    proc_mem_neither_reads_nor_writes,
    remapped_file_pages_keep_their_rights,
    pages_are_not_given_to_pipes_rings_or_devices,
    userfaultfd_is_refused,
    futexes_on_an_object_are_refused,
    a_vforked_child_is_the_same_address_space,
    a_descriptor_opened_again_is_no_session,
    other_memory_over_half_of_the_arena,
    a_hole_in_the_middle_of_the_arena,
    locked_memory_does_no_harm,
    looking_at_the_arena_does_no_harm,
    system_calls_are_asked_as_loads_and_stores_are,
    reading_that_implies_execution_does_not,
    a_core_dump_does_no_harm,
    a_new_program_starts_without_it,
];

/// Slot 2 shows an object that may be read only, slot 3 one that may be read
/// and written; both hold a `ret` and are mapped.
struct Target {
    world: World,
    closed: ObjectId,
    size: u64,
}

impl Target {
    fn new(size: u64) -> Self {
        Self::of(World::to_run(), size)
    }

    fn of(world: World, size: u64) -> Self {
        let id = |rights| {
            let id = world.session.create(size, rights);
            assert_eq!(world.session.reserve(id, 0, size), Ok(()));
            id
        };
        let (closed, open) = (id(OPEN), id(OPEN));
        world.show(2, closed, Rights::READ);
        world.show(3, open, RW);
        for slot in [closed, open] {
            world.session.set_word(slot, size / 2, RET);
        }
        let target = Self { world, closed, size };
        target.holds("at first");
        target
    }

    /// An address in the middle of an object.
    fn at(&self, slot: u32) -> usize {
        self.world.at(slot, self.size / 2)
    }

    /// What may be done can be done, and what may not cannot.
    fn holds(&self, after: &str) {
        let (closed, open) = (self.at(2), self.at(3));
        assert_eq!(probe::load(closed), Ok(RET), "{after}");
        assert!(probe::store(closed, 1).is_err(), "a store was done {after}");
        assert!(probe::exec(closed).is_err(), "a jump was done {after}");
        assert_eq!(probe::load(open), Ok(RET), "{after}");
        assert_eq!(probe::store(open, RET), Ok(()), "{after}");
        assert!(probe::exec(open).is_err(), "a jump was done {after}");
        assert!(probe::load(self.world.slot(2, 8)).is_err(), "the null page {after}");
        assert_eq!(self.world.session.word(self.closed, self.size / 2), RET, "{after}");
    }

    /// A child has none of it.
    fn is_not_inherited(&self, after: &str) {
        let child = process::fork(|| {
            let got = [2, 3].map(|slot| probe::load(self.at(slot)).is_ok());
            i32::from(got != [false; 2])
        });
        assert_eq!(child.wait(), process::Status::Exited(0), "a child read it {after}");
    }
}

/// Every advice there is, and some that there is not.
fn advices() -> impl Iterator<Item = i32> {
    (0..=30).chain([100, 101, 102, 103, 200])
}

fn advise_all(target: &Target) {
    for advice in advices() {
        for slot in [2, 3] {
            let page = target.at(slot) & !(map::PAGE - 1);
            let large = target.at(slot) & !(HUGE - 1);
            let one = map::madvise(page, map::PAGE, advice);
            let many = map::madvise(large, HUGE, advice);
            let after = format!("after advice {advice} of slot {slot}: {one:?}, {many:?}");
            target.holds(&after);
        }
        target.is_not_inherited(&format!("after advice {advice}"));
    }
    let _ = map::madvise(target.world.slot(0, 0), target.world.arena.len(), libc::MADV_DONTNEED);
    target.holds("at last");
}

fn no_advice_widens_a_right() {
    advise_all(&Target::new(16 * PAGE));
}

fn no_advice_on_large_pages_widens_a_right() {
    advise_all(&Target::of(World::new(), 4 * HUGE as u64));
}

/// `process_madvise` of another process, which is this one's parent.
fn no_advice_from_outside_does() {
    let target = Target::new(16 * PAGE);
    let pid = std::process::id();
    let child = process::fork(|| {
        // Plain values.
        let fd = process::syscall(libc::SYS_pidfd_open, [pid as usize, 0, 0, 0, 0, 0]);
        let fd = fd.expect("pidfd_open");
        for advice in advices() {
            let vector = [target.at(2) & !(map::PAGE - 1), map::PAGE];
            let arguments = [fd, vector.as_ptr() as usize, 1, advice as usize, 0, 0];
            // One range, of the parent's.
            let _ = process::syscall(libc::SYS_process_madvise, arguments);
        }
        0
    });
    child.succeed();
    target.holds("after advice from a child");
}

/// A child that shows both objects and waits to be looked at; the parent does.
fn looked_at(look: impl Fn(i32, &Target)) {
    let target = Target::new(4 * PAGE);
    let shared = process::Shared::new();
    let pid = std::process::id() as i32;
    // Whoever may look at anybody: the child looks at its parent.
    let child = process::fork(|| {
        look(pid, &target);
        shared.set(0, 1);
        0
    });
    child.succeed();
    target.holds("after another process has looked");
}

fn a_tracer_neither_reads_nor_writes() {
    let target = Target::new(4 * PAGE);
    let shared = process::Shared::new();
    let child = process::fork(|| {
        let own = Target::new(4 * PAGE);
        shared.set(1, own.at(2) as u64);
        shared.set(2, own.at(3) as u64);
        shared.set(0, 1);
        shared.await_at_least(3, 1);
        own.holds("after it was traced");
        // What it made is its own to delete.
        drop(own);
        0
    });
    shared.await_at_least(0, 1);
    let pid = child.pid() as usize;
    let trace = |request: u32, at: usize, data: usize| {
        // The answer of a PEEK goes to `word`; the rest are plain values.
        let mut word = 0usize;
        let data = if request == libc::PTRACE_PEEKDATA { &raw mut word as usize } else { data };
        process::syscall(libc::SYS_ptrace, [request as usize, pid, at, data, 0, 0]).map(|_| word)
    };
    trace(libc::PTRACE_SEIZE, 0, 0).expect("PTRACE_SEIZE");
    trace(libc::PTRACE_INTERRUPT, 0, 0).expect("PTRACE_INTERRUPT");
    // Waits for the stop of the child.
    process::syscall(libc::SYS_wait4, [pid, 0, libc::__WALL as usize, 0, 0, 0]).expect("wait4");
    for at in [shared.get(1) as usize, shared.get(2) as usize] {
        assert_eq!(trace(libc::PTRACE_PEEKDATA, at, 0), Err(Errno::EIO), "PEEK");
        assert_eq!(trace(libc::PTRACE_POKEDATA, at, 7), Err(Errno::EIO), "POKE");
    }
    trace(libc::PTRACE_DETACH, 0, 0).expect("PTRACE_DETACH");
    shared.set(3, 1);
    child.succeed();
    target.holds("of another's");
}

fn process_vm_neither_reads_nor_writes() {
    looked_at(|pid, target| {
        let mut word = [7u64];
        let here = [word.as_mut_ptr() as usize, 8];
        for slot in [2, 3] {
            let there = [target.at(slot), 8];
            let arguments = |here: &[usize; 2]| {
                [pid as usize, here.as_ptr() as usize, 1, there.as_ptr() as usize, 1, 0]
            };
            // One range of `word`, one of the parent's.
            let read = process::syscall(libc::SYS_process_vm_readv, arguments(&here));
            assert_eq!(read, Err(Errno::EFAULT), "readv of slot {slot}");
            let write = process::syscall(libc::SYS_process_vm_writev, arguments(&here));
            assert_eq!(write, Err(Errno::EFAULT), "writev of slot {slot}");
        }
        assert_eq!(word, [7]);
    });
}

fn proc_mem(path: &str, target: &Target) {
    use std::os::unix::fs::FileExt as _;
    let mem = std::fs::OpenOptions::new().read(true).write(true).open(path);
    let mem = mem.unwrap_or_else(|e| panic!("{path}: {e}"));
    for slot in [2, 3] {
        let at = target.at(slot) as u64;
        let read = mem.read_at(&mut [0; 8], at).map_err(|e| e.raw_os_error());
        assert_eq!(read, Err(Some(libc::EIO)), "read of slot {slot} through {path}");
        let write = mem.write_at(&[7; 8], at).map_err(|e| e.raw_os_error());
        assert_eq!(write, Err(Some(libc::EIO)), "write of slot {slot} through {path}");
    }
}

fn proc_mem_neither_reads_nor_writes() {
    let target = Target::new(4 * PAGE);
    proc_mem("/proc/self/mem", &target);
    target.holds("after /proc/self/mem");
    looked_at(|pid, target| proc_mem(&format!("/proc/{pid}/mem"), target));
}

fn remapped_file_pages_keep_their_rights() {
    let target = Target::new(16 * PAGE);
    let page = target.at(2) & !(map::PAGE - 1);
    for offset in [2 << 18 | 1, 3 << 18 | 1, 0, usize::MAX >> 13] {
        let arguments = [page, map::PAGE, 0, offset, 0, 0];
        // A page of the test's own arena.
        let _ = process::syscall(libc::SYS_remap_file_pages, arguments);
        assert!(probe::exec(page).is_err(), "page {offset:#x}");
        assert!(probe::store(page, 1).is_err() || offset >> 18 == 3, "page {offset:#x}");
    }
    assert_eq!(target.world.session.word(target.closed, 0), 0);
}

fn pages_are_not_given_to_pipes_rings_or_devices() {
    let target = Target::new(16 * PAGE);
    let (_reader, writer) = process::pipe();
    for slot in [2, 3] {
        let vector = [target.at(slot) & !(map::PAGE - 1), map::PAGE];
        let arguments = [
            writer.as_raw_fd() as usize,
            vector.as_ptr() as usize,
            1,
            libc::SPLICE_F_GIFT as usize,
            0,
            0,
        ];
        // A page of the arena, to a pipe.
        let spliced = process::syscall(libc::SYS_vmsplice, arguments);
        assert_eq!(spliced, Err(Errno::EFAULT), "vmsplice of slot {slot}");
        let mut parameters = [0u64; 15];
        // `parameters` is as long as struct io_uring_params.
        let arguments = [4, parameters.as_mut_ptr() as usize, 0, 0, 0, 0];
        match process::syscall(libc::SYS_io_uring_setup, arguments) {
            Ok(ring) => {
                // Registers the one buffer of `vector`.
                let arguments = [ring, 0, vector.as_ptr() as usize, 1, 0, 0];
                let registered = process::syscall(libc::SYS_io_uring_register, arguments);
                assert_eq!(registered, Err(Errno::EFAULT), "a ring's buffer in slot {slot}");
            }
            Err(other) => println!("no io_uring here: {other:?}"),
        }
    }
    direct_io(&target);
    target.holds("after everybody was offered its pages");
}

/// A device that reads and writes memory directly is not given the arena's.
fn direct_io(target: &Target) {
    for name in ["/dev/ram0", "/dev/loop0", "/dev/vda", "/dev/sda"] {
        let Ok(disk) = sys::open(name, libc::O_RDONLY | libc::O_DIRECT) else { continue };
        for slot in [2, 3] {
            let page = target.at(slot) & !(map::PAGE - 1);
            let arguments = [disk.as_raw_fd() as usize, page, map::PAGE, 0, 0, 0];
            // The kernel writes to the arena, if it may.
            let read = process::syscall(libc::SYS_read, arguments);
            assert!(matches!(read, Err(Errno::EFAULT) | Ok(0)), "{name}, slot {slot}: {read:?}");
        }
    }
}

fn userfaultfd_is_refused() {
    const UFFDIO_API: u32 = 0xc018_aa3f;
    const UFFDIO_REGISTER: u32 = 0xc020_aa00;
    let target = Target::new(16 * PAGE);
    // Plain values.
    let fd = process::syscall(libc::SYS_userfaultfd, [libc::O_CLOEXEC as usize, 0, 0, 0, 0, 0]);
    let Ok(fd) = fd else { skip("no userfaultfd in this kernel") };
    let mut hello = [0xaau64, 0, 0];
    sys::ioctl(fd as i32, UFFDIO_API, hello.as_mut_ptr() as usize).expect("UFFDIO_API");
    for (slot, mode) in [(2, 1), (3, 1), (3, 2), (3, 4)] {
        let page = target.at(slot) as u64 & !(PAGE - 1);
        let mut range = [page, PAGE, mode, 0];
        let got = sys::ioctl(fd as i32, UFFDIO_REGISTER, range.as_mut_ptr() as usize);
        assert_eq!(got, Err(Errno::EINVAL), "slot {slot}, mode {mode}");
    }
    target.holds("after userfaultfd");
}

fn futexes_on_an_object_are_refused() {
    let target = Target::new(4 * PAGE);
    let at = target.at(3);
    let futex = |operation: i32| {
        // A word of the arena; it does not hold 1, so nobody sleeps.
        process::syscall(libc::SYS_futex, [at, operation as usize, 1, 0, 0, 0])
    };
    assert_eq!(futex(libc::FUTEX_WAIT), Err(Errno::EFAULT));
    assert_eq!(futex(libc::FUTEX_WAKE), Err(Errno::EFAULT));
}

/// What [`a_vforked_child_is_the_same_address_space`] runs in the child.
extern "C" fn in_the_same_memory(target: *mut libc::c_void) -> libc::c_int {
    // SAFETY: the parent waits with what it passed until the child has ended.
    let target = unsafe { &*target.cast::<Target>() };
    let stat = target.world.session.stat(target.closed);
    let load = probe::load(target.at(2));
    i32::from(stat.is_err() || load != Ok(RET))
}

fn a_vforked_child_is_the_same_address_space() {
    let target = Target::new(4 * PAGE);
    let stack = Map::anonymous(64 * map::PAGE, map::RW).expect("mmap");
    let flags = libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let argument = (&raw const target).cast_mut().cast();
    // SAFETY: the child has a stack of its own, and the parent, with all that
    // the child uses, stands still until it has ended.
    let pid = unsafe {
        let top = stack.at(stack.len()) as *mut libc::c_void;
        libc::clone(in_the_same_memory, top, flags, argument)
    };
    assert!(pid > 0, "clone: {:?}", Errno::last());
    let mut status = 0i32;
    // The status goes to `status`.
    let arguments = [pid as usize, (&raw mut status) as usize, 0, 0, 0, 0];
    process::syscall(libc::SYS_wait4, arguments).expect("wait4");
    assert_eq!(status, 0, "it is one address space, and so one session");
    target.holds("after the child");
}

fn a_descriptor_opened_again_is_no_session() {
    let target = Target::new(PAGE);
    let session = &target.world.session;
    let again = |fd: i32, flags| sys::open(&format!("/proc/self/fd/{fd}"), flags);
    let fresh = again(session.raw(), libc::O_RDWR).expect("the device opens again");
    let got = sys::command(fresh.as_raw_fd(), twz_abi::ioctl::INFO, &mut session.info());
    assert_eq!(got, Err(Errno::EPROTO), "a new session, not yet greeted");
    if let Ok(view) = again(target.world.fd.as_raw_fd(), libc::O_RDWR) {
        let mapped = Map::shared(&view, map::PAGE, libc::PROT_READ).map(|_| ());
        assert!(mapped.is_err(), "a view's descriptor opened again shows nothing");
    }
    let file = session.open_fd(target.closed, Rights::READ).expect("OPEN_FD");
    if let Ok(wider) = again(file.as_raw_fd(), libc::O_RDWR) {
        let word = [1u64];
        let arguments = [wider.as_raw_fd() as usize, word.as_ptr() as usize, 8, 0, 0, 0];
        // Writes `word`, if it may.
        let wrote = process::syscall(libc::SYS_pwrite64, arguments);
        assert!(wrote.is_err(), "a descriptor to read was opened again to write");
        let mapped = Map::shared(&wider, map::PAGE, map::RW);
        assert!(mapped.is_err(), "and mapped");
    }
    target.holds("after descriptors were opened again");
}

fn other_memory_over_half_of_the_arena() {
    let target = Target::new(16 * PAGE);
    let half = target.world.slot(4, 0);
    let len = target.world.arena.len() / 2;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_FIXED | libc::MAP_NORESERVE;
    map::mmap(half, len, map::RW, flags, -1, 0).expect("mmap over the arena");
    target.holds("with other memory over half of it");
    assert_eq!(probe::store(half + 64, 9), Ok(()));
    let id = target.world.object(5, PAGE, OPEN);
    assert_eq!(probe::load(target.world.at(5, 0)), Ok(0), "memory of its own");
    assert_eq!(probe::store(target.world.at(5, 0), 3), Ok(()));
    assert_eq!(target.world.session.word(id, 0), 0, "and not the object's");
    assert!(target.world.session.fault(half + 64, Rights::READ).is_err());
}

fn a_hole_in_the_middle_of_the_arena() {
    let world = World::new();
    let ids: Vec<ObjectId> = (2..7).map(|slot| world.object(slot, PAGE, OPEN)).collect();
    (2..7).for_each(|slot| assert_eq!(probe::store(world.at(slot, 0), slot as u64), Ok(())));
    map::munmap(world.slot(4, 0), twz_abi::SLOT as usize).expect("munmap");
    assert!(probe::load(world.at(4, 0)).is_err());
    let shown: Vec<bool> = (2..7).map(|slot| probe::load(world.at(slot, 0)).is_ok()).collect();
    assert_eq!(shown, [true, true, false, true, true]);
    (2..7).for_each(|slot| world.hide(slot));
    assert_eq!(world.session.invalidate(world.view, 2, 5), Ok(()));
    assert!((2..7).all(|slot| probe::load(world.at(slot, 0)).is_err()), "on both sides");
    let kept = ids.iter().zip(2..7).all(|(id, slot)| world.session.word(*id, 0) == slot);
    assert!(kept);
}

fn locked_memory_does_no_harm() {
    let target = Target::new(16 * PAGE);
    let (at, len) = (target.at(2) & !(map::PAGE - 1), map::PAGE);
    // Ranges of the arena, and all of memory.
    let calls = [
        (libc::SYS_mlock, [at, len, 0, 0, 0, 0]),
        (libc::SYS_mlock2, [at, len, 1, 0, 0, 0]),
        (libc::SYS_mlockall, [libc::MCL_CURRENT as usize, 0, 0, 0, 0, 0]),
        (libc::SYS_munlock, [at, len, 0, 0, 0, 0]),
        (libc::SYS_munlockall, [0; 6]),
    ];
    for (number, arguments) in calls {
        let got = process::syscall(number, arguments);
        target.holds(&format!("after system call {number}: {got:?}"));
    }
}

fn looking_at_the_arena_does_no_harm() {
    let target = Target::new(3 * HUGE as u64);
    let page = target.at(2) & !(map::PAGE - 1);
    let mut resident = [0u8; 1];
    // One page, one byte.
    let arguments = [page, map::PAGE, resident.as_mut_ptr() as usize, 0, 0, 0];
    let _ = process::syscall(libc::SYS_mincore, arguments);
    for name in ["maps", "smaps", "smaps_rollup", "numa_maps", "pagemap"] {
        let Ok(mut file) = std::fs::File::open(format!("/proc/self/{name}")) else { continue };
        if name == "pagemap" {
            use std::io::Seek as _;
            file.seek(std::io::SeekFrom::Start(page as u64 / PAGE * 8)).expect("a seek");
        }
        let mut some = vec![0; 1 << 16];
        let read = file.read(&mut some);
        assert!(read.is_ok(), "/proc/self/{name}: {read:?}");
    }
    let mut nodes = 0i32;
    // Where the page is, into `nodes`.
    let arguments = [0, 1, (&raw const page) as usize, 0, (&raw mut nodes) as usize, 0];
    let _ = process::syscall(libc::SYS_move_pages, arguments);
    for policy in 0..6 {
        // No mask of nodes.
        let _ = process::syscall(libc::SYS_mbind, [page, map::PAGE, policy, 0, 0, 3]);
    }
    let _ = process::syscall(libc::SYS_msync, [page, map::PAGE, libc::MS_SYNC as usize, 0, 0, 0]);
    target.holds("after it was looked at");
}

fn system_calls_are_asked_as_loads_and_stores_are() {
    let target = Target::new(PAGE);
    let (reader, writer) = process::pipe();
    let hidden = target.world.session.create(PAGE, OPEN);
    target.world.show(4, hidden, Rights::NONE);
    let call = |number, fd: &std::os::fd::OwnedFd, at: usize| {
        // 8 bytes of the arena, if they may be had.
        process::syscall(number, [fd.as_raw_fd() as usize, at, 8, 0, 0, 0])
    };
    assert_eq!(call(libc::SYS_write, &writer, target.at(2)), Ok(8), "it may be read");
    assert_eq!(call(libc::SYS_write, &writer, target.at(4)), Err(Errno::EFAULT));
    assert_eq!(call(libc::SYS_write, &writer, target.world.slot(2, 8)), Err(Errno::EFAULT));
    assert_eq!(call(libc::SYS_read, &reader, target.at(2)), Err(Errno::EFAULT));
    assert_eq!(call(libc::SYS_read, &reader, target.at(3)), Ok(8), "it may be written");
    target.holds("after system calls");
    // The module's own commands are no exception.
    let read = |at: usize| {
        let id = target.closed;
        let mut arg = twz_abi::ioctl::Transfer { id, offset: PAGE, address: at as u64, len: 8 };
        target.world.session.call(twz_abi::ioctl::READ, &mut arg)
    };
    assert_eq!(read(target.at(2)), Err(Errno::EFAULT));
    assert_eq!(read(target.world.at(3, 0)), Ok(()));
    assert_eq!(read(target.world.slot(5, 0)), Err(Errno::EFAULT));
    target.holds("after commands");
}

fn reading_that_implies_execution_does_not() {
    // A plain value.
    let arguments = [libc::READ_IMPLIES_EXEC as usize, 0, 0, 0, 0, 0];
    process::syscall(libc::SYS_personality, arguments).expect("personality");
    let world = World::with(8, libc::PROT_READ);
    let id = world.session.create(PAGE, OPEN);
    world.session.set_word(id, 0, RET);
    world.show(2, id, RW);
    assert_eq!(probe::load(world.at(2, 0)), Ok(RET));
    assert!(probe::exec(world.at(2, 0)).is_err());
    assert_eq!(world.session.fault(world.at(2, 0), Rights::EXEC), Err(Errno::EACCES));
    assert!(probe::store(world.at(2, 0), 1).is_err());
}

fn a_core_dump_does_no_harm() {
    let session = Session::open();
    let id = undeletable(&session);
    let view = crate::world::view_object(&session, 8);
    let directory = format!("/tmp/core-{}", std::process::id());
    std::fs::create_dir_all(&directory).expect("a directory");
    let child = process::fork(|| {
        std::env::set_current_dir(&directory).expect("chdir");
        let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
        // SAFETY: a structure of this function's.
        unsafe { libc::setrlimit(libc::RLIMIT_CORE, &limit) };
        let world = World::of(Session::open(), view, 8, RWX);
        world.show(2, id, RWX_RIGHTS);
        probe::load(world.at(2, 0)).expect("a load");
        process::kill_self(libc::SIGABRT);
        0
    });
    assert_eq!(child.wait(), process::Status::Signalled(libc::SIGABRT));
    let _ = std::fs::remove_dir_all(&directory);
}

/// What [`a_new_program_starts_without_it`] execs: whether an address is there.
pub fn execed(address: usize) -> i32 {
    i32::from(probe::load(address).is_ok())
}

fn a_new_program_starts_without_it() {
    let view = Session::open();
    let view_id = crate::world::view_object(&view, 8);
    let id = undeletable(&view);
    let child = process::fork(|| {
        let world = World::of(Session::open(), view_id, 8, RWX);
        world.show(2, id, RW);
        probe::load(world.at(2, 0)).expect("a load");
        let address = world.at(2, 0).to_string();
        panic!("exec: {:?}", process::exec_self(&["child-reads", &address]));
    });
    child.succeed();
    assert_eq!(view.stat(id).map(|stat| stat.references), Ok(0), "exec lets go of it");
}

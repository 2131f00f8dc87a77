// SPDX-License-Identifier: MIT OR Apache-2.0
//! Objects as files: every operation, in one process and in two, and the same
//! bytes as through a view.

use libc::{
    FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE, SEEK_CUR, SEEK_DATA, SEEK_END, SEEK_HOLE, SEEK_SET,
};
use twz_abi::{MAX_DATA, ObjectId, PAGE, Rights};

use crate::{
    errno::Errno,
    file::File,
    ktap::Test,
    map::{self, HUGE, Map},
    probe,
    process::{self, Shared},
    sys::Session,
    tests,
    world::{OPEN, RW, World},
};

/// The suite.
pub const TESTS: &[Test] = tests![
    what_is_written_is_read,
    the_position_is_the_descriptors_own,
    a_read_ends_at_the_end,
    a_write_past_the_end_grows_the_object,
    appending_goes_to_the_end,
    an_empty_or_odd_seek,
    data_and_holes_are_told_apart,
    truncation_grows_with_zeros_and_shrinks,
    storage_can_be_reserved,
    a_punched_hole_is_zeros_and_gives_pages_back,
    a_punched_hole_shows_in_mappings,
    stat_tells_of_a_regular_file,
    all_descriptors_share_one_inode,
    rights_bound_the_descriptor,
    nothing_goes_past_the_largest_object,
    a_mapping_is_the_object_itself,
    a_private_mapping_is_ones_own,
    a_mapping_ends_with_the_data,
    a_mapping_of_a_copied_object_parts,
    the_descriptor_works_in_another_process,
    locks_of_whole_files_exclude,
    locks_of_ranges_exclude,
    data_move_between_files,
    vectors_are_read_and_written,
    syncing_is_accepted,
    close_on_exec_is_set,
    a_name_in_proc_opens_nothing_wider,
];

struct Opened {
    session: Session,
    id: ObjectId,
    file: File,
}

fn open(size: u64) -> Opened {
    let session = Session::open();
    let id = session.create(size, OPEN);
    let file = File(session.open_fd(id, RW).expect("OPEN_FD"));
    Opened { session, id, file }
}

fn what_is_written_is_read() {
    let Opened { session, id, file } = open(10 * PAGE);
    let mut rng = crate::rng::Rng::new(3);
    for (at, len) in [(0, 10), (4090, 20), (3 * PAGE, 2 * 4096), (7 * PAGE + 5, 3000)] {
        let bytes = rng.bytes(len);
        assert_eq!(file.pwrite(&bytes, at), Ok(len));
        let (mut back, mut by_command) = (vec![0; len], vec![0; len]);
        assert_eq!(file.pread(&mut back, at), Ok(len));
        assert_eq!(session.read(id, PAGE + at, &mut by_command), Ok(len as u64));
        assert!(back == bytes && by_command == bytes, "{len} at {at}");
    }
    session.set_word(id, 9 * PAGE, 0x0102);
    let mut back = [0; 8];
    assert_eq!(file.pread(&mut back, 9 * PAGE), Ok(8));
    assert_eq!(u64::from_le_bytes(back), 0x0102);
    let mut hole = [1; 64];
    assert_eq!(file.pread(&mut hole, 6 * PAGE), Ok(64));
    assert_eq!(hole, [0; 64]);
}

fn the_position_is_the_descriptors_own() {
    let Opened { session, id, file } = open(100);
    let other = File(session.open_fd(id, RW).expect("OPEN_FD"));
    assert_eq!(file.write(b"hello "), Ok(6));
    assert_eq!(file.write(b"world"), Ok(5));
    let mut back = [0; 11];
    assert_eq!(other.read(&mut back), Ok(11));
    assert_eq!(&back, b"hello world");
    assert_eq!((file.seek(0, SEEK_CUR), other.seek(-1, SEEK_CUR)), (Ok(11), Ok(10)));
    assert_eq!(file.pread(&mut back, 0), Ok(11));
    assert_eq!(file.seek(0, SEEK_CUR), Ok(11), "pread moves nothing");
    assert_eq!((file.seek(3, SEEK_SET), file.seek(0, SEEK_END)), (Ok(3), Ok(100)));
}

fn a_read_ends_at_the_end() {
    let Opened { file, .. } = open(4097);
    let mut back = vec![1; 10_000];
    assert_eq!(file.pread(&mut back, 0), Ok(4097));
    assert_eq!(file.pread(&mut back, 4096), Ok(1));
    assert_eq!(file.pread(&mut back, 4097), Ok(0));
    assert_eq!(file.pread(&mut back, 1 << 40), Ok(0));
    assert_eq!(file.read(&mut []), Ok(0));
}

fn a_write_past_the_end_grows_the_object() {
    let Opened { session, id, file } = open(0);
    assert_eq!(file.write(&[7; 10]), Ok(10));
    assert_eq!(session.stat(id).map(|stat| stat.size), Ok(10));
    assert_eq!(file.pwrite(&[8], 3 * PAGE), Ok(1));
    assert_eq!(session.stat(id).map(|stat| (stat.size, stat.pages)), Ok((3 * PAGE + 1, 2)));
    let mut back = vec![1; 3 * 4096 - 10];
    assert_eq!(file.pread(&mut back, 10), Ok(back.len()));
    assert!(back.iter().all(|&b| b == 0), "what lies between is zeros");
    assert_eq!(file.stat().st_size as u64, 3 * PAGE + 1);
}

fn appending_goes_to_the_end() {
    let Opened { session, id, file } = open(5);
    let other = File(session.open_fd(id, RW).expect("OPEN_FD"));
    assert_eq!(file.set_flags(libc::O_APPEND), Ok(()));
    assert_eq!(file.write(b"ab"), Ok(2));
    assert_eq!(other.pwrite(b"XY", 7), Ok(2));
    assert_eq!(file.write(b"cd"), Ok(2));
    let mut back = [9; 20];
    assert_eq!(file.pread(&mut back, 0), Ok(11));
    assert_eq!(&back[..11], b"\0\0\0\0\0abXYcd");
}

fn an_empty_or_odd_seek() {
    let Opened { file, .. } = open(10);
    assert_eq!(file.seek(-1, SEEK_SET), Err(Errno::EINVAL));
    assert_eq!(file.seek(-11, SEEK_END), Err(Errno::EINVAL));
    assert_eq!(file.seek(0, 99), Err(Errno::EINVAL));
    assert_eq!(file.seek(1000, SEEK_SET), Ok(1000), "past the end is a place");
    assert_eq!(file.read(&mut [0; 4]), Ok(0));
}

fn data_and_holes_are_told_apart() {
    let Opened { file, .. } = open(1 << 20);
    assert_eq!(file.seek(0, SEEK_DATA), Err(Errno::ENXIO), "nothing but a hole");
    assert_eq!(file.seek(0, SEEK_HOLE), Ok(0));
    assert_eq!(file.pwrite(&[1; 4096], 20 * PAGE), Ok(4096));
    assert_eq!(file.pwrite(&[1], 22 * PAGE + 100), Ok(1));
    assert_eq!(file.seek(0, SEEK_DATA), Ok(20 * PAGE));
    assert_eq!(file.seek(20 * PAGE as i64 + 5, SEEK_DATA), Ok(20 * PAGE + 5));
    assert_eq!(file.seek(20 * PAGE as i64 + 5, SEEK_HOLE), Ok(21 * PAGE));
    assert_eq!(file.seek(21 * PAGE as i64, SEEK_DATA), Ok(22 * PAGE));
    assert_eq!(file.seek(22 * PAGE as i64, SEEK_HOLE), Ok(23 * PAGE));
    assert_eq!(file.seek(23 * PAGE as i64, SEEK_DATA), Err(Errno::ENXIO));
    assert_eq!(file.seek(1 << 20, SEEK_DATA), Err(Errno::ENXIO), "the end");
    assert_eq!(file.seek(1 << 20, SEEK_HOLE), Err(Errno::ENXIO), "the end");
    assert_eq!(file.pwrite(&vec![1; 1 << 20], 0), Ok(1 << 20));
    assert_eq!(file.seek(0, SEEK_HOLE), Ok(1 << 20), "the end is a hole");
}

fn truncation_grows_with_zeros_and_shrinks() {
    let Opened { session, id, file } = open(0);
    assert_eq!(file.write(&[0xff; 9000]), Ok(9000));
    assert_eq!(file.truncate(4100), Ok(()));
    assert_eq!(session.stat(id).map(|stat| (stat.size, stat.pages)), Ok((4100, 2)));
    assert_eq!(file.truncate(9000), Ok(()));
    let mut back = vec![1; 9000];
    assert_eq!(file.pread(&mut back, 0), Ok(9000));
    assert!(back[..4100].iter().all(|&b| b == 0xff) && back[4100..].iter().all(|&b| b == 0));
    assert_eq!(file.truncate(MAX_DATA), Ok(()));
    assert_eq!(file.stat().st_size as u64, MAX_DATA);
    assert_eq!(file.truncate(0), Ok(()));
    assert_eq!(session.stat(id).map(|stat| (stat.size, stat.pages)), Ok((0, 0)));
}

fn storage_can_be_reserved() {
    let Opened { session, id, file } = open(0);
    let free = session.info().free_pages;
    assert_eq!(file.allocate(0, 0, 100 * PAGE), Ok(()));
    assert_eq!(session.stat(id).map(|stat| stat.size), Ok(100 * PAGE));
    assert!(free - session.info().free_pages >= 100);
    assert_eq!(file.allocate(FALLOC_FL_KEEP_SIZE, 100 * PAGE, PAGE), Ok(()));
    assert_eq!(session.stat(id).map(|stat| stat.size), Ok(100 * PAGE), "kept");
    assert_eq!(file.allocate(0, 0, 0), Err(Errno::EINVAL));
    let odd = file.allocate(0x40, 0, PAGE);
    assert_eq!(odd, Err(Errno::EOPNOTSUPP), "what is not offered");
    assert_eq!(file.allocate(0, MAX_DATA, PAGE), Err(Errno::EFBIG));
}

fn a_punched_hole_is_zeros_and_gives_pages_back() {
    let mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    for size in [20 * PAGE, 3 * HUGE as u64] {
        let Opened { session, id, file } = open(0);
        assert_eq!(file.write(&vec![5; size as usize]), Ok(size as usize));
        let pages = session.stat(id).expect("STAT").pages;
        assert_eq!(file.allocate(mode, PAGE + 100, 10 * PAGE), Ok(()));
        let mut back = vec![1; 13 * 4096];
        assert_eq!(file.pread(&mut back, 0), Ok(13 * 4096));
        let wrong = back.iter().enumerate().find(|(i, b)| {
            let in_hole = (4196..4196 + 40960).contains(i);
            **b != if in_hole { 0 } else { 5 }
        });
        assert_eq!(wrong, None);
        let after = session.stat(id).expect("STAT");
        assert!(pages - after.pages >= 9 - 3, "{pages} pages, then {}", after.pages);
        assert_eq!(after.size, size);
        assert_eq!(file.seek(3 * PAGE as i64, SEEK_DATA), Ok(11 * PAGE));
        assert_eq!(file.allocate(FALLOC_FL_PUNCH_HOLE, 0, PAGE), Err(Errno::EOPNOTSUPP));
    }
}

fn a_punched_hole_shows_in_mappings() {
    let world = World::new();
    let id = world.object(2, 8 * PAGE, OPEN);
    let file = File(world.session.open_fd(id, RW).expect("OPEN_FD"));
    let mapped = Map::shared(&file.0, 8 * map::PAGE, map::RW).expect("mmap");
    for page in 0..8 {
        assert_eq!(probe::store(world.at(2, page * PAGE), 9), Ok(()));
        assert_eq!(probe::load(mapped.at(page as usize * map::PAGE)), Ok(9));
    }
    let mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
    assert_eq!(file.allocate(mode, 2 * PAGE, 3 * PAGE), Ok(()));
    for page in 0..8 {
        let holds = if (2..5).contains(&page) { 0 } else { 9 };
        assert_eq!(probe::load(world.at(2, page * PAGE)), Ok(holds), "page {page} of the view");
        assert_eq!(probe::load(mapped.at(page as usize * map::PAGE)), Ok(holds), "of the file");
    }
    assert_eq!(probe::store(world.at(2, 3 * PAGE), 4), Ok(()));
    assert_eq!(probe::load(mapped.at(3 * map::PAGE)), Ok(4));
}

fn stat_tells_of_a_regular_file() {
    let Opened { file, .. } = open(5000);
    let stat = file.stat();
    assert_eq!(stat.st_mode & libc::S_IFMT, libc::S_IFREG);
    assert_eq!((stat.st_size, stat.st_blocks), (5000, 0));
    assert_eq!(file.pwrite(&[1; 4096], 0), Ok(4096));
    assert_eq!(file.stat().st_blocks, 8, "in units of 512 bytes");
    assert_eq!(file.stat().st_ino, stat.st_ino);
}

fn all_descriptors_share_one_inode() {
    let Opened { session, id, file } = open(0);
    let again = File(session.open_fd(id, Rights::READ).expect("OPEN_FD"));
    let other = session.object(0);
    let other = File(session.open_fd(other, RW).expect("OPEN_FD"));
    let key = |file: &File| (file.stat().st_dev, file.stat().st_ino);
    assert_eq!(key(&file), key(&again));
    assert_ne!(key(&file), key(&other));
    let before = key(&file);
    drop((file, again));
    let later = File(session.open_fd(id, RW).expect("OPEN_FD"));
    assert_eq!(key(&later).0, before.0);
}

fn rights_bound_the_descriptor() {
    let Opened { session, id, .. } = open(PAGE);
    let reader = File(session.open_fd(id, Rights::READ).expect("OPEN_FD"));
    assert_eq!(reader.pwrite(&[1], 0), Err(Errno::EBADF));
    assert_eq!(reader.truncate(0), Err(Errno::EINVAL));
    assert_eq!(reader.allocate(0, 0, PAGE), Err(Errno::EBADF));
    let got = Map::shared(&reader.0, map::PAGE, map::RW).map(|_| ());
    assert_eq!(got, Err(Errno::EACCES));
    let mapped = Map::shared(&reader.0, map::PAGE, libc::PROT_READ).expect("mmap");
    assert_eq!(mapped.protect(map::RW), Err(Errno::EACCES));
    assert!(probe::store(mapped.at(0), 1).is_err());
    let writer = File(session.open_fd(id, Rights::WRITE).expect("OPEN_FD"));
    assert_eq!(writer.pwrite(&[1], 0), Ok(1));
    assert_eq!(writer.pread(&mut [0], 0), Err(Errno::EBADF));
    assert_eq!(Map::shared(&writer.0, map::PAGE, map::RW).map(|_| ()), Err(Errno::EACCES));
    let none = session.open_fd(id, Rights::NONE).map(|_| ());
    assert!(none.is_err(), "a descriptor for nothing: {none:?}");
}

fn nothing_goes_past_the_largest_object() {
    let Opened { session, id, file } = open(0);
    assert_eq!(file.pwrite(&[1], MAX_DATA), Err(Errno::EFBIG));
    assert_eq!(file.pwrite(&[1; 100], MAX_DATA - 10), Ok(10), "what fits");
    assert_eq!(session.stat(id).map(|stat| stat.size), Ok(MAX_DATA));
    assert_eq!(file.truncate(MAX_DATA + 1), Err(Errno::EFBIG));
    assert_eq!(file.pwrite(&[1], u64::MAX >> 2), Err(Errno::EFBIG));
    let far = file.seek(MAX_DATA as i64, SEEK_SET).and_then(|_| file.write(&[1]));
    assert_eq!(far, Err(Errno::EFBIG));
}

fn a_mapping_is_the_object_itself() {
    let world = World::new();
    let size = 3 * HUGE;
    let id = world.object(2, size as u64, OPEN);
    let file = File(world.session.open_fd(id, RW).expect("OPEN_FD"));
    let mapped = Map::shared(&file.0, size, map::RW).expect("mmap");
    for at in [0, 5 * map::PAGE + 8, HUGE, size - 8] {
        assert_eq!(probe::load(mapped.at(at)), Ok(0), "a hole, at {at:#x}");
        assert_eq!(probe::store(world.at(2, at as u64), at as u64 + 1), Ok(()));
        assert_eq!(probe::load(mapped.at(at)), Ok(at as u64 + 1), "the view's store, {at:#x}");
        assert_eq!(probe::store(mapped.at(at), 3), Ok(()));
        assert_eq!(probe::load(world.at(2, at as u64)), Ok(3), "the file's store, {at:#x}");
        let mut back = [0; 8];
        assert_eq!(file.pread(&mut back, at as u64), Ok(8));
        assert_eq!(u64::from_le_bytes(back), 3);
    }
    assert!(probe::exec(mapped.at(0)).is_err());
}

fn a_private_mapping_is_ones_own() {
    let Opened { session, id, file } = open(PAGE);
    session.set_word(id, 0, 5);
    let flags = libc::MAP_PRIVATE;
    match Map::new(&file.0, 0, map::PAGE, map::RW, flags) {
        Ok(own) => {
            assert_eq!(probe::load(own.at(0)), Ok(5));
            assert_eq!(probe::store(own.at(0), 6), Ok(()));
            assert_eq!(session.word(id, 0), 5);
        }
        Err(refused) => assert_eq!(refused, Errno::EINVAL),
    }
}

fn a_mapping_ends_with_the_data() {
    let Opened { session, id, file } = open(PAGE + 10);
    let mapped = Map::shared(&file.0, 4 * map::PAGE, map::RW).expect("mmap");
    assert_eq!(probe::store(mapped.at(map::PAGE), 1), Ok(()));
    let past = mapped.at(2 * map::PAGE);
    let fault = probe::load(past).expect_err("past the end");
    assert_eq!((fault.signal, fault.address), (libc::SIGBUS, past));
    assert_eq!(session.resize(id, 4 * PAGE), Ok(()));
    assert_eq!(probe::store(past, 2), Ok(()));
    assert_eq!(file.truncate(PAGE), Ok(()));
    for page in 1..4 {
        let fault = probe::load(mapped.at(page * map::PAGE)).expect_err("it was cut off");
        assert_eq!(fault.signal, libc::SIGBUS);
    }
}

fn a_mapping_of_a_copied_object_parts() {
    let Opened { session, id, file } = open(4 * PAGE);
    let mapped = Map::shared(&file.0, 4 * map::PAGE, map::RW).expect("mmap");
    assert_eq!(probe::store(mapped.at(8), 1), Ok(()));
    let copy = session.copy(id).expect("COPY");
    assert_eq!(probe::store(mapped.at(8), 2), Ok(()));
    assert_eq!((session.word(copy, 8), session.word(id, 8)), (1, 2));
    assert_eq!(file.pwrite(&3u64.to_le_bytes(), 8), Ok(8));
    assert_eq!((session.word(copy, 8), probe::load(mapped.at(8))), (1, Ok(3)));
}

fn the_descriptor_works_in_another_process() {
    let Opened { session, id, file } = open(2 * PAGE);
    let shared = Shared::new();
    let child = process::fork(|| {
        assert_eq!(file.pwrite(&7u64.to_le_bytes(), 0), Ok(8));
        let mapped = Map::shared(&file.0, map::PAGE, map::RW).expect("mmap");
        assert_eq!(probe::load(mapped.at(0)), Ok(7));
        shared.set(0, 1);
        shared.await_at_least(1, 1);
        assert_eq!(probe::load(mapped.at(8)), Ok(9));
        assert_eq!(probe::store(mapped.at(16), 11), Ok(()));
        0
    });
    shared.await_at_least(0, 1);
    assert_eq!(session.word(id, 0), 7);
    session.set_word(id, 8, 9);
    shared.set(1, 1);
    child.succeed();
    assert_eq!(session.word(id, 16), 11);
}

fn locks_of_whole_files_exclude() {
    let Opened { session, id, file } = open(0);
    let other = File(session.open_fd(id, RW).expect("OPEN_FD"));
    assert_eq!(file.flock(libc::LOCK_EX), Ok(()));
    assert_eq!(other.flock(libc::LOCK_SH), Err(Errno::EAGAIN));
    let child = process::fork(|| {
        let session = Session::open();
        let third = File(session.open_fd(id, RW).expect("OPEN_FD"));
        i32::from(third.flock(libc::LOCK_EX) != Err(Errno::EAGAIN))
    });
    child.succeed();
    assert_eq!(file.flock(libc::LOCK_UN), Ok(()));
    assert_eq!(other.flock(libc::LOCK_SH), Ok(()));
    assert_eq!(file.flock(libc::LOCK_SH), Ok(()));
}

fn locks_of_ranges_exclude() {
    let Opened { session, id, file } = open(100);
    let other = File(session.open_fd(id, RW).expect("OPEN_FD"));
    assert_eq!(file.lock(libc::F_WRLCK, 0, 10), Ok(()));
    assert_eq!(other.lock(libc::F_WRLCK, 5, 10), Err(Errno::EAGAIN));
    assert_eq!(other.lock(libc::F_WRLCK, 10, 10), Ok(()));
    drop(file);
    assert_eq!(other.lock(libc::F_WRLCK, 5, 5), Ok(()), "it went with its descriptor");
}

fn data_move_between_files() {
    let Opened { session, id, file } = open(0);
    let bytes = crate::rng::Rng::new(9).bytes(10_000);
    assert_eq!(file.write(&bytes), Ok(10_000));
    assert_eq!(file.seek(0, SEEK_SET), Ok(0));
    let target = session.object(0);
    let target_file = File(session.open_fd(target, RW).expect("OPEN_FD"));
    use std::os::fd::AsRawFd as _;
    let (from, to) = (file.0.as_raw_fd() as usize, target_file.0.as_raw_fd() as usize);
    let mut done = 0;
    while done < 10_000 {
        // No offsets are given: the positions move.
        let sent = process::syscall(libc::SYS_sendfile, [to, from, 0, 10_000 - done, 0, 0]);
        done += sent.expect("sendfile");
    }
    let mut back = vec![0; 10_000];
    assert_eq!(session.read(target, PAGE, &mut back), Ok(10_000));
    assert!(back == bytes);
    assert_eq!(session.stat(id).map(|stat| stat.size), Ok(10_000));
}

fn vectors_are_read_and_written() {
    let Opened { session, id, file } = open(0);
    use std::os::fd::AsRawFd as _;
    let raw = file.0.as_raw_fd() as usize;
    let (a, b) = ([1u8; 5000], [2u8; 3]);
    let vector = [a.as_ptr() as usize, 5000, b.as_ptr() as usize, 3];
    // Two buffers, `a` and `b`.
    let wrote = process::syscall(libc::SYS_writev, [raw, vector.as_ptr() as usize, 2, 0, 0, 0]);
    assert_eq!(wrote, Ok(5003));
    assert_eq!(session.stat(id).map(|stat| stat.size), Ok(5003));
    let (mut a, mut b) = ([0u8; 4999], [0u8; 4]);
    let vector = [a.as_mut_ptr() as usize, 4999, b.as_mut_ptr() as usize, 4];
    // Two buffers again, from byte 0.
    let read = process::syscall(libc::SYS_preadv, [raw, vector.as_ptr() as usize, 2, 0, 0, 0]);
    assert_eq!((read, a[4998], b), (Ok(5003), 1, [1, 2, 2, 2]));
}

fn syncing_is_accepted() {
    let Opened { file, .. } = open(PAGE);
    assert_eq!(file.pwrite(&[1; 100], 0), Ok(100));
    assert_eq!(file.sync(), Ok(()));
    let mapped = Map::shared(&file.0, map::PAGE, map::RW).expect("mmap");
    assert_eq!(probe::store(mapped.at(0), 1), Ok(()));
    let arguments = [mapped.at(0), map::PAGE, libc::MS_SYNC as usize, 0, 0, 0];
    // A page of the test's own mapping.
    assert_eq!(process::syscall(libc::SYS_msync, arguments), Ok(0));
    use std::os::fd::AsRawFd as _;
    let raw = file.0.as_raw_fd() as usize;
    assert_eq!(process::syscall(libc::SYS_fdatasync, [raw, 0, 0, 0, 0, 0]), Ok(0));
}

fn close_on_exec_is_set() {
    let world = World::new();
    let id = world.object(2, PAGE, OPEN);
    let file = world.session.open_fd(id, RW).expect("OPEN_FD");
    use std::os::fd::AsRawFd as _;
    for fd in [file.as_raw_fd(), world.fd.as_raw_fd()] {
        let arguments = [fd as usize, libc::F_GETFD as usize, 0, 0, 0, 0];
        assert_eq!(process::syscall(libc::SYS_fcntl, arguments), Ok(1));
    }
}

fn a_name_in_proc_opens_nothing_wider() {
    let Opened { session, id, .. } = open(PAGE);
    let reader = session.open_fd(id, Rights::READ).expect("OPEN_FD");
    use std::os::fd::AsRawFd as _;
    let path = format!("/proc/self/fd/{}", reader.as_raw_fd());
    for flags in [libc::O_RDWR, libc::O_WRONLY, libc::O_RDWR | libc::O_TRUNC] {
        if let Ok(wider) = crate::sys::open(&path, flags) {
            let wider = File(wider);
            assert!(wider.pwrite(&[1], 0).is_err(), "flags {flags:#x}");
        }
    }
    assert_eq!(session.stat(id).map(|stat| stat.size), Ok(PAGE));
    assert_eq!(session.word(id, 0), 0);
}

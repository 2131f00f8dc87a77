// SPDX-License-Identifier: MIT OR Apache-2.0
//! What calls do and answer, one kind of call a test.

use std::{
    ffi::OsStr,
    fs::{self, File, OpenOptions},
    io::{Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::AsFd as _,
        unix::{
            ffi::OsStrExt as _,
            fs::{
                FileExt as _, FileTypeExt as _, MetadataExt as _, PermissionsExt as _, chown,
                symlink,
            },
        },
    },
    path::Path,
};

use nix::{
    fcntl::{FallocateFlags, RenameFlags, copy_file_range, fallocate, renameat2},
    sys::{stat::futimens, time::TimeSpec},
    unistd::{Whence, lseek},
};
use rustix::fs::getxattr;

use crate::place::{Home, Place, errno, everywhere, has, homes, image, mountable};

fn open(path: &Path) -> File {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).open(path).expect("it opens")
}

#[test]
fn an_open_file_lives_on_without_a_name() {
    everywhere("calls::an_open_file_lives_on_without_a_name", |place| {
        // An image is the daemon's alone while it is mounted.
        place.unmount();
        let before = place.twz(&["ls", "--json"]).matches("\"id\"").count();
        place.mount();
        let mut file = open(&place.at("file"));
        file.write_all(b"some bytes").expect("written");
        fs::remove_file(place.at("file")).expect("removed");
        assert_eq!(file.metadata().expect("stat").nlink(), 0);
        file.write_all(b", and more").expect("written");
        file.seek(SeekFrom::Start(0)).expect("seek");
        let mut text = String::new();
        file.read_to_string(&mut text).expect("read");
        assert_eq!(text, "some bytes, and more");
        drop(file);
        place.unmount();
        let after = place.twz(&["ls", "--json"]).matches("\"id\"").count();
        assert_eq!(after, before, "its object is gone");
        place.mount();
    });
}

#[test]
fn renames_of_every_kind() {
    everywhere("calls::renames_of_every_kind", |place| {
        let rename = |from: &str, to: &str, flags| {
            let (from, to) = (place.at(from), place.at(to));
            let here = nix::fcntl::AT_FDCWD;
            renameat2(here, &from, here, &to, flags).map_err(std::io::Error::from)
        };
        let text = |path: &str| fs::read_to_string(place.at(path)).expect("it is there");
        place.unmount();
        let before = place.twz(&["ls", "--json"]).matches("\"id\"").count();
        place.mount();
        for name in ["a", "b"] {
            fs::write(place.at(name), name).expect("written");
            fs::create_dir(place.at(&format!("dir-{name}"))).expect("made");
        }
        fs::write(place.at("dir-a/in"), "in").expect("written");
        let none = RenameFlags::empty();
        assert_eq!(errno(rename("a", "b", RenameFlags::RENAME_NOREPLACE)), libc::EEXIST);
        rename("a", "b", RenameFlags::RENAME_EXCHANGE).expect("exchanged");
        assert_eq!((text("a"), text("b")), ("b".into(), "a".into()));
        rename("a", "b", none).expect("replaced");
        assert_eq!(text("b"), "b");
        assert_eq!(errno(rename("a", "c", none)), libc::ENOENT);
        assert_eq!(errno(rename("dir-b", "dir-a", none)), libc::ENOTEMPTY);
        assert_eq!(errno(rename("b", "dir-a", none)), libc::EISDIR);
        assert_eq!(errno(rename("dir-a", "b", none)), libc::ENOTDIR);
        assert_eq!(errno(rename("dir-a", "dir-a/below", none)), libc::EINVAL);
        fs::set_permissions(place.at("dir-a"), fs::Permissions::from_mode(0o750)).expect("chmod");
        rename("dir-a", "dir-b", none).expect("replaced, as it is empty");
        assert_eq!(text("dir-b/in"), "in");
        assert_eq!(fs::metadata(place.at("dir-b")).expect("stat").mode() & 0o7777, 0o750);
        fs::create_dir(place.at("other")).expect("made");
        rename("other", "dir-b", RenameFlags::RENAME_EXCHANGE).expect("exchanged");
        assert_eq!(text("other/in"), "in");
        assert_eq!(fs::read_dir(place.at("dir-b")).expect("listed").count(), 0);
        fs::remove_dir(place.at("dir-b")).expect("removed");
        fs::create_dir(place.at("full")).expect("made");
        fs::write(place.at("full/in"), "in").expect("written");
        let refused = rename("other", "full", RenameFlags::RENAME_WHITEOUT);
        assert_eq!(errno(refused), libc::ENOTEMPTY, "and nothing is left of it");
        fs::remove_dir_all(place.at("full")).expect("removed");
        rename("b", "c", RenameFlags::RENAME_WHITEOUT).expect("renamed");
        place.again();
        let white = fs::symlink_metadata(place.at("b")).expect("there is something");
        assert_eq!((text("c"), white.rdev()), ("b".into(), 0));
        assert!(white.file_type().is_char_device(), "{white:?}");
        let both = RenameFlags::RENAME_WHITEOUT | RenameFlags::RENAME_NOREPLACE;
        assert_eq!(errno(rename("c", "b", both)), libc::EEXIST);
        fs::remove_file(place.at("b")).expect("removed");
        place.unmount();
        // `c`, a directory's record, and the file in it.
        assert_eq!(place.twz(&["ls", "--json"]).matches("\"id\"").count(), before + 3);
        place.mount();
    });
}

#[test]
fn attributes_stay() {
    everywhere("calls::attributes_stay", |place| {
        let path = place.at("file");
        fs::write(&path, "12345").expect("written");
        fs::hard_link(&path, place.at("link")).expect("linked");
        symlink("some/where", place.at("soft")).expect("linked");
        fs::create_dir(place.at("dir")).expect("made");
        chown(&path, Some(12), Some(34)).expect("chown");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o4710)).expect("chmod");
        fs::set_permissions(place.at("dir"), fs::Permissions::from_mode(0o1777)).expect("chmod");
        let old = std::time::UNIX_EPOCH + std::time::Duration::new(1_234_567_890, 123_456_789);
        open(&path).set_times(fs::FileTimes::new().set_modified(old)).expect("times");
        nix::unistd::mkfifo(&place.at("pipe"), nix::sys::stat::Mode::S_IRUSR).expect("made");
        for _ in 0..2 {
            let stat = fs::metadata(&path).expect("stat");
            assert_eq!((stat.uid(), stat.gid(), stat.nlink(), stat.len()), (12, 34, 2, 5));
            assert_eq!(stat.mode(), libc::S_IFREG | 0o4710);
            assert_eq!(stat.modified().expect("a time"), old);
            assert_eq!(fs::metadata(place.at("link")).expect("stat").ino(), stat.ino());
            assert_eq!(fs::read_link(place.at("soft")).expect("a link"), Path::new("some/where"));
            assert_eq!(fs::metadata(place.at("dir")).expect("stat").mode() & 0o7777, 0o1777);
            assert_eq!(fs::metadata(place.at("pipe")).expect("stat").mode(), libc::S_IFIFO | 0o400);
            place.again();
        }
        chown(&path, Some(13), None).expect("chown");
        assert_eq!(fs::metadata(&path).expect("stat").mode() & 0o7777, 0o710, "no set-user-id");
    });
}

#[test]
fn times_move_with_what_is_done() {
    everywhere("calls::times_move_with_what_is_done", |place| {
        let path = place.at("file");
        fs::write(&path, "1").expect("written");
        let past = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000);
        let set = || {
            let times = fs::FileTimes::new().set_modified(past).set_accessed(past);
            open(&path).set_times(times).expect("times");
            assert_eq!(fs::metadata(&path).expect("stat").modified().expect("a time"), past);
        };
        let moved = || fs::metadata(&path).expect("stat").modified().expect("a time") > past;
        set();
        let file = open(&path);
        file.write_all_at(b"2", 0).expect("written");
        assert!(moved(), "by a write");
        drop(file);
        assert!(moved(), "after the close");
        set();
        open(&path).set_len(100).expect("truncated");
        assert!(moved(), "by a new length");
        set();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).expect("chmod");
        assert!(!moved(), "not by a new mode");
        let dir = place.at("dir");
        fs::create_dir(&dir).expect("made");
        let made = fs::metadata(&dir).expect("stat").modified().expect("a time");
        std::thread::sleep(std::time::Duration::from_millis(20));
        fs::write(dir.join("name"), "").expect("written");
        assert!(fs::metadata(&dir).expect("stat").modified().expect("a time") > made);
    });
}

/// Some times are stamped by the kernel, others by who serves the mount.
#[test]
fn times_never_go_back() {
    everywhere("calls::times_never_go_back", |place| {
        for n in 0..50 {
            let path = place.at(&format!("file{n}"));
            let file = File::create(&path).expect("made");
            let made = file.metadata().expect("stat").modified().expect("a time");
            futimens(&file, &TimeSpec::UTIME_NOW, &TimeSpec::UTIME_NOW).expect("touched");
            let touched = fs::metadata(&path).expect("stat").modified().expect("a time");
            assert!(touched >= made, "{touched:?} and {made:?} on {:?}", place.home);
        }
    });
}

#[test]
fn holes_are_zeros() {
    everywhere("calls::holes_are_zeros", |place| {
        let path = place.at("file");
        let file = open(&path);
        let size = 1 << 20;
        file.write_all_at(&vec![7; size], 0).expect("written");
        let how = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        fallocate(file.as_fd(), how, 100_000, 300_001).expect("a hole");
        let check = |file: &File| {
            let mut bytes = vec![1; size];
            file.read_exact_at(&mut bytes, 0).expect("read");
            let zeros = bytes.iter().position(|byte| *byte == 0).expect("a zero");
            let count = bytes.iter().filter(|byte| **byte == 0).count();
            assert_eq!((zeros, count), (100_000, 300_001));
        };
        check(&file);
        file.sync_all().expect("durable");
        assert_eq!(lseek(file.as_fd(), 0, Whence::SeekHole).expect("a hole"), 102_400);
        assert_eq!(lseek(file.as_fd(), 0, Whence::SeekData).expect("data"), 0);
        let past = lseek(file.as_fd(), size as i64, Whence::SeekData);
        assert_eq!(past, Err(nix::errno::Errno::ENXIO));
        drop(file);
        place.again();
        check(&open(&path));
        let file = open(&path);
        fallocate(file.as_fd(), FallocateFlags::empty(), 0, size as i64 + 5).expect("room");
        assert_eq!(file.metadata().expect("stat").len(), size as u64 + 5);
        // What was cut off does not come back.
        file.set_len(10).expect("cut");
        file.set_len(5000).expect("longer");
        let mut bytes = vec![1; 5000];
        file.read_exact_at(&mut bytes, 0).expect("read");
        assert_eq!(bytes.iter().filter(|byte| **byte != 0).count(), 10);
    });
}

/// The next data or hole of a file, as it is open there.
fn next(file: &File, at: i64, whence: Whence) -> i64 {
    lseek(file.as_fd(), at, whence).expect("it is found")
}

#[test]
fn what_is_not_written_yet_is_no_hole() {
    everywhere("calls::what_is_not_written_yet_is_no_hole", |place| {
        let file = open(&place.at("file"));
        for at in [1i64 << 20, 3 << 20, 2 << 20] {
            file.write_all_at(b"data", at as u64).expect("written");
            assert_eq!(next(&file, at - 4096, Whence::SeekData), at);
            let end = file.metadata().expect("stat").len() as i64;
            let hole = next(&file, at, Whence::SeekHole);
            assert_eq!(hole, (at + 4096).min(end));
        }
        assert_eq!(next(&file, 0, Whence::SeekHole), 0);
        // Whoever else looks finds the same, and what was written is still there.
        let other = File::open(place.at("file")).expect("it opens");
        assert_eq!(next(&other, 4096, Whence::SeekData), 1 << 20);
        drop(file);
        assert_eq!(next(&other, (1 << 20) + 4096, Whence::SeekData), 2 << 20);
        let mut bytes = [0; 8];
        other.read_exact_at(&mut bytes[..4], 2 << 20).expect("read");
        assert_eq!(&bytes, b"data\0\0\0\0");
    });
}

/// Looks for data that was stored through a mapping, which nobody is told of.
const STORED: &str = r#"
import mmap, os
file = os.open("mapped", os.O_RDWR | os.O_CREAT)
os.truncate(file, 1 << 20)
memory = mmap.mmap(file, 1 << 20)
for at in 5 << 16, 3 << 16, 7 << 16:
    memory[at] = 1
    assert os.lseek(file, at - 4096, os.SEEK_DATA) == at
    assert os.lseek(file, at, os.SEEK_HOLE) == at + 4096
    assert memory[at] == 1
assert os.lseek(file, 0, os.SEEK_DATA) == 3 << 16
"#;

#[test]
fn what_was_stored_is_no_hole() {
    let test = "calls::what_was_stored_is_no_hole";
    if has(test, &["python3"]) {
        everywhere(test, |place| {
            place.shell(&format!("python3 - <<'end'{STORED}end"));
        });
    }
}

#[test]
fn many_look_for_holes_while_others_write() {
    everywhere("calls::many_look_for_holes_while_others_write", |place| {
        std::thread::scope(|scope| {
            for n in 0..4 {
                let path = place.at(&format!("file{}", n % 2));
                scope.spawn(move || {
                    let file = open(&path);
                    for i in (n..400).step_by(4) {
                        file.write_all_at(&[i as u8; 4096], i * 8192).expect("written");
                        assert_eq!(next(&file, i as i64 * 8192, Whence::SeekData), i as i64 * 8192);
                    }
                });
            }
        });
        for n in 0..2 {
            let bytes = fs::read(place.at(&format!("file{n}"))).expect("read");
            for (at, page) in bytes.chunks(4096).enumerate() {
                let written = at % 2 == 0 && (at / 2) % 2 == n;
                let byte = if written { (at / 2) as u8 } else { 0 };
                assert!(page.iter().all(|b| *b == byte), "page {at} of file {n}");
            }
        }
    });
}

#[test]
fn a_copy_has_the_bytes_and_goes_its_own_way() {
    everywhere("calls::a_copy_has_the_bytes_and_goes_its_own_way", |place| {
        let bytes: Vec<u8> = (0..700_001u32).map(|n| (n % 251) as u8).collect();
        fs::write(place.at("from"), &bytes).expect("written");
        let (from, to) = (open(&place.at("from")), open(&place.at("to")));
        let copied = copy_file_range(&from, None, &to, None, 1 << 30).expect("copied");
        assert_eq!(copied, bytes.len());
        assert!(fs::read(place.at("to")).expect("read") == bytes, "all of it");
        to.write_all_at(b"own", 50_000).expect("written");
        from.write_all_at(b"other", 60_000).expect("written");
        drop((from, to));
        place.again();
        let (from, to) = (fs::read(place.at("from")), fs::read(place.at("to")));
        let (from, to) = (from.expect("read"), to.expect("read"));
        assert_eq!((&to[50_000..50_003], &from[60_000..60_005]), (&b"own"[..], &b"other"[..]));
        assert_eq!(from.iter().zip(&to).filter(|(a, b)| a != b).count(), 8);
        // Into the middle of what is there.
        let (from, to) = (open(&place.at("from")), open(&place.at("to")));
        let (mut at, mut to_at) = (1000, 2000);
        let copied = copy_file_range(&from, Some(&mut at), &to, Some(&mut to_at), 5000);
        assert_eq!(copied, Ok(5000));
        let mut middle = vec![0; 5000];
        to.read_exact_at(&mut middle, 2000).expect("read");
        assert!(middle == bytes[1000..6000]);
    });
}

#[test]
fn names_that_cannot_be() {
    everywhere("calls::names_that_cannot_be", |place| {
        let long = "n".repeat(255);
        fs::write(place.at(&long), "x").expect("255 bytes are a name");
        assert_eq!(errno(fs::write(place.at(&"n".repeat(256)), "x")), libc::ENAMETOOLONG);
        // Each of these bytes takes three in the pool.
        let odd = place.dir().join(OsStr::from_bytes(&[0xe9; 86]));
        assert_eq!(errno(fs::write(odd, "x")), libc::EILSEQ);
        assert_eq!(errno(fs::write(place.at("dir/.mount"), "x")), libc::ENOENT);
        fs::create_dir(place.at("dir")).expect("made");
        assert_eq!(errno(fs::metadata(place.at("dir/.mount"))), libc::ENOENT);
        assert_eq!(errno(fs::write(place.at("dir/.mount"), "x")), libc::EPERM);
        assert_eq!(errno(fs::read(place.at(&format!("{long}/x")))), libc::ENOTDIR);
        assert_eq!(errno(fs::remove_file(place.at("dir"))), libc::EISDIR);
        assert_eq!(errno(fs::remove_dir(place.at(&long))), libc::ENOTDIR);
        let names = "ünï 'q\" \n\t*";
        fs::write(place.at(names), "odd").expect("a name");
        let listed = fs::read_dir(place.dir()).expect("listed");
        let listed: Vec<_> = listed.map(|entry| entry.expect("an entry").file_name()).collect();
        assert!(listed.iter().any(|name| name == names) && listed.len() == 3, "{listed:?}");
    });
}

/// How often the daemon slept: about as often as it was asked.
fn slept(place: &Place) -> u64 {
    let threads = fs::read_dir(format!("/proc/{}/task", place.server())).expect("it lives");
    let status = threads.map(|thread| thread.expect("a thread").path().join("status"));
    let slept = status.map(|path| {
        let text = fs::read_to_string(path).expect("a thread's status");
        let line = text.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        line.and_then(|number| number.trim().parse::<u64>().ok()).expect("a number")
    });
    slept.sum()
}

#[test]
fn a_name_that_is_not_there_is_asked_for_once() {
    everywhere("calls::a_name_that_is_not_there_is_asked_for_once", |place| {
        let path = place.at("none");
        let before = slept(place);
        for _ in 0..1000 {
            assert_eq!(errno(fs::metadata(&path)), libc::ENOENT);
        }
        let asked = slept(place) - before;
        // Where others make names, too, it is asked each time.
        assert_eq!(asked < 100, place.home == Home::Image, "{asked} on {:?}", place.home);
        for way in ["echo x >none && rm none", "mkdir none && rmdir none", "ln -s x none"] {
            place.shell(way);
        }
        assert!(fs::symlink_metadata(&path).is_ok(), "it is there since");
        fs::rename(&path, place.at("moved")).expect("renamed");
        assert_eq!(errno(fs::symlink_metadata(&path)), libc::ENOENT);
        fs::rename(place.at("moved"), &path).expect("renamed");
        assert!(fs::symlink_metadata(&path).is_ok());
    });
}

#[test]
fn a_pool_that_is_said_to_be_its_own_is_asked_once() {
    let test = "calls::a_pool_that_is_said_to_be_its_own_is_asked_once";
    if !mountable(test) {
        return;
    }
    let place = Place::new(homes()[0]);
    let dir = place.dir();
    place.twz(&["mount", "--alone", dir.to_str().expect("UTF-8")]);
    let before = slept(&place);
    for _ in 0..1000 {
        assert_eq!(errno(fs::metadata(place.at("none"))), libc::ENOENT);
    }
    let asked = slept(&place) - before;
    assert!(asked < 100, "{asked}");
    fs::write(place.at("none"), "it is there").expect("written");
    assert_eq!(fs::read(place.at("none")).expect("read"), b"it is there");
    place.unmount();
    place.check();
}

/// What is in a directory, in order.
fn listed(dir: &Path) -> Vec<Vec<u8>> {
    let names = fs::read_dir(dir).expect("listed").map(|entry| entry.expect("an entry"));
    let mut names: Vec<_> = names.map(|entry| entry.file_name().into_encoded_bytes()).collect();
    names.sort();
    names
}

#[test]
fn names_of_any_bytes() {
    everywhere("calls::names_of_any_bytes", |place| {
        let at = |name: &[u8]| place.dir().join(OsStr::from_bytes(name));
        // A letter cut in two, one for private use that stands for another, and the letter.
        let names: [&[u8]; 4] = [b"caf\xc3\xa9", b"caf\xe9", b"\xee\xbf\xa9", b"\xff\xfe"];
        for name in names {
            fs::write(at(name), name).expect("written");
        }
        let dir = at(b"dir\xe9");
        fs::create_dir(&dir).expect("made");
        fs::rename(at(b"\xff\xfe"), dir.join(OsStr::from_bytes(b"\xfe"))).expect("renamed");
        symlink(OsStr::from_bytes(b"dir\xe9/\xfe"), at(b"\xfe")).expect("linked");
        place.again();
        let now: [&[u8]; 5] = [names[0], names[1], b"dir\xe9", names[2], b"\xfe"];
        assert_eq!(listed(&place.dir()), now);
        assert_eq!(listed(&dir), [b"\xfe"]);
        assert_eq!(fs::read(at(b"\xfe")).expect("read"), names[3]);
        for name in &names[..3] {
            assert_eq!(fs::read(at(name)).expect("read"), *name);
            fs::remove_file(at(name)).expect("removed");
        }
        place.unmount();
        // For twz a byte is the code point that stands for it.
        place.twz(&["name", "mv", "/dir\u{efe9}/\u{effe}", "/dir\u{efe9}/\u{efc3}\u{efa9}"]);
        place.mount();
        assert_eq!(listed(&dir), [b""; 0], "which no program has spelled");
        place.unmount();
        place.twz(&["name", "mv", "/dir\u{efe9}/\u{efc3}\u{efa9}", "/dir\u{efe9}/plain"]);
        place.mount();
        assert_eq!(listed(&dir), [b"plain"]);
    });
}

#[test]
fn a_full_pool_is_no_space() {
    let Some(place) = image("calls::a_full_pool_is_no_space") else { return };
    let chunk = vec![5; 8 << 20];
    let refused = (0..64).find_map(|n| {
        let mut file = open(&place.at(&format!("file{n}")));
        file.write_all(&chunk).and_then(|()| file.sync_all()).err()
    });
    assert_eq!(refused.and_then(|error| error.raw_os_error()), Some(libc::ENOSPC));
    fs::remove_file(place.at("file0")).expect("a full pool can be emptied");
    fs::write(place.at("small"), "x").expect("and then written");
    place.unmount();
    place.check();
}

#[test]
fn what_does_not_fit_takes_no_room() {
    let Some(place) = image("calls::what_does_not_fit_takes_no_room") else { return };
    let kept = || fs::metadata(place.pool()).expect("stat").blocks();
    let file = open(&place.at("file"));
    file.write_all_at(b"before", 0).expect("written");
    file.sync_all().expect("synced");
    let before = kept();
    // Of one object, and of several.
    for length in [512 << 20, 3 << 30] {
        let refused = fallocate(file.as_fd(), FallocateFlags::empty(), 0, length);
        assert_eq!(refused, Err(nix::errno::Errno::ENOSPC));
        assert_eq!(file.metadata().expect("stat").len(), 6);
    }
    assert!(kept() < before + 2048, "not a mebibyte of 256 was taken for it");
    fallocate(file.as_fd(), FallocateFlags::empty(), 0, 100 << 20).expect("that fits");
    assert!(kept() > before + (100 << 11) - 2048);
    drop(file);
    place.unmount();
    place.check();
}

#[test]
fn extended_attributes_say_the_object() {
    everywhere("calls::extended_attributes_say_the_object", |place| {
        let path = place.at("file");
        fs::write(&path, "x").expect("written");
        let mut id = [0; 64];
        let length = getxattr(&path, "user.twz.id", &mut id[..]).expect("there");
        place.unmount();
        assert_eq!(place.twz(&["name", "resolve", "/file"]).trim().as_bytes(), &id[..length]);
        place.mount();
    });
}

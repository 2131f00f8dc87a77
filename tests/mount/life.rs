// SPDX-License-Identifier: MIT OR Apache-2.0
//! How mounts begin and end, well or not.

use std::{
    fs::{self, File},
    io::Write as _,
    process::{Command, Stdio},
    time::Duration,
};

use nix::sys::signal::{Signal, kill};

use crate::place::{Home, Place, end, errno, homes, mountable, until};

#[test]
fn what_cannot_be_mounted_is_said() {
    if !mountable("life::what_cannot_be_mounted_is_said") {
        return;
    }
    for &home in homes() {
        let place = Place::new(home);
        let dir = place.dir();
        let dir = dir.to_str().expect("UTF-8");
        let refused = |args: &[&str], code, words: &[&str]| {
            let (ended, said) = place.refused(args);
            assert_eq!(ended, code, "{args:?}: {said}");
            for word in words {
                assert!(said.contains(word), "no '{word}' in: {said}");
            }
        };
        refused(&["mount", "/no/such/place"], 3, &["/no/such/place"]);
        refused(&["umount", dir], 3, &["no pool is mounted"]);
        let full = place.beside("full");
        fs::create_dir_all(full.join("something")).expect("made");
        refused(&["mount", full.to_str().expect("UTF-8")], 1, &["not empty"]);
        let file = place.beside("file");
        File::create(&file).expect("made");
        refused(&["mount", file.to_str().expect("UTF-8")], 1, &["file"]);
        refused(&["--pool", "/no/such/pool", "mount", dir], 2, &["--pool"]);
        place.mount();
        refused(&["mount", dir], 1, &["in use", "umount"]);
        let second = place.beside("second");
        fs::create_dir(&second).expect("made");
        refused(&["mount", second.to_str().expect("UTF-8")], 1, &["twz: "]);
        let held = File::create(place.at("held")).expect("made");
        refused(&["umount", dir], 1, &["in use", "--lazy"]);
        drop(held);
        place.unmount();
        place.check();
    }
}

#[test]
fn a_name_that_is_taken_is_said() {
    if !mountable("life::a_name_that_is_taken_is_said") {
        return;
    }
    for &home in homes() {
        let place = Place::new(home);
        place.twz(&["new", "--size", "100", "--name", "/.mount"]);
        let dir = place.dir();
        let (code, said) = place.refused(&["mount", dir.to_str().expect("UTF-8")]);
        assert_eq!(code, 1, "{said}");
        assert!(said.contains(".mount"), "{said}");
    }
}

/// In every home in turn: a program writes, its server is killed, and the pool is whole
/// and has what was made durable.
#[test]
fn a_killed_daemon_leaves_the_pool_whole() {
    if !mountable("life::a_killed_daemon_leaves_the_pool_whole") {
        return;
    }
    for &home in homes() {
        for round in 0..4u64 {
            let place = Place::mounted(home);
            let mut durable = File::create(place.at("durable")).expect("made");
            durable.write_all(b"these bytes").and_then(|()| durable.sync_all()).expect("durable");
            let orphan = File::create(place.at("orphan")).expect("made");
            fs::remove_file(place.at("orphan")).expect("removed");
            let mut busy = Command::new("sh");
            busy.arg("-c").arg(
                "n=0; while :; do n=$((n + 1)); mkdir d$n && seq 200 >d$n/f && mv d$n e$n && \
                 ln e$n/f l$n && [ $n -lt 3 ] || rm -r e$((n - 2)) l$((n - 2)); echo $n >count; done",
            );
            let busy = busy.current_dir(place.dir()).stdin(Stdio::null()).stderr(Stdio::null());
            let mut busy = busy.spawn().expect("sh runs");
            let server = place.server();
            until("it is busy", || place.at("count").exists());
            std::thread::sleep(Duration::from_millis(37 * round));
            end(server, Signal::SIGKILL);
            assert_eq!(errno_of(&place), Some(libc::ENOTCONN));
            kill(nix::unistd::Pid::from_raw(busy.id() as i32), Signal::SIGKILL).expect("killed");
            busy.wait().expect("it ends");
            drop((durable, orphan));
            let (code, said) = place.refused(&["mount", place.dir().to_str().expect("UTF-8")]);
            assert!(code == 1 && said.contains("nobody serves"), "{said}");
            // What the shell had started may be in it a little longer.
            place.twz(&["umount", "--lazy", place.dir().to_str().expect("UTF-8")]);
            place.check_unfinished();
            place.mount();
            assert_eq!(fs::read(place.at("durable")).expect("read"), b"these bytes");
            assert!(!place.at("orphan").exists());
            place.shell("rm -rf ./* && [ -z \"$(ls -A)\" ]");
            place.unmount();
            place.check();
            // Of what it was in the middle of one object may be left without a name.
            let left = place.twz(&["ls", "--json"]).matches("\"id\"").count();
            assert!(left <= 3, "{left} objects are left on {home:?}");
        }
    }
}

fn errno_of(place: &Place) -> Option<i32> {
    fs::metadata(place.at("durable")).err().and_then(|error| error.raw_os_error())
}

#[test]
fn a_signal_unmounts() {
    if !mountable("life::a_signal_unmounts") {
        return;
    }
    for &home in homes() {
        let place = Place::mounted(home);
        fs::write(place.at("file"), "bytes").expect("written");
        end(place.server(), Signal::SIGTERM);
        assert_eq!(fs::read_dir(place.dir()).expect("a directory").count(), 0);
        assert_eq!(place.twz(&["cat", "/file"]), "bytes");
        place.check();
    }
}

#[test]
fn two_pools_are_mounted_at_once() {
    if !mountable("life::two_pools_are_mounted_at_once") || homes().contains(&Home::Kernel) {
        return;
    }
    let (one, two) = (Place::mounted(Home::Directory), Place::mounted(Home::Image));
    fs::write(one.at("file"), "of one").expect("written");
    fs::write(two.at("file"), "of two").expect("written");
    fs::copy(one.at("file"), two.at("copy")).expect("copied");
    assert_eq!(errno(fs::rename(one.at("file"), two.at("moved"))), libc::EXDEV);
    assert_eq!(errno(fs::hard_link(one.at("file"), two.at("moved"))), libc::EXDEV);
    one.unmount();
    assert_eq!(fs::read_to_string(two.at("file")).expect("read"), "of two");
    assert_eq!(fs::read_to_string(two.at("copy")).expect("read"), "of one");
    two.unmount();
    one.check();
    two.check();
}

#[test]
fn read_only_is_read_only() {
    if !mountable("life::read_only_is_read_only") {
        return;
    }
    for &home in homes() {
        let place = Place::mounted(home);
        fs::write(place.at("file"), "bytes").expect("written");
        place.unmount();
        let dir = place.dir();
        place.twz(&["mount", "--read-only", dir.to_str().expect("UTF-8")]);
        assert_eq!(fs::read_to_string(place.at("file")).expect("read"), "bytes");
        assert_eq!(errno(fs::write(place.at("file"), "x")), libc::EROFS);
        assert_eq!(errno(fs::create_dir(place.at("dir"))), libc::EROFS);
        assert_eq!(errno(fs::remove_file(place.at("file"))), libc::EROFS);
        place.unmount();
        place.check();
    }
}

#[test]
fn programs_open_more_than_the_daemon_was_to() {
    if !mountable("life::programs_open_more_than_the_daemon_was_to") {
        return;
    }
    for &home in homes() {
        let place = Place::new(home);
        let mut few = Command::new("sh");
        few.args(["-c", "ulimit -Sn 64 && exec \"$@\"", "sh"]);
        let mount = place.command(&["mount", place.dir().to_str().expect("UTF-8")]);
        few.arg(mount.get_program()).args(mount.get_args()).stdout(Stdio::null());
        assert!(few.status().expect("sh runs").success());
        let open = |n: usize| File::create(place.at(&n.to_string()));
        let files: Vec<File> = (0..200).map(|n| open(n).expect("it opens")).collect();
        drop(files);
        place.unmount();
        place.check();
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Extended attributes, the times of a mapping's stores, and what a write takes away.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    path::Path,
    process::Command,
};

use rustix::{
    fs::{XattrFlags, getxattr, listxattr, removexattr, setxattr},
    io::Errno,
};

use crate::place::{Home, errno, everywhere, has};

/// All that a file or directory has, in order.
#[track_caller]
fn listed(path: &Path) -> Vec<String> {
    let mut names = vec![0; 4096];
    let length = listxattr(path, &mut names[..]).expect("listed");
    let names = names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty());
    let mut names: Vec<_> = names.map(|name| String::from_utf8_lossy(name).into()).collect();
    names.sort();
    names
}

fn value(path: &Path, name: &str) -> Result<Vec<u8>, Errno> {
    let mut bytes = vec![0; 4096];
    let length = getxattr(path, name, &mut bytes[..])?;
    bytes.truncate(length);
    Ok(bytes)
}

/// Sets, lists, replaces and removes some, and is refused others; two are left.
fn try_all(path: &Path) {
    let set = |name: &str, value: &[u8], flags| setxattr(path, name, value, flags);
    let bytes: Vec<u8> = (0..=255).collect();
    assert_eq!(listed(path), [""; 0]);
    set("user.empty", b"", XattrFlags::empty()).expect("set");
    set("user.bytes", &bytes, XattrFlags::empty()).expect("set");
    set("trusted.root", b"of root", XattrFlags::CREATE).expect("set");
    assert_eq!(listed(path), ["trusted.root", "user.bytes", "user.empty"]);
    assert_eq!(value(path, "user.bytes"), Ok(bytes));
    assert_eq!(value(path, "user.empty"), Ok(Vec::new()));
    assert_eq!(getxattr(path, "user.bytes", &mut [0; 255][..]), Err(Errno::RANGE));
    assert_eq!(listxattr(path, &mut [0; 9][..]), Err(Errno::RANGE));
    assert_eq!(set("user.empty", b"x", XattrFlags::CREATE), Err(Errno::EXIST));
    assert_eq!(set("user.none", b"x", XattrFlags::REPLACE), Err(Errno::NODATA));
    assert_eq!(value(path, "user.none"), Err(Errno::NODATA));
    assert_eq!(removexattr(path, "user.none"), Err(Errno::NODATA));
    assert_eq!(set("user.twz.id", b"x", XattrFlags::empty()), Err(Errno::PERM));
    assert_eq!(set("other.kind", b"x", XattrFlags::empty()), Err(Errno::OPNOTSUPP));
    set("user.bytes", b"shorter", XattrFlags::REPLACE).expect("replaced");
    removexattr(path, "user.empty").expect("removed");
}

#[test]
fn extended_attributes_stay_until_they_are_taken_away() {
    let test = "attributes::extended_attributes_stay_until_they_are_taken_away";
    everywhere(test, |place| {
        fs::write(place.at("probe"), "x").expect("written");
        if place.home == Home::Directory && !host_has_them(&place.beside("pool/names/probe")) {
            return twz_tests::skip(test, "the host's file system has no user.* attributes");
        }
        place.unmount();
        let before = place.twz(&["ls", "--json"]).matches("\"id\"").count();
        place.mount();
        fs::write(place.at("file"), "x").expect("written");
        fs::create_dir(place.at("dir")).expect("made");
        try_all(&place.at("file"));
        try_all(&place.at("dir"));
        fs::hard_link(place.at("file"), place.at("link")).expect("linked");
        fs::rename(place.at("file"), place.at("moved")).expect("renamed");
        fs::rename(place.at("dir"), place.at("newdir")).expect("renamed");
        place.again();
        for path in ["moved", "link", "newdir"].map(|name| place.at(name)) {
            assert_eq!(listed(&path), ["trusted.root", "user.bytes"]);
            assert_eq!(value(&path, "user.bytes").as_deref(), Ok(&b"shorter"[..]));
        }
        removexattr(place.at("moved"), "trusted.root").expect("removed");
        removexattr(place.at("moved"), "user.bytes").expect("removed");
        assert_eq!(listed(&place.at("link")), [""; 0]);
        fs::remove_file(place.at("link")).expect("removed");
        fs::remove_file(place.at("moved")).expect("removed");
        fs::remove_dir(place.at("newdir")).expect("removed");
        place.unmount();
        let after = place.twz(&["ls", "--json"]).matches("\"id\"").count();
        assert_eq!(after, before, "what kept them is gone");
        place.mount();
    });
}

/// Whether a file there can have one.
fn host_has_them(path: &Path) -> bool {
    setxattr(path, "user.probe", b"x", XattrFlags::empty()).is_ok()
}

/// Stores to a mapping, and looks at the time by name and by descriptor.
const STORE: &str = r#"
import mmap, os, subprocess
def opened():
    file = os.open("mapped", os.O_RDWR)
    return file, mmap.mmap(file, 4096)
# It asks for that time alone, and so for nothing that a mapping makes the kernel forget.
def named():
    return int(subprocess.check_output(["stat", "-c", "%Y", "mapped"]))
file, memory = opened()
os.utime("mapped", (9, 9))
assert (named(), os.fstat(file).st_mtime) == (9, 9)
memory[0] = 1
memory.flush()
assert named() > 9 and os.fstat(file).st_mtime > 9
os.utime("mapped", (9, 9))
memory.close()
os.close(file)
# Nobody looks while it is open again.
assert named() == 9
file, memory = opened()
memory[0] = 2
memory.flush()
memory.close()
os.close(file)
assert named() > 9
"#;

#[test]
fn a_store_to_a_mapping_is_in_the_times() {
    let test = "attributes::a_store_to_a_mapping_is_in_the_times";
    if !has(test, &["python3"]) {
        return;
    }
    everywhere(test, |place| {
        fs::write(place.at("mapped"), [0; 4096]).expect("written");
        place.shell(&format!("python3 - <<'end'{STORE}end"));
    });
}

#[test]
fn names_of_the_mount_itself_are_nobody_elses() {
    everywhere("attributes::names_of_the_mount_itself_are_nobody_elses", |place| {
        for name in [".mount.attributes", ".mount.1"] {
            assert_eq!(errno(fs::metadata(place.at(name))), libc::ENOENT);
            assert_eq!(errno(fs::create_dir(place.at(name))), libc::EPERM);
        }
        fs::write(place.at(".mountain"), "x").expect("a name like any other");
        let listed = fs::read_dir(place.dir()).expect("listed");
        let listed: Vec<_> = listed.map(|entry| entry.expect("an entry").file_name()).collect();
        assert_eq!(listed, [".mountain"]);
    });
}

#[test]
fn a_write_of_somebody_else_takes_privileges_away() {
    let test = "attributes::a_write_of_somebody_else_takes_privileges_away";
    if !has(test, &["fallocate"]) {
        return;
    }
    everywhere(test, |place| {
        let path = place.at("file");
        let other = |script: &str| {
            let mut other = Command::new("sh");
            other.args(["-c", script]).current_dir(place.dir()).uid(1).gid(1).status()
        };
        for way in ["echo more >> file", "truncate -s 1 file", "fallocate -l 4096 file"] {
            for (before, after) in [(0o6777, 0o777), (0o2666, 0o666), (0o777, 0o777)] {
                fs::write(&path, "x").expect("written");
                fs::set_permissions(&path, Permissions::from_mode(before)).expect("chmod");
                assert!(other(way).expect("sh runs").success(), "{way}");
                let mode = fs::metadata(&path).expect("stat").mode() & 0o7777;
                assert_eq!(mode, after, "{way}: {before:o} on {:?}", place.home);
            }
        }
    });
}

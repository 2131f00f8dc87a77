// SPDX-License-Identifier: MIT OR Apache-2.0
//! Extended attributes, by python3, which has the calls; and what a write takes away.

use std::{
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt as _, PermissionsExt as _},
        process::CommandExt as _,
    },
    process::Command,
};

use crate::place::{Home, errno, everywhere, has};

/// What is set, listed, replaced, refused and removed; `errno` is what a call fails with.
const CALLS: &str = r#"
import errno, os
def refused(call, *args):
    try: call(*args)
    except OSError as error: return errno.errorcode[error.errno].replace("EOPNOTSUPP", "ENOTSUP")
    return "nothing"
for name in ["file", "dir"]:
    assert os.listxattr(name) == [], os.listxattr(name)
    os.setxattr(name, "user.empty", b"")
    os.setxattr(name, "user.bytes", bytes(range(256)))
    os.setxattr(name, "trusted.root", b"of root", os.XATTR_CREATE)
    assert sorted(os.listxattr(name)) == ["trusted.root", "user.bytes", "user.empty"]
    assert os.getxattr(name, "user.bytes") == bytes(range(256))
    assert os.getxattr(name, "user.empty") == b""
    assert refused(os.setxattr, name, "user.empty", b"x", os.XATTR_CREATE) == "EEXIST"
    assert refused(os.setxattr, name, "user.none", b"x", os.XATTR_REPLACE) == "ENODATA"
    assert refused(os.getxattr, name, "user.none") == "ENODATA"
    assert refused(os.removexattr, name, "user.none") == "ENODATA"
    assert refused(os.setxattr, name, "user.twz.id", b"x") == "EPERM"
    assert refused(os.setxattr, name, "other.kind", b"x") == "ENOTSUP"
    os.setxattr(name, "user.bytes", b"shorter", os.XATTR_REPLACE)
    os.removexattr(name, "user.empty")
"#;

const AFTERWARDS: &str = r#"
import os
for name in ["moved", "link", "newdir"]:
    assert sorted(os.listxattr(name)) == ["trusted.root", "user.bytes"], os.listxattr(name)
    assert os.getxattr(name, "user.bytes") == b"shorter"
os.removexattr("moved", "trusted.root")
os.removexattr("moved", "user.bytes")
assert os.listxattr("link") == []
"#;

#[test]
fn extended_attributes_stay_until_they_are_taken_away() {
    let test = "attributes::extended_attributes_stay_until_they_are_taken_away";
    if !has(test, &["python3"]) {
        return;
    }
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
        place.shell(&format!("python3 - <<'end'{CALLS}end"));
        fs::hard_link(place.at("file"), place.at("link")).expect("linked");
        fs::rename(place.at("file"), place.at("moved")).expect("renamed");
        fs::rename(place.at("dir"), place.at("newdir")).expect("renamed");
        place.again();
        place.shell(&format!("python3 - <<'end'{AFTERWARDS}end"));
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
fn host_has_them(path: &std::path::Path) -> bool {
    let set = "import os, sys; os.setxattr(sys.argv[1], 'user.probe', b'x')";
    let mut python = std::process::Command::new("python3");
    python.args(["-c", set]).arg(path).stderr(std::process::Stdio::null());
    python.status().is_ok_and(|status| status.success())
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

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the library answers for names that are no good, beside what Linux answers for
//! the same path: the same errno. And whatever is asked, nothing outside the pool's
//! names changes.
//!
//! A test `child_...` is a process of another one, with other rights or limits.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{MetadataExt as _, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use twz::{Backend as _, Binding, EmbeddedPool, Error, InitOptions, NewObject, ObjectId};

/// Where a child finds its pool.
const POOL: &str = "TWZ_TEST_CHILD_POOL";

/// A pool and an ordinary directory with the same names in them, and a bystander.
struct Twins {
    top: tempfile::TempDir,
    pool: EmbeddedPool,
    id: ObjectId,
}

impl Twins {
    fn new() -> Self {
        let top = tempfile::tempdir().unwrap();
        let at = top.path().join("pool");
        EmbeddedPool::init(&at, &InitOptions::default()).unwrap();
        fs::create_dir(top.path().join("plain")).unwrap();
        for base in [at.join("names"), top.path().join("plain")] {
            fs::write(base.join("file"), "text").unwrap();
            fs::create_dir_all(base.join("dir/full/deep")).unwrap();
            fs::create_dir(base.join("empty")).unwrap();
            fs::create_dir(base.join("moves")).unwrap();
            symlink("loop", base.join("loop")).unwrap();
            symlink("there", base.join("back")).unwrap();
            symlink("back", base.join("there")).unwrap();
            symlink("nowhere", base.join("dangling")).unwrap();
            symlink("dir", base.join("link")).unwrap();
        }
        fs::create_dir(top.path().join("outside")).unwrap();
        fs::write(top.path().join("outside/secret"), "unchanged").unwrap();
        let pool = EmbeddedPool::open(&at).unwrap();
        let id = match pool.lookup("file").unwrap() {
            Binding::Object(id) => id,
            other => panic!("{other:?}"),
        };
        Self { top, pool, id }
    }

    fn plain(&self, path: &str) -> PathBuf {
        // Not `join`: a path from the root means the root of names.
        PathBuf::from(format!("{}/{path}", self.top.path().join("plain").display()))
    }
}

fn errno<T>(result: io::Result<T>) -> i32 {
    result.err().map_or(0, |error| error.raw_os_error().unwrap())
}

fn ours<T>(result: Result<T, Error>) -> i32 {
    result.err().map_or(0, |error| error.errno())
}

/// Paths of every shape. None has a `.` or `..`, which no name is.
fn paths() -> Vec<String> {
    let mut paths: Vec<String> = [
        "file",
        "dir",
        "dir/full",
        "empty",
        "none",
        "none/x",
        "file/x",
        "dir/none",
        "loop",
        "loop/x",
        "back",
        "back/x",
        "dangling",
        "dangling/x",
        "link",
        "link/full",
        "link/none",
        "file/x/y",
        "//dir///full//",
        "dir/full/deep/new",
    ]
    .map(Into::into)
    .into();
    for length in [1, 2, 254, 255, 256, 257, 1000, 4094, 4095, 4096, 5000] {
        paths.push("n".repeat(length));
        paths.push(format!("dir/{}", "n".repeat(length)));
        paths.push("d/".repeat(length / 2) + "f");
    }
    paths
}

/// All of a tree but what programs below `names/` may change.
fn picture(top: &Path) -> BTreeMap<PathBuf, (u64, u64, i64)> {
    let mut seen = BTreeMap::new();
    let mut open = vec![top.join("outside"), top.join("plain")];
    while let Some(dir) = open.pop() {
        for entry in fs::read_dir(&dir).unwrap() {
            let path = entry.unwrap().path();
            let stat = fs::symlink_metadata(&path).unwrap();
            if stat.is_dir() {
                open.push(path.clone());
            }
            seen.insert(path, (stat.len(), stat.nlink(), stat.mtime_nsec()));
        }
    }
    seen
}

#[test]
fn a_bad_path_is_answered_as_linux_answers_it() {
    let twins = Twins::new();
    let pool = &twins.pool;
    for path in paths() {
        let plain = twins.plain(&path);
        // A path in a pool may be longer than one that a system call takes, so long as none
        // of its names is: somebody may have made that by going down in steps.
        let long = path.len() > 3000;
        let say =
            |what: &str| format!("{what} {}..., {} bytes", &path[..path.len().min(40)], path.len());
        let stat = if long { libc::ENAMETOOLONG } else { errno(fs::metadata(&plain)) };
        let found = ours(pool.lookup(&path));
        if !(long && path.len() <= 16383) {
            assert_eq!(found, stat, "{}", say("look up"));
        } else {
            assert!([libc::ENAMETOOLONG, libc::ENOENT].contains(&found), "{}", say("look up"));
            continue;
        }
        let made = if long { stat } else { errno(fs::create_dir(&plain)) };
        assert_eq!(ours(pool.make_dir(&path)), made, "{}", say("make"));
        let gone = if long { stat } else { errno(fs::remove_dir(&plain)) };
        assert_eq!(ours(pool.remove_dir(&path)), gone, "{}", say("remove"));
        let linked = if long { stat } else { errno(fs::hard_link(twins.plain("file"), &plain)) };
        assert_eq!(ours(pool.bind(&path, twins.id, false)), linked, "{}", say("bind"));
        if linked == 0 {
            fs::remove_file(&plain).unwrap();
            pool.unbind(&path).unwrap();
        }
        let renamed = if long { stat } else { errno(fs::rename(twins.plain("moves"), &plain)) };
        assert_eq!(ours(pool.rename("moves", &path)), renamed, "{}", say("rename to"));
        if renamed == 0 {
            fs::rename(&plain, twins.plain("moves")).unwrap();
            pool.rename(&path, "moves").unwrap();
        }
    }
}

#[test]
fn what_is_no_name_is_refused() {
    let twins = Twins::new();
    let before = picture(twins.top.path());
    for path in ["..", "../outside", "dir/../../outside/secret", ".", "a/./b", "a\0b", "dir/.."] {
        assert_eq!(ours(twins.pool.lookup(path)), libc::EINVAL, "{path:?}");
        assert_eq!(ours(twins.pool.make_dir(path)), libc::EINVAL, "{path:?}");
        assert_eq!(ours(twins.pool.remove_dir(path)), libc::EINVAL, "{path:?}");
        assert_eq!(ours(twins.pool.bind(path, twins.id, true)), libc::EINVAL, "{path:?}");
        assert_eq!(ours(twins.pool.unbind(path)), libc::EINVAL, "{path:?}");
        assert_eq!(ours(twins.pool.rename("file", path)), libc::EINVAL, "{path:?}");
    }
    assert_eq!(picture(twins.top.path()), before);
}

#[test]
fn nothing_outside_changes_through_a_link() {
    let twins = Twins::new();
    let names = twins.top.path().join("pool/names");
    symlink(twins.top.path().join("outside"), names.join("absolute")).unwrap();
    symlink("../../outside", names.join("relative")).unwrap();
    symlink("../../outside/secret", names.join("secret")).unwrap();
    symlink("../objects", names.join("dir/objects")).unwrap();
    symlink("/proc/self/root", names.join("magic")).unwrap();
    let before = picture(twins.top.path());
    let pool = &twins.pool;
    for out in ["absolute", "relative", "magic", "dir/objects"] {
        let inner = format!("{out}/new");
        assert_ne!(ours(pool.lookup(out)), 0, "{out}");
        assert_ne!(ours(pool.make_dir(&inner)), 0, "{out}");
        assert_ne!(ours(pool.bind(&inner, twins.id, true)), 0, "{out}");
        assert_ne!(ours(pool.rename("file", &inner)), 0, "{out}");
        assert_ne!(ours(pool.unbind(&format!("{out}/secret"))), 0, "{out}");
        assert_ne!(ours(pool.read_dir(out, &mut |_, _| Ok(()))), 0, "{out}");
    }
    assert_ne!(ours(pool.lookup("secret")), 0);
    // Replacing the link is about the link.
    pool.bind("secret", twins.id, true).unwrap();
    assert_eq!(picture(twins.top.path()), before);
    assert_eq!(fs::read_to_string(twins.top.path().join("outside/secret")).unwrap(), "unchanged");
}

#[test]
fn links_that_lead_nowhere_hide_no_other_name() {
    let twins = Twins::new();
    let names = twins.top.path().join("pool/names/dir");
    for (name, text) in [
        ("absent", "none"),
        ("circle", "circle"),
        ("long", "n".repeat(300).as_str()),
        ("deep", "d/".repeat(2000).as_str()),
        ("through", "../file/x"),
        ("out", "/etc/passwd"),
    ] {
        symlink(text, names.join(name)).unwrap();
    }
    let mut seen = Vec::new();
    let listed = twins.pool.read_dir("dir", &mut |name, _| {
        seen.push(name.to_owned());
        Ok(())
    });
    assert_eq!((ours(listed), seen), (0, vec!["full".to_owned()]));
    // Nor is anything wrong with the pool.
    let pool = twins.top.path().join("pool");
    let options = twz::check::Options::default();
    let checked = twz::check::check(&pool, &options, &mut |_| {}, &mut |_| {}).unwrap();
    assert_eq!((checked.errors, checked.warnings), (0, 0));
}

#[test]
fn a_long_file_is_refused_as_an_object_and_goes_on_as_a_file() {
    let twins = Twins::new();
    let path = twins.top.path().join("pool/names/file");
    let size = 10 << 30;
    fs::OpenOptions::new().write(true).open(&path).unwrap().set_len(size).unwrap();
    let (pool, id) = (&twins.pool, twins.id);
    let long = |result: Result<(), Error>| match result {
        Err(Error::LongFile { id: said, size: long }) => assert_eq!((said, long), (id, size)),
        other => panic!("{other:?}"),
    };
    assert_eq!(pool.stat(id).unwrap().size, size);
    long(pool.read(id, 4096, &mut [0; 4]));
    long(pool.write(id, 4096, b"no"));
    long(pool.copy(id, &NewObject::default()).map(|_| ()));
    long(pool.size(id).map(|_| ()));
    let space = twz::Space::open(twins.top.path().join("pool")).unwrap();
    long(space.open_object::<()>(id).map(|_| ()));
    assert_eq!(fs::metadata(&path).unwrap().len(), size);
    // Cut to size it is what it was.
    pool.resize(id, 4).unwrap();
    let mut text = [0; 4];
    pool.read(id, 4096, &mut text).unwrap();
    assert_eq!(&text, b"text");
    space.open_object::<()>(id).unwrap();
}

/// Runs one of the tests below as a process of its own, behind `wrapper`.
fn child(test: &str, wrapper: &[&str], top: &Path) {
    // Others may not see where this was built.
    let own = top.join("tests");
    fs::copy(std::env::current_exe().unwrap(), &own).unwrap();
    let (program, words) = wrapper.split_first().unwrap();
    let output = Command::new(program)
        .args(words)
        .arg(own)
        .args([test, "--exact", "--nocapture"])
        .env(POOL, top.join("pool"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("1 passed"), "{said}");
}

fn open_to_all(top: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    fs::set_permissions(top, fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn another_user_gets_what_modes_give() {
    if !nix::unistd::geteuid().is_root() {
        return;
    }
    let twins = Twins::new();
    open_to_all(twins.top.path());
    let wrapper = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--clear-groups"];
    child("child_of_another_user", &wrapper, twins.top.path());
}

#[test]
fn child_of_another_user() {
    let Some(at) = std::env::var_os(POOL) else { return };
    let names = PathBuf::from(&at).join("names");
    let pool = EmbeddedPool::open(at.as_ref()).unwrap();
    let id = match pool.lookup("file").unwrap() {
        Binding::Object(id) => id,
        other => panic!("{other:?}"),
    };
    let denied = [libc::EACCES, libc::EROFS, libc::EPERM];
    assert_eq!(errno(fs::create_dir(names.join("new"))), libc::EACCES);
    for refused in [
        ours(pool.make_dir("new")),
        ours(pool.remove_dir("empty")),
        ours(pool.bind("new", id, false)),
        ours(pool.unbind("file")),
        ours(pool.rename("file", "new")),
        ours(pool.write(id, 4096, b"x")),
    ] {
        assert!(denied.contains(&refused), "{refused}");
    }
}

#[test]
fn no_descriptor_is_left_for_a_name() {
    let twins = Twins::new();
    child("child_without_descriptors", &["prlimit", "--nofile=40"], twins.top.path());
}

#[test]
fn child_without_descriptors() {
    let Some(at) = std::env::var_os(POOL) else { return };
    let pool = EmbeddedPool::open(at.as_ref()).unwrap();
    let mut held = Vec::new();
    let full = loop {
        match fs::File::open("/dev/null") {
            Ok(file) => held.push(file),
            Err(error) => break error,
        }
    };
    assert_eq!(full.raw_os_error(), Some(libc::EMFILE));
    assert_eq!(ours(pool.lookup("file")), libc::EMFILE);
    assert_eq!(ours(pool.make_dir("new")), libc::EMFILE);
    drop(held);
    pool.lookup("file").unwrap();
    pool.make_dir("new").unwrap();
}

#[test]
fn a_full_and_a_read_only_disk_are_named() {
    let twins = Twins::new();
    open_to_all(twins.top.path());
    let at = twins.top.path().join("small");
    fs::create_dir(&at).unwrap();
    let script = "mount -t tmpfs -o size=512k none small && exec \"$@\"";
    let enter = format!("cd '{}' && {script}", twins.top.path().display());
    let wrapper = ["unshare", "--mount", "--map-root-user", "bash", "-c", &enter, "bash"];
    child("child_on_a_small_disk", &wrapper, twins.top.path());
}

#[test]
fn child_on_a_small_disk() {
    let Some(at) = std::env::var_os(POOL) else { return };
    let small = PathBuf::from(at).with_file_name("small");
    let at = small.join("pool");
    EmbeddedPool::init(&at, &InitOptions::default()).unwrap();
    fs::write(at.join("names/file"), "text").unwrap();
    let pool = EmbeddedPool::open(&at).unwrap();
    let id = match pool.lookup("file").unwrap() {
        Binding::Object(id) => id,
        other => panic!("{other:?}"),
    };
    let filled = fs::write(at.join("names/filler"), vec![1; 1 << 20]);
    assert_eq!(errno(filled), libc::ENOSPC);
    assert_eq!(ours(pool.reserve(id, 0, 1 << 19)), libc::ENOSPC);
    assert_eq!(ours(pool.create(&NewObject::default()).map(|_| ())), libc::ENOSPC);
    fs::remove_file(at.join("names/filler")).unwrap();
    pool.reserve(id, 0, 4096).unwrap();
    drop(pool);
    let status = Command::new("mount").args(["-o", "remount,ro"]).arg(&small).status().unwrap();
    assert!(status.success());
    let pool = EmbeddedPool::open(&at).unwrap();
    pool.lookup("file").unwrap();
    assert_eq!(errno(fs::create_dir(at.join("names/new"))), libc::EROFS);
    assert_eq!(ours(pool.make_dir("new")), libc::EROFS);
    assert_eq!(ours(pool.unbind("file")), libc::EROFS);
    assert_eq!(ours(pool.write(id, 4096, b"x")), libc::EROFS);
}

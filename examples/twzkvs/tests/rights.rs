// SPDX-License-Identifier: MIT OR Apache-2.0
//! One index, and values of several owners behind it: each reader sees what its context
//! has, or its user, and is refused the rest by the object that it is in.

#[macro_use]
#[path = "../../../libtwz/tests/common/mod.rs"]
mod common;
#[path = "../../../libtwz/tests/common/world.rs"]
mod world;

use std::{
    fs,
    os::unix::{fs::MetadataExt as _, process::CommandExt as _},
    path::Path,
    process::{Command, Stdio},
};

use common::TempPool as Pool;
use twz::{
    Error, NewObject, ObjectId, Records, Space,
    security::{KeyPair, Policy, Terms},
};
use twzkvs::{Kvs, Options};
use world::{NONE, R, World, leave};

/// Puts a value into an object of this owner that grants nothing to everybody.
fn put_secret(space: &Space, kvs: &Kvs, owner: ObjectId, key: &[u8]) -> ObjectId {
    let open = space.create_records(&NewObject::default()).unwrap();
    kvs.write().unwrap().put_in(&open, key, b"for some").unwrap();
    let stat = open.stat().unwrap();
    let (kind, fingerprint) = (stat.kind, stat.fingerprint);
    let new = NewObject { owner, kind, fingerprint, default_rights: NONE, ..NewObject::default() };
    let sealed = space.backend().copy(open.id(), &new).unwrap();
    let index = space.open_object::<()>(kvs.id()).unwrap();
    assert!(index.retarget(open.id(), sealed).unwrap());
    let id = open.id();
    drop(open);
    space.backend().delete(id).unwrap();
    sealed
}

/// Whether a key's value is seen, or refused because of this object.
fn sees(kvs: &Kvs, key: &[u8], object: ObjectId) -> bool {
    assert!(kvs.contains(key).unwrap(), "the index says what is there to whoever reads it");
    match kvs.get(key) {
        Ok(Some(value)) => value == b"for some",
        Err(Error::Denied { id, wanted, .. }) => {
            assert_eq!((id, wanted.contains(R)), (object, true));
            false
        }
        other => panic!("neither seen nor refused: {other:?}"),
    }
}

/// How many of all keys show their value, and how many are refused.
fn scan(kvs: &Kvs) -> (usize, usize) {
    let (mut seen, mut refused, mut from) = (0, 0, 0);
    loop {
        let (next, rows) = kvs.scan(from).unwrap();
        seen += rows.iter().filter(|(_, value)| value.is_ok()).count();
        refused += rows.iter().filter(|(_, value)| value.is_err()).count();
        if next == 0 {
            return (seen, refused);
        }
        from = next;
    }
}

#[test]
fn each_context_sees_the_values_of_those_who_let_it() {
    let world = World::new();
    let space = &world.space;
    let other = KeyPair::generate().unwrap();
    let strangers = other.publish(space.backend()).unwrap();
    let kvs = Kvs::create(space, &Options::default()).unwrap();
    kvs.write().unwrap().put(b"public", b"for all").unwrap();
    let ours = put_secret(space, &kvs, world.owner, b"ours");
    let theirs = put_secret(space, &kvs, strangers, b"theirs");
    let id = kvs.id();
    drop(kvs);

    let [nobody, friend, both] = [0; 3].map(|_| world.context(Policy::OPEN));
    for context in [&friend, &both] {
        context.grant(&Terms::new(ours, R), &world.key).unwrap();
    }
    both.grant(&Terms::new(theirs, R), &other).unwrap();
    for (context, expected) in
        [(&nobody, (false, false)), (&friend, (true, false)), (&both, (true, true))]
    {
        let space = world.pool.open();
        space.attach(context.id()).unwrap();
        space.switch(context.id()).unwrap();
        let kvs = Kvs::<2>::open(&space, id).unwrap();
        // Refused first and asked again, so that nothing is remembered wrongly.
        for _ in 0..2 {
            assert_eq!((sees(&kvs, b"ours", ours), sees(&kvs, b"theirs", theirs)), expected);
            assert_eq!(kvs.get(b"public").unwrap(), Some(&b"for all"[..]));
            assert_eq!(kvs.get(b"absent").unwrap(), None);
        }
        let secrets = usize::from(expected.0) + usize::from(expected.1);
        assert_eq!(scan(&kvs), (1 + secrets, 2 - secrets));
        // To read is not to write.
        let opened = space.open_object::<Records>(theirs);
        assert_eq!(opened.is_ok(), expected.1);
        let written = opened.and_then(|theirs| theirs.append(b"ours now").map(|_| ()));
        assert!(matches!(written, Err(Error::Denied { id, .. }) if id == theirs), "{written:?}");
        drop(kvs);
        leave(&space);
    }
}

#[test]
fn a_value_is_out_of_reach_once_its_owner_has_revoked_it() {
    let world = World::new();
    let kvs = Kvs::create(&world.space, &Options::default()).unwrap();
    kvs.write().unwrap().put(b"public", b"for all").unwrap();
    let secret = put_secret(&world.space, &kvs, world.owner, b"secret");
    let id = kvs.id();
    drop(kvs);
    let context = world.open_context();
    context.grant(&Terms::new(secret, R), &world.key).unwrap();
    let reader = world.pool.open();
    reader.attach(context.id()).unwrap();
    reader.switch(context.id()).unwrap();
    assert!(sees(&Kvs::open(&reader, id).unwrap(), b"secret", secret));
    world.space.revoke(secret, 1, &world.key).unwrap();
    leave(&reader);
    drop(reader);

    let reader = world.pool.open();
    reader.attach(context.id()).unwrap();
    reader.switch(context.id()).unwrap();
    let kvs = Kvs::<2>::open(&reader, id).unwrap();
    assert!(!sees(&kvs, b"secret", secret));
    assert_eq!(kvs.get(b"public").unwrap(), Some(&b"for all"[..]));
    drop(kvs);
    leave(&reader);
}

#[test]
fn child_of_another_user() {
    let Some((pool, id)) = common::child("child_of_another_user") else { return };
    let secret = std::env::var("TWZ_TEST_SECRET").unwrap().parse().unwrap();
    let space = Space::open(pool).unwrap();
    let kvs = Kvs::<2>::open(&space, id).unwrap();
    assert_eq!(kvs.get(b"public").unwrap(), Some(&b"for all"[..]));
    assert!(!sees(&kvs, b"secret", secret));
    assert_eq!(scan(&kvs), (1, 1));
    assert!(kvs.write().is_err());
}

/// What honest programs keep to, the modes of files hold against others, too.
#[test]
fn another_user_sees_what_files_let_it() {
    embedded_only!("rights are no file modes there");
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        return;
    }
    let pool = Pool::within(Path::new("/var/tmp"));
    let space = pool.open();
    let key = KeyPair::generate().unwrap();
    let owner = key.publish(space.backend()).unwrap();
    let kvs = Kvs::create(&space, &Options::default()).unwrap();
    kvs.write().unwrap().put(b"public", b"for all").unwrap();
    let all = Command::new("chmod").args(["-R", "a+rX,go-w"]).arg(pool.dir()).status().unwrap();
    assert!(all.success());
    let secret = put_secret(&space, &kvs, owner, b"secret");
    // Where the build put it, another user may not get.
    let program = pool.dir().join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let child = Command::new(&program)
        .args(["child_of_another_user", "--exact", "--nocapture", "--test-threads=1"])
        .env("TWZ_TEST_CHILD", "child_of_another_user")
        .env("TWZ_TEST_POOL", pool.path())
        .env("TWZ_TEST_OBJECT", kvs.id().to_string())
        .env("TWZ_TEST_SECRET", secret.to_string())
        .uid(65534)
        .gid(65534)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    assert!(String::from_utf8_lossy(&child.stdout).contains("1 passed"), "it did nothing");
    // Root reads whatever the modes say: it is rights that stop it.
    assert!(!sees(&kvs, b"secret", secret));
}

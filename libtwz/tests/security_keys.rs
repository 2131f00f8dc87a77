// SPDX-License-Identifier: MIT OR Apache-2.0
//! Keys, where their secrets are kept, and context objects as they are changed.

mod common;
#[path = "common/world.rs"]
mod world;

use std::os::unix::fs::PermissionsExt;

use common::Rng;
use twz::{
    Error, ObjectId, Rights,
    error::NoSecret,
    security::{Context, Grant, KeyPair, Policy, Terms, digest, now, secret, sign},
};
use world::{NONE, R, RW, World};

fn why(opened: twz::Result<KeyPair>) -> NoSecret {
    match opened {
        Err(Error::Secret(why)) => why,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_key_has_one_object_that_nobody_can_change() {
    let world = World::new();
    let pool = world.backend();
    assert_eq!(world.key.publish(pool).unwrap(), world.owner);
    assert_eq!(KeyPair::public_of(pool, world.owner).unwrap(), world.key.public());
    assert!(pool.write(world.owner, 4096, &[0; 8]).is_err());
    assert!(matches!(pool.delete(world.owner), Err(Error::Denied { .. })));
    let other = KeyPair::generate().unwrap();
    let id = other.publish(pool).unwrap();
    let mut found = Vec::new();
    KeyPair::list(pool, &mut |id, public| {
        found.push((id, public));
        Ok(())
    })
    .unwrap();
    assert!(found.contains(&(id, other.public())) && id != world.owner);
    assert!(KeyPair::public_of(pool, world.object(R)).is_err());
    // Secrets are not in what is printed.
    assert!(!format!("{other:?}").contains("SigningKey"));
}

#[test]
fn a_sealed_secret_opens_with_its_passphrase_and_as_it_was() {
    let key = KeyPair::from_seed(&[7; 32]);
    let kept = secret::keep(&key, Some(b"open sesame")).unwrap();
    assert!(!kept.windows(32).any(|bytes| bytes == [7; 32]));
    let same = secret::open(&kept[..], Some(b"open sesame")).unwrap();
    assert_eq!(same.public(), key.public());
    assert_eq!(why(secret::open(&kept[..], None)), NoSecret::Sealed);
    assert_eq!(why(secret::open(&kept[..], Some(b"open sesame!"))), NoSecret::WrongPassphrase);
    assert_eq!(why(secret::open(&kept[..255], Some(b"open sesame"))), NoSecret::Altered);
    let mut rng = Rng(11);
    for at in (0..256).step_by(3) {
        let mut bad = *kept;
        bad[at] ^= 1 << (rng.next() % 8);
        assert_eq!(why(secret::open(&bad, Some(b"open sesame"))), NoSecret::Altered, "byte {at}");
    }
}

#[test]
fn who_can_compute_the_checksum_still_cannot_alter_a_sealed_secret() {
    let key = KeyPair::from_seed(&[7; 32]);
    let kept = secret::keep(&key, Some(b"a")).unwrap();
    // The public key, the salt, the nonce, the secret and its tag.
    for (at, wrong) in [
        (20, NoSecret::Altered),
        (70, NoSecret::WrongPassphrase),
        (90, NoSecret::Altered),
        (125, NoSecret::Altered),
        (160, NoSecret::Altered),
    ] {
        let mut bad = *kept;
        bad[at] ^= 1;
        let sum = twz_abi::checksum::crc32(&bad[..252]);
        bad[252..].copy_from_slice(&sum.to_le_bytes());
        assert_eq!(why(secret::open(&bad, Some(b"a"))), wrong, "byte {at}");
    }
    // What costs more than anybody asks for is not computed.
    let mut bad = *kept;
    bad[48..52].copy_from_slice(&u32::MAX.to_le_bytes());
    let sum = twz_abi::checksum::crc32(&bad[..252]);
    bad[252..].copy_from_slice(&sum.to_le_bytes());
    assert_eq!(why(secret::open(&bad, Some(b"a"))), NoSecret::Altered);
}

#[test]
fn secrets_in_objects_are_for_whom_their_rights_allow() {
    let world = World::new();
    let pool = world.backend();
    let sealed = secret::store(pool, &world.key, Some(b"word"), R).unwrap();
    assert_eq!(secret::load(pool, sealed, Some(b"word")).unwrap().public(), world.key.public());
    assert_eq!(why(secret::load(pool, sealed, None)), NoSecret::Sealed);
    let plain = secret::store(pool, &world.key, None, NONE).unwrap();
    assert!(matches!(secret::load(pool, plain, None), Err(Error::Denied { .. })));
    let context = world.open_context();
    context.grant(&Terms::new(plain, R), &world.key).unwrap();
    world.act_in(context.id());
    assert_eq!(secret::load(pool, plain, None).unwrap().public(), world.key.public());
    let mut found = Vec::new();
    secret::list(pool, &mut |id| {
        found.push(id);
        Ok(())
    })
    .unwrap();
    assert!(found.contains(&sealed) && found.contains(&plain));
    assert_eq!(why(secret::load(pool, world.owner, None)), NoSecret::Altered);
}

/// It is written in a context of its own, of which nothing is left, and by nobody who acts
/// in another one: what that leaves to other threads is not for this to take away.
#[test]
fn a_plain_secret_is_nowhere_else() {
    let world = World::new();
    let pool = world.backend();
    let all = || {
        let mut all = Vec::new();
        let listed = pool.list(&mut |id| {
            all.push(id);
            Ok(())
        });
        listed.map(|()| all).unwrap()
    };
    let (before, there) = (all(), world.space.attached().unwrap());
    let plain = secret::store(pool, &world.key, None, NONE).unwrap();
    let new: Vec<_> = all().into_iter().filter(|id| !before.contains(id)).collect();
    assert_eq!(new, [plain]);
    assert_eq!(world.space.attached().unwrap(), there);
    assert!(matches!(secret::load(pool, plain, None), Err(Error::Denied { .. })));
    let context = world.open_context();
    world.act_in(context.id());
    assert!(secret::store(pool, &world.key, None, NONE).is_err());
    assert!(secret::store(pool, &world.key, Some(b"word"), R).is_ok());
}

#[test]
fn a_secret_file_is_its_owners_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (path, key) = (dir.path().join("key"), KeyPair::generate().unwrap());
    secret::save(&path, &key, None).unwrap();
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(secret::read(&path, None).unwrap().public(), key.public());
    assert!(secret::save(&path, &key, None).is_err(), "it was written over");
    for mode in [0o640, 0o604, 0o620] {
        std::fs::set_permissions(&path, PermissionsExt::from_mode(mode)).unwrap();
        assert_eq!(why(secret::read(&path, None)), NoSecret::Open, "{mode:o}");
    }
}

/// What a context says, as a plain list.
fn said(context: &Context<'_>) -> (Vec<[u8; 32]>, Vec<(ObjectId, u32)>) {
    let mut grants: Vec<_> =
        context.grants().unwrap().iter().map(|entry| digest(&entry.record)).collect();
    let masks = context.masks().unwrap();
    let mut masks: Vec<_> =
        masks.iter().map(|entry| (entry.record.target, entry.record.rights)).collect();
    grants.sort();
    masks.sort();
    (grants, masks)
}

#[test]
fn a_context_says_what_was_said_whatever_the_order() {
    let world = World::new();
    let context = world.open_context();
    let object = world.object(NONE);
    let mut rng = Rng(5);
    let (mut grants, mut masks) = (Vec::<Grant>::new(), Vec::<(ObjectId, u32)>::new());
    for round in 0..300u64 {
        match rng.next() % 8 {
            0..=2 => {
                let terms = Terms::new(object, R).between(round, 0);
                grants.push(sign(terms.unsigned(context.id(), 0), &world.key));
                context.add(grants.last().unwrap()).unwrap();
                let twice = context.add(grants.last().unwrap());
                assert!(matches!(twice, Err(Error::Context { .. })));
            }
            3 if !grants.is_empty() => {
                let gone = grants.swap_remove(rng.next() as usize % grants.len());
                assert!(context.remove(&digest(&gone)).unwrap());
                assert!(!context.remove(&digest(&gone)).unwrap());
            }
            4 | 5 => {
                let id = ObjectId::from_u128((1 << 64 | 1) + rng.next() as u128 % 6);
                let rights = rng.next() as u32 % 64;
                masks.retain(|(target, _)| *target != id);
                masks.push((id, rights));
                context.set_mask(id, Rights(rights)).unwrap();
            }
            6 if !masks.is_empty() => {
                let (id, _) = masks.swap_remove(rng.next() as usize % masks.len());
                assert!(context.clear_mask(id).unwrap());
            }
            7 => {
                let left = context.compact().unwrap();
                assert_eq!(left as usize, grants.len() + masks.len());
            }
            _ => {}
        }
        let (mut g, mut m): (Vec<_>, _) = (grants.iter().map(digest).collect(), masks.clone());
        g.sort();
        m.sort();
        assert_eq!(said(&context), (g, m), "round {round}");
    }
}

#[test]
fn compaction_takes_away_what_can_never_hold_again() {
    let world = World::new();
    let (object, context) = (world.object(NONE), world.open_context());
    let terms = Terms::new(object, R);
    let ended = context.grant(&terms.between(0, now() - 1), &world.key).unwrap();
    let kept = context.grant(&terms.between(0, now() + 1_000_000_000_000), &world.key).unwrap();
    assert_eq!(context.grants().unwrap().len(), 2);
    assert_eq!(context.compact().unwrap(), 1);
    let left: Vec<_> = context.grants().unwrap().iter().map(|e| digest(&e.record)).collect();
    assert_eq!(left, [digest(&kept)]);
    assert_ne!(digest(&kept), digest(&ended));
}

/// Who is killed while changing a context leaves it as it was, or as it was to be.
#[test]
fn a_killed_change_leaves_a_whole_context() {
    let name = "a_killed_change_leaves_a_whole_context";
    if let Some((pool, id)) = common::child(name) {
        let pool = twz::open_pool(&pool).unwrap();
        let context = Context::open(&*pool, id).unwrap();
        // Another one of this test may be at it, too: each has its own target.
        let (key, mine) = (KeyPair::from_seed(&[1; 32]), std::process::id() as u128);
        let mut rng = Rng(mine as u64);
        loop {
            let target = ObjectId::from_u128((mine << 64) + 1 + rng.next() as u128 % 40);
            let grant = sign(Terms::new(target, R).unsigned(id, 0), &key);
            let there =
                context.grants().unwrap().iter().any(|e| digest(&e.record) == digest(&grant));
            match there {
                true => drop(context.remove(&digest(&grant)).unwrap()),
                false => drop(context.add(&grant).unwrap()),
            }
            if rng.next().is_multiple_of(4) {
                context.compact().unwrap();
            }
        }
    }
    let world = World::new();
    let context = world.context(Policy { mask: RW, flags: 0 });
    let key = KeyPair::from_seed(&[1; 32]);
    let kept: Vec<_> = (1..20u64)
        .map(|i| {
            let target = ObjectId::from_u128(7 << 64 | i as u128);
            let grant = sign(Terms::new(target, R).unsigned(context.id(), 0), &key);
            context.add(&grant).unwrap();
            digest(&grant)
        })
        .collect();
    let mut rng = Rng(3);
    for round in 0..30 {
        let mut child = common::start(name, &world.pool.path(), context.id());
        std::thread::sleep(std::time::Duration::from_micros(10_000 + rng.next() % 60_000));
        if let Some(status) = child.try_wait().unwrap() {
            panic!("a child ended by itself: {status}");
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let twice = context.mend().unwrap();
        assert!(twice <= 1, "{twice} records twice in round {round}");
        let left: Vec<_> = context.grants().unwrap().iter().map(|e| digest(&e.record)).collect();
        assert!(kept.iter().all(|hash| left.contains(hash)), "a right was lost, round {round}");
        assert!(context.grants().unwrap().iter().all(|e| e.record.check().is_ok()));
        world.space.load(context.id()).unwrap();
    }
}

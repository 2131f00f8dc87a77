// SPDX-License-Identifier: MIT OR Apache-2.0
//! A process that dies before each single thing it stores: while it records,
//! commits, aborts, and while it recovers what another one left. And a machine
//! that lost what was not flushed. `tests/tx.rs` has all the rest.

use std::{
    cell::Cell,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::Ordering,
};

use twz_abi::ObjectId;

use super::log::head;
use crate::{
    Durability, EmbeddedPool, Error, Field, InitOptions, Object, Persist, Ptr, Space, collections,
};

thread_local! {
    static DEAD: Cell<bool> = const { Cell::new(false) };
    static LIFE: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Called before everything that a commit, an abort or a recovery stores.
pub fn killable() {
    if let Some(left) = LIFE.get() {
        if left == 0 {
            LIFE.set(None);
            DEAD.set(true);
            std::panic::resume_unwind(Box::new("killed"));
        }
        LIFE.set(Some(left - 1));
    }
}

/// Whether this thread's process is dead: then nothing of it is tidied up.
pub fn is_dead() -> bool {
    DEAD.get()
}

#[derive(Persist)]
#[repr(C)]
struct Root {
    words: [Field<u64>; 4],
    bytes: [Field<u8>; 32],
    block: Ptr<[u64; 4]>,
    map: collections::HashMap<u32, u64>,
    tree: collections::BTreeMap<u32, u64>,
    vec: collections::Vec<u64>,
}

fn root() -> Root {
    Root {
        words: [const { Field::new(1) }; 4],
        bytes: [const { Field::new(1) }; 32],
        block: Ptr::null(),
        map: collections::HashMap::new(),
        tree: collections::BTreeMap::new(),
        vec: collections::Vec::new(),
    }
}

/// All that can be seen of an object, and how many blocks it has.
type Seen = (Vec<u64>, Vec<u8>, Vec<u64>, Vec<(u32, u64)>, Vec<(u32, u64)>, Vec<u64>, u64);

fn look(object: &Object<Root>) -> Seen {
    let root = object.root();
    let mut map: Vec<_> = root.map.iter().map(Result::unwrap).collect();
    map.sort();
    assert_eq!(root.map.len().unwrap(), map.len() as u64);
    let tree: Vec<_> = root.tree.iter().map(Result::unwrap).collect();
    assert_eq!(root.tree.len().unwrap(), tree.len() as u64);
    (
        root.words.iter().map(Field::get).collect(),
        root.bytes.iter().map(Field::get).collect(),
        root.block.get().unwrap().map_or(vec![], |block| block.to_vec()),
        map,
        tree,
        root.vec.to_vec().unwrap(),
        object.heap().check().unwrap().blocks,
    )
}

struct Scene {
    path: std::path::PathBuf,
    ids: [ObjectId; 2],
    _dir: tempfile::TempDir,
}

/// A process of its own, as far as the pool can tell: it has its own slot.
struct Process {
    space: Space,
    objects: [Object<Root>; 2],
}

impl Scene {
    fn new() -> Self {
        let dir = ["/dev/shm", "/tmp"].iter().find_map(|dir| tempfile::tempdir_in(dir).ok());
        let dir = dir.unwrap();
        let path = dir.path().join("pool");
        EmbeddedPool::init(&path, &InitOptions::default()).unwrap();
        let space = Space::open(&path).unwrap();
        let ids = [0, 1].map(|_| space.create(root()).unwrap().id());
        Self { path, ids, _dir: dir }
    }

    fn process(&self, durability: Durability) -> Process {
        let space = Space::open(&self.path).unwrap();
        space.set_durability(durability);
        let objects = self.ids.map(|id| space.open_object(id).unwrap());
        Process { space, objects }
    }

    fn look(&self, durability: Durability) -> [Seen; 2] {
        self.process(durability).objects.each_ref().map(look)
    }
}

impl Process {
    /// Ends the process without giving anything back.
    fn die(self) {
        let Self { space, objects } = self;
        drop(objects);
        DEAD.set(false);
        // What a dead process had of the lock file is gone with it.
        drop(space);
    }

    /// Runs until it is done, or has stored `life` things; whether it was done.
    /// When it is killed, nothing that would run in a live process does.
    fn run(&self, life: Option<u32>, what: impl FnOnce(&Space, &[Object<Root>; 2])) -> bool {
        LIFE.set(life);
        let done = catch_unwind(AssertUnwindSafe(|| what(&self.space, &self.objects))).is_ok();
        LIFE.set(None);
        done
    }
}

type Change = fn(&Space, &[Object<Root>; 2]);

fn abort<R>() -> crate::Result<R> {
    Err(Error::Unsupported("on purpose"))
}

const CHANGES: [(&str, Change); 7] = [
    ("write", |space, [a, b]| {
        space
            .transaction(|tx| {
                tx.set(&a.root().words[0], 2)?;
                tx.set(&b.root().words[1], 3)?;
                tx.write_bytes(b, 33, &[9; 13])
            })
            .unwrap();
    }),
    ("record", |space, [a, b]| {
        space
            .transaction(|tx| {
                tx.record(&a.root().words)?;
                a.root().words[2].set(5)?;
                tx.record_bytes(b, 35, 11)?;
                b.root().bytes[5].set(6)?;
                a.root().words[3].set(7)
            })
            .unwrap();
    }),
    ("both", |space, [a, b]| {
        space
            .transaction(|tx| {
                tx.set(&a.root().words[0], 4)?;
                tx.record(&b.root().words[0])?;
                b.root().words[0].set(4)?;
                tx.record(&a.root().words[0])?;
                a.root().words[0].set(5)
            })
            .unwrap();
    }),
    ("abort", |space, [a, b]| {
        let failed = space.transaction(|tx| {
            tx.record(&a.root().words)?;
            a.root().words[2].set(5)?;
            tx.set(&b.root().words[2], 5)?;
            tx.alloc(b, [3u64; 4])?;
            abort::<()>()
        });
        assert!(failed.is_err());
    }),
    ("memory", |space, [a, b]| {
        space
            .transaction(|tx| {
                let block = tx.alloc(a, [7u64; 4])?;
                if let Some(old) = tx.follow(&a.root().block)? {
                    tx.free(a, old)?;
                }
                tx.store(&a.root().block, block)?;
                tx.store(&b.root().block, tx.alloc(b, [8u64; 4])?)
            })
            .unwrap();
    }),
    ("containers", |space, [a, b]| {
        space
            .transaction(|tx| {
                let [v, w] = [tx.lock(a)?, tx.lock(b)?];
                for i in 0..9 {
                    a.root().map.insert(&v, i, 5)?;
                    b.root().vec.push(&w, 6)?;
                }
                b.root().tree.insert(&w, 4, 5)?;
                a.root().map.remove(&v, &1)?;
                assert_eq!(a.root().map.get(&8)?, Some(5));
                assert_eq!((a.root().map.get(&1)?, b.root().tree.get(&4)?), (None, Some(5)));
                Ok(())
            })
            .unwrap();
    }),
    ("nested", |space, [a, b]| {
        space
            .transaction(|tx| {
                tx.set(&a.root().words[0], 8)?;
                // One place twice: it is the older value that has to come back.
                tx.record(&b.root().words[0])?;
                b.root().words[0].set(3)?;
                let inner = tx.nested(|tx| {
                    tx.record(&b.root().words[0])?;
                    b.root().words[0].set(9)?;
                    let w = tx.lock(a)?;
                    a.root().map.insert(&w, 77, 7)?;
                    abort::<()>()
                });
                assert!(inner.is_err());
                tx.set(&b.root().words[1], 8)
            })
            .unwrap();
    }),
];

/// Everything in a pool, as its files have it.
fn files(path: &std::path::Path) -> Vec<(std::path::PathBuf, Option<Vec<u8>>)> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(path).unwrap().flatten() {
        if entry.file_type().unwrap().is_dir() {
            all.push((entry.path(), None));
            all.extend(files(&entry.path()));
        } else if entry.file_type().unwrap().is_file() {
            all.push((entry.path(), Some(std::fs::read(entry.path()).unwrap())));
        }
    }
    all
}

/// Puts a pool back as it was, under the same name: nobody has it open.
fn restore(path: &std::path::Path, all: &[(std::path::PathBuf, Option<Vec<u8>>)]) {
    std::fs::remove_dir_all(path).unwrap();
    std::fs::create_dir(path).unwrap();
    for (path, bytes) in all {
        match bytes {
            None => std::fs::create_dir(path).unwrap(),
            Some(bytes) => std::fs::write(path, bytes).unwrap(),
        }
    }
}

/// Changes, in a process that has a log and whose objects name it.
fn warmed(scene: &Scene, durability: Durability) {
    let process = scene.process(durability);
    for (_, change) in CHANGES {
        change(&process.space, &process.objects);
    }
    process.die();
}

/// Kills a change before everything it stores, and then its recovery before
/// everything that stores: afterwards it has happened, or not.
fn kill_everywhere(durability: Durability, recoveries: bool) -> u32 {
    let mut deaths = 0;
    for warm in [false, true] {
        let scene = Scene::new();
        if warm {
            warmed(&scene, durability);
        }
        let start = files(&scene.path);
        let before = scene.look(durability);
        for (name, change) in CHANGES {
            restore(&scene.path, &start);
            let process = scene.process(durability);
            assert!(process.run(None, change), "{name}");
            process.die();
            let after = scene.look(durability);
            for life in 0.. {
                restore(&scene.path, &start);
                let process = scene.process(durability);
                let done = process.run(Some(life), change);
                process.die();
                let left = recoveries.then(|| files(&scene.path));
                let context = format!("{name}, {durability:?}, warm {warm}, killed before {life}");
                judge(&scene, durability, &[&before, &after], &context);
                if done {
                    break;
                }
                deaths += 1;
                // Recovery dies, too, and the next one goes on.
                for second in 0..if recoveries { u32::MAX } else { 0 } {
                    restore(&scene.path, left.as_deref().unwrap_or_default());
                    LIFE.set(Some(second));
                    let opened = catch_unwind(AssertUnwindSafe(|| {
                        let process = scene.process(durability);
                        process.objects.iter().for_each(|object| drop(object.lock().unwrap()));
                        process.die();
                    }));
                    LIFE.set(None);
                    DEAD.set(false);
                    super::recover::not_recovering();
                    judge(&scene, durability, &[&before, &after], &format!("{context}, {second}"));
                    if opened.is_ok() {
                        break;
                    }
                    deaths += 1;
                }
            }
        }
    }
    deaths
}

fn judge(scene: &Scene, durability: Durability, may: &[&[Seen; 2]], context: &str) {
    let seen = scene.look(durability);
    assert!(may.iter().any(|may| **may == seen), "{context}: {seen:?}");
    // And goes on being so, with the next transaction on top.
    let process = scene.process(durability);
    let [a, _] = &process.objects;
    process
        .space
        .transaction(|tx| tx.set(&a.root().words[3], tx.get(&a.root().words[3])?))
        .unwrap();
    assert!(process.objects.each_ref().map(look) == seen, "{context}: the next one changed it");
}

#[test]
fn a_process_may_die_before_everything_it_stores() {
    crate::embedded_only!("it cuts and kills on a directory's files");
    let deaths = kill_everywhere(Durability::Process, false);
    assert!(deaths > 200, "only {deaths} deaths");
}

#[test]
fn so_may_one_that_survives_power_cuts() {
    crate::embedded_only!("it cuts and kills on a directory's files");
    let deaths = kill_everywhere(Durability::Power, false);
    assert!(deaths > 200, "only {deaths} deaths");
}

#[test]
fn recovery_may_be_cut_off_everywhere() {
    crate::embedded_only!("it cuts and kills on a directory's files");
    let deaths = kill_everywhere(Durability::Power, true);
    assert!(deaths > 1000, "only {deaths} deaths");
}

/// Makes the logs of a pool those of an earlier start of the machine.
fn lose_power(scene: &Scene) {
    let space = Space::open(&scene.path).unwrap();
    let mut logs = Vec::new();
    space
        .backend()
        .list(&mut |id| {
            if space.backend().stat(id)?.kind == twz_abi::meta::kind::LOG {
                logs.push(id);
            }
            Ok(())
        })
        .unwrap();
    for id in logs {
        let log = super::Log::attach(space.core(), id).unwrap();
        log.head(space.core()).unwrap()[head::BOOT].store(1, Ordering::Relaxed);
    }
}

/// What was promised is in the log: the objects are taken back to what they were
/// at any earlier time, as if nothing stored since had reached the medium.
#[test]
fn after_a_power_cut_everything_committed_is_there() {
    crate::embedded_only!("it cuts and kills on a directory's files");
    let scene = Scene::new();
    warmed(&scene, Durability::Power);
    let process = scene.process(Durability::Power);
    let [a, b] = &process.objects;
    // So that the objects name this process's log.
    CHANGES[0].1(&process.space, &process.objects);
    // Sizes are durable before anything is that depends on them.
    let w = b.lock().unwrap();
    (0..50).for_each(|i| b.root().vec.push(&w, i).unwrap());
    drop(w);
    let old: Vec<Vec<u8>> =
        scene.ids.iter().map(|id| std::fs::read(object_file(&scene, *id)).unwrap()).collect();
    for round in 0..40u64 {
        process
            .space
            .transaction(|tx| {
                tx.set(&a.root().words[0], 100 + round)?;
                tx.record(&b.root().words[1])?;
                b.root().words[1].set(200 + round)?;
                let w = tx.lock(a)?;
                a.root().map.insert(&w, round as u32 % 5, round).map(drop)
            })
            .unwrap();
        let w = b.lock().unwrap();
        b.root().vec.push(&w, round).unwrap();
        drop(w);
        // Once more, and the power goes before it is committed.
    }
    let cut = catch_unwind(AssertUnwindSafe(|| {
        process.run(Some(30), |space, [a, b]| {
            let _ = space.transaction(|tx| {
                tx.record(&a.root().words)?;
                a.root().words[0].set(9999)?;
                tx.set(&b.root().words[1], 9999)?;
                killable();
                LIFE.set(Some(0));
                killable();
                Ok(())
            });
        })
    }));
    assert!(matches!(cut, Ok(false)));
    let grown = [a, b].map(|object| object.len().unwrap());
    process.die();
    // What a log promised for a word that was changed in place last is undone by
    // its undo entry, so those bytes may be as they were or as they are.
    for (id, (old, len)) in scene.ids.iter().zip(old.iter().zip(grown)) {
        let mut bytes = old.clone();
        bytes.resize(len as usize, 0);
        std::fs::write(object_file(&scene, *id), bytes).unwrap();
    }
    lose_power(&scene);
    let [a, b] = scene.look(Durability::Power);
    assert_eq!((a.0[0], b.0[1]), (139, 239));
    assert_eq!(
        a.3.iter().filter(|(key, _)| *key < 5).map(|(_, v)| *v).sum::<u64>(),
        35 + 36 + 37 + 38 + 39
    );
    assert_eq!(b.5[b.5.len() - 40..], (0..40).collect::<Vec<u64>>());
    // Once is for all.
    lose_power(&scene);
    assert_eq!(scene.look(Durability::Power), [a, b]);
}

fn object_file(scene: &Scene, id: ObjectId) -> std::path::PathBuf {
    let text = id.to_string();
    scene.path.join("objects").join(&text[..2]).join(text)
}

/// Two logs knew the object; the older one's entries mean nothing any more.
#[test]
fn only_the_log_that_an_object_names_counts() {
    crate::embedded_only!("it cuts and kills on a directory's files");
    let scene = Scene::new();
    let first = scene.process(Durability::Power);
    let second = scene.process(Durability::Power);
    // One that only the older log knows, so that it will be recovered, too.
    let own = first.space.create(Field::new(0u64)).unwrap();
    first.space.transaction(|tx| tx.set(own.root(), 1)).unwrap();
    let id = own.id();
    drop(own);
    for round in 0..20 {
        for (process, more) in [(&first, 0), (&second, 1)] {
            let [a, b] = &process.objects;
            process
                .space
                .transaction(|tx| {
                    tx.set(&a.root().words[0], 2 * round + more)?;
                    tx.set(&b.root().words[0], 2 * round + more)
                })
                .unwrap();
        }
    }
    first.die();
    second.die();
    lose_power(&scene);
    let [a, b] = scene.look(Durability::Power);
    assert_eq!((a.0[0], b.0[0]), (39, 39));
    let space = Space::open(&scene.path).unwrap();
    assert_eq!(space.open_object::<Field<u64>>(id).unwrap().root().get(), 1);
    let [a, b] = scene.look(Durability::Power);
    assert_eq!((a.0[0], b.0[0]), (39, 39), "taken back by an older log");
}

/// After the log has started over, whole records of the round before lie behind
/// the newest one.
#[test]
fn records_of_an_earlier_round_mean_nothing() {
    crate::embedded_only!("it cuts and kills on a directory's files");
    for more in [0, 1, 700] {
        let scene = Scene::new();
        let process = scene.process(Durability::Power);
        let [a, b] = &process.objects;
        let rounds = 1024 + more;
        for round in 0..rounds {
            process
                .space
                .transaction(|tx| {
                    tx.set(&a.root().words[0], round)?;
                    tx.set(&b.root().words[0], round)
                })
                .unwrap();
        }
        process.die();
        lose_power(&scene);
        let [a, b] = scene.look(Durability::Power);
        assert_eq!((a.0[0], b.0[0]), (rounds - 1, rounds - 1));
    }
}

#[test]
fn a_log_of_another_version_is_refused_with_what_to_do() {
    crate::embedded_only!("it cuts and kills on a directory's files");
    let scene = Scene::new();
    warmed(&scene, Durability::Power);
    let mut log = None;
    {
        let process = scene.process(Durability::Power);
        let words = process.space.core().lock_words(process.objects[0].slot()).unwrap();
        let id =
            ObjectId { lo: words[1].load(Ordering::Relaxed), hi: words[2].load(Ordering::Relaxed) };
        log.replace(id);
        process.die();
    }
    let file = object_file(&scene, log.unwrap());
    let mut bytes = std::fs::read(&file).unwrap();
    bytes[8] = 2;
    std::fs::write(&file, bytes).unwrap();
    let space = Space::open(&scene.path).unwrap();
    let said = space.open_object::<Root>(scene.ids[0]).err().unwrap().to_string();
    assert!(
        said.contains("log of an unfinished transaction") && said.contains("version"),
        "{said}"
    );
    // Deleted, it is no more in the way.
    space.backend().delete(log.unwrap()).unwrap();
    drop(space.open_object::<Root>(scene.ids[0]).unwrap().lock().unwrap());
}

/// Two come upon the same cut transaction at the same time, from either end.
#[test]
fn two_processes_recover_at_once() {
    crate::embedded_only!("it cuts and kills on a directory's files");
    for durability in [Durability::Process, Durability::Power] {
        let scene = Scene::new();
        let before = scene.look(durability);
        for _ in 0..20 {
            let process = scene.process(durability);
            let cut = process.run(Some(1000), |space, [a, b]| {
                let _ = space.transaction(|tx| {
                    tx.record_bytes(a, 0, 64)?;
                    tx.record_bytes(b, 0, 64)?;
                    a.write(0, &[7; 64])?;
                    b.write(0, &[7; 64])?;
                    LIFE.set(Some(0));
                    killable();
                    Ok(())
                });
            });
            assert!(!cut);
            process.die();
            std::thread::scope(|scope| {
                for first in [0, 1] {
                    let (scene, before) = (&scene, &before);
                    scope.spawn(move || {
                        let space = Space::open(&scene.path).unwrap();
                        space.set_durability(durability);
                        for i in [first, 1 - first] {
                            let object = space.open_object::<Root>(scene.ids[i]).unwrap();
                            let held = object.lock().unwrap();
                            assert_eq!(look(&object), before[i]);
                            drop(held);
                        }
                    });
                }
            });
        }
    }
}

#[test]
fn what_cannot_be_mapped_with_map_sync_is_written_back_by_msync() {
    crate::embedded_only!("it maps a directory's files");
    let scene = Scene::new();
    let space = Space::open(&scene.path).unwrap();
    // As if the pool lay on persistent memory, and one of its files did not.
    space.core().arena().map_synchronously();
    assert!(!space.core().arena().needs_msync());
    let object = space.open_object::<Root>(scene.ids[0]).unwrap();
    object.root().words[0].set(7).unwrap();
    assert_eq!(space.core().method(), crate::raw::persist::Method::Msync);
    space.set_durability(Durability::Power);
    space.transaction(|tx| tx.set(&object.root().words[1], 8)).unwrap();
    assert_eq!(scene.look(Durability::Process)[0].0[..2], [7, 8]);
}

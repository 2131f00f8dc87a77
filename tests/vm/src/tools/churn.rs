// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random changes until the power is cut: afterwards the pool is what it was
//! after some step, none before the last one that was told to be done, and of
//! the next one at most a page half written.

use std::io::Write as _;

use twz_abi::{ObjectId, PAGE, Rights, ioctl as abi};

use super::{
    model::{Model, Number, Object, Step, id, nonce, path},
    report,
};
use crate::{
    errno::{Errno, Result},
    options::Options,
    probe,
    rng::{self, Rng},
    sys::Session,
    world::{OPEN, RW, World},
};

/// Steps that may have been done without being heard of.
const UNHEARD: u64 = 200;

/// Changes the pool, and tells each step before and after.
pub fn run(options: &Options) -> bool {
    let seed = options.seed.unwrap_or_else(rng::seed);
    let steps = options.count.unwrap_or(u64::MAX);
    let world = World::new();
    world.session.mkdir(b"/churn").expect("MKDIR: the pool must be new");
    println!("churn seed {seed}");
    let (mut model, mut rng) = (Model::default(), Rng::new(seed));
    for n in 0..steps {
        let step = model.next(&mut rng);
        println!("step {n} {step:?}");
        do_step(&world, &step).unwrap_or_else(|e| panic!("step {n} {step:?} failed: {e:?}"));
        model.apply(&step);
        println!("done {n}");
        let _ = std::io::stdout().flush();
    }
    // What was made is to stay.
    crate::process::exit(0)
}

fn do_step(world: &World, step: &Step) -> Result {
    let session = &world.session;
    let made = |n: Number, size| abi::Create {
        nonce: nonce(n),
        size,
        default_rights: OPEN.0,
        ..Default::default()
    };
    match step {
        Step::Create(n, pages) => session.create_as(made(*n, pages * PAGE)).map(|_| ()),
        Step::Copy(from, to) => session.copy_as(id(*from), made(*to, 0)).map(|_| ()),
        Step::Delete(n) => session.delete(id(*n)),
        Step::Resize(n, pages) => session.resize(id(*n), pages * PAGE),
        Step::Bind(name, n) => session.bind(&path(*name), id(*n), true),
        Step::Unbind(name) => session.unbind(&path(*name)),
        Step::Rename(from, to) => session.rename(&path(*from), &path(*to)),
        Step::Write(n, page, word) => {
            let bytes: Vec<u8> = word.to_le_bytes().repeat(512);
            assert_eq!(session.write(id(*n), (page + 1) * PAGE, &bytes), Ok(PAGE));
            session.sync(id(*n))
        }
        Step::Store(n, page, word) => {
            world.show(2, id(*n), RW);
            let at = world.at(2, page * PAGE);
            for i in 0..512 {
                probe::store(at + i * 8, *word).unwrap_or_else(|f| panic!("a store: {f:?}"));
            }
            (0..64).for_each(|line| probe::persist(at + line * 64));
            world.unmap(2);
            Ok(())
        }
    }
}

/// Finds which step the pool is after.
pub fn verify(options: &Options) -> bool {
    let (Some(seed), Some(done)) = (options.seed, options.count) else {
        return report("churn", Err("say --seed and --count, the number of steps done".into()));
    };
    let session = Session::open();
    let (mut model, mut rng) = (Model::default(), Rng::new(seed));
    let mut first = None;
    for n in 0..done + UNHEARD {
        let step = model.next(&mut rng);
        if n >= done {
            match compare(&session, &model, Some(&step)) {
                Ok(()) => {
                    let objects = model.objects.len();
                    return report(
                        "churn",
                        Ok(format!("the pool is that after step {n}: {objects} objects")),
                    );
                }
                Err(why) => first = first.or(Some(why)),
            }
        }
        model.apply(&step);
    }
    let why = first.unwrap_or_default();
    report("churn", Err(format!("the pool is not what it was after step {done}: {why}")))
}

/// Whether the pool is the model, or has half of the next step's page.
fn compare(session: &Session, model: &Model, next: Option<&Step>) -> Result<(), String> {
    for (n, object) in &model.objects {
        let stat = session.stat(id(*n)).map_err(|e| format!("object {n}: {e:?}"))?;
        if stat.size != object.pages * PAGE {
            return Err(format!("object {n} has {} bytes, not {}", stat.size, object.pages * PAGE));
        }
        let torn = match next {
            Some(Step::Write(m, page, word) | Step::Store(m, page, word)) if m == n => {
                Some((*page, *word))
            }
            _ => None,
        };
        bytes(session, *n, object, torn)?;
    }
    let known: Vec<ObjectId> = model.objects.keys().map(|n| id(*n)).collect();
    for found in session.list(100) {
        let ours = session.stat(found).is_ok_and(|stat| stat.nonce[10..15] == nonce(0)[10..15]);
        if ours && !known.contains(&found) {
            return Err(format!("{found} is there and should not be"));
        }
    }
    names(session, model)
}

fn bytes(
    session: &Session,
    n: Number,
    object: &Object,
    torn: Option<(u64, u64)>,
) -> Result<(), String> {
    let mut data = vec![0; (object.pages * PAGE) as usize];
    session.read(id(n), PAGE, &mut data).map_err(|e| format!("READ of {n}: {e:?}"))?;
    for (i, word) in data.chunks(8).enumerate() {
        let word = u64::from_le_bytes(word.try_into().expect("8 bytes"));
        let page = i as u64 / 512;
        let expected = object.words.get(&page).copied().unwrap_or(0);
        let half_written = torn.is_some_and(|torn| torn == (page, word));
        if word != expected && !half_written {
            return Err(format!("object {n}, page {page}: {word:#x} and not {expected:#x}"));
        }
    }
    Ok(())
}

fn names(session: &Session, model: &Model) -> Result<(), String> {
    let found = match session.read_dir(b"/churn", 20) {
        Err(Errno::ENOENT) if model.names.is_empty() => Vec::new(),
        other => other.map_err(|e| format!("READ_DIR: {e:?}"))?,
    };
    let mut found: Vec<(Vec<u8>, ObjectId)> =
        found.into_iter().map(|(name, _, id)| ([b"/churn/", &name[..]].concat(), id)).collect();
    found.sort();
    let mut expected: Vec<(Vec<u8>, ObjectId)> =
        model.names.iter().map(|(name, n)| (path(*name), id(*n))).collect();
    expected.sort();
    if found != expected {
        return Err(format!("names are {} and not {}", found.len(), expected.len()));
    }
    for (n, stat) in model.objects.keys().map(|n| (n, session.stat(id(*n)))) {
        let names = model.names.values().filter(|named| *named == n).count() as u32;
        let stat = stat.map_err(|e| format!("STAT: {e:?}"))?;
        if stat.names != names || !Rights(stat.default_rights).contains(OPEN) {
            return Err(format!("object {n} counts {} names and not {names}", stat.names));
        }
    }
    Ok(())
}

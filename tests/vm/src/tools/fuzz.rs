// SPDX-License-Identifier: MIT OR Apache-2.0
//! Random calls: commands with arguments that are nearly right or not at all,
//! views and objects with random bytes, touches, and what processes do. Nothing
//! of it may end the kernel, hang, or cost the pool a page.

use std::time::Duration;

use twz_abi::{ObjectId, Rights, ioctl as abi, meta};

use super::report;
use crate::{
    fuzzer::Fuzzer,
    options::Options,
    process::{self, Child, Shared, Status},
    rng::{self, Rng},
    sys::Session,
    world::view_object,
};

/// Calls that one process makes before the next one takes its place.
const ROUND: u64 = 4000;

/// Processes at a time.
const WORKERS: usize = 2;

/// Without a call in this time, it hangs.
const PATIENCE: Duration = Duration::from_secs(90);

/// Time that who died has to let go of an object.
const LETTING_GO: Duration = Duration::from_secs(30);

/// Makes the calls.
pub fn run(options: &Options) -> bool {
    let seed = options.seed.unwrap_or_else(rng::seed);
    let count = options.count.unwrap_or(30_000);
    let most = options.seconds.map_or(Duration::MAX, Duration::from_secs);
    println!("# fuzz --seed={seed} --count={count}, in {most:?} at most");
    let verdict = tidily(|| calls(seed, count, most));
    report("fuzz", verdict)
}

/// `count` random calls, or as many as there is time for, in as many processes as it takes.
pub fn calls(seed: u64, count: u64, most: Duration) -> Result<String, String> {
    let begun = std::time::Instant::now();
    let session = Session::open();
    let view = view_object(&session, 64);
    let shared = Shared::new();
    let mut round = 0;
    let mut running: Vec<Option<(u64, Child)>> = (0..WORKERS).map(|_| None).collect();
    let mut progress = (0, std::time::Instant::now());
    loop {
        let goes_on = shared.get(0) < count && begun.elapsed() < most;
        if !goes_on && running.iter().all(Option::is_none) {
            break;
        }
        for slot in &mut running {
            if slot.is_none() && goes_on {
                *slot = Some((round, worker(seed ^ round, view, &shared)));
                round += 1;
            }
            if let Some((n, child)) = slot
                && let Some(status) = child.ended()
            {
                // It may kill itself by what it does to its memory; panics are ours.
                if status == Status::Exited(101) {
                    return Err(format!("round {n} of seed {seed} found something wrong"));
                }
                *slot = None;
            }
        }
        let now = shared.get(0);
        if now != progress.0 {
            progress = (now, std::time::Instant::now());
        } else if progress.1.elapsed() > PATIENCE {
            return Err(format!("it hangs after {now} calls of seed {seed}"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    still_works(&session)?;
    Ok(format!("{} calls in {round} processes, {:?}", shared.get(0), begun.elapsed()))
}

fn worker(seed: u64, view: ObjectId, shared: &Shared) -> Child {
    process::fork(|| {
        process::own_group();
        let mut fuzzer = Fuzzer::new(Rng::new(seed), view);
        for _ in 0..ROUND {
            fuzzer.one();
            shared.add(0, 1);
        }
        0
    })
}

/// Whether a new object can be made, used and deleted.
pub fn still_works(session: &Session) -> Result<(), String> {
    let wrong = |what: &str, e| format!("afterwards {what} fails: {e:?}");
    let create = abi::Create { size: 20_000, default_rights: 31, ..Default::default() };
    let id = session.create_as(create).map_err(|e| wrong("CREATE", e))?;
    let bytes = [7; 9000];
    session.write(id, 5000, &bytes).map_err(|e| wrong("WRITE", e))?;
    let mut back = [0; 9000];
    session.read(id, 5000, &mut back).map_err(|e| wrong("READ", e))?;
    if back != bytes {
        return Err("afterwards READ gives other bytes than were written".into());
    }
    session.delete(id).map_err(|e| wrong("DELETE", e))
}

/// What is known of an object that nobody uses any more. Who died may let go of it a
/// moment after; a reference that stays is an error, and what there is to see is told.
fn unused(session: &Session, id: ObjectId) -> Result<abi::Stat, String> {
    let begun = std::time::Instant::now();
    loop {
        let stat = session.stat(id).map_err(|e| format!("STAT of {id}: {e:?}"))?;
        if stat.references == 0 {
            return Ok(stat);
        }
        if begun.elapsed() > LETTING_GO {
            process::running().iter().for_each(|line| println!("# runs: {line}"));
            for told in ["state", "objects", "views"] {
                let path = format!("/sys/kernel/debug/twz/{told}");
                let told = std::fs::read_to_string(path).unwrap_or_default();
                told.lines().take(40).for_each(|line| println!("# {line}"));
            }
            let abi::Stat { references, kind, .. } = stat;
            return Err(format!(
                "object {id} of kind {kind} has {references} references of nobody"
            ));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Runs something that leaves objects and names, takes those away, and checks
/// that all they took is back.
pub fn tidily(what: impl FnOnce() -> Result<String, String>) -> Result<String, String> {
    let session = Session::open();
    let undeletable = crate::suites::objects::undeletable(&session);
    let free = |session: &Session| session.info().free_pages;
    let (before, kept) = (free(&session), session.list(500));
    let done = what()?;
    for (name, kind, _) in session.read_dir(b"/", 10).map_err(|e| format!("READ_DIR: {e:?}"))? {
        let path = [b"/", &name[..]].concat();
        let gone = if kind == 2 { session.remove_tree(&path) } else { session.unbind(&path) };
        gone.map_err(|e| format!("{}: {e:?}", String::from_utf8_lossy(&path)))?;
    }
    let mut stuck = 0;
    for id in session.list(500).into_iter().filter(|id| !kept.contains(id)) {
        let stat = unused(&session, id)?;
        let directory = stat.kind == meta::kind::NAMES || id == undeletable;
        if let Err(error) = session.delete(id)
            && !directory
        {
            if Rights(stat.default_rights).contains(Rights::DELETE) {
                return Err(format!("DELETE of {id}: {error:?}"));
            }
            stuck += stat.pages;
        }
    }
    // The root directory may have grown.
    let lost = before.saturating_sub(free(&session) + stuck);
    if lost > 8 {
        return Err(format!("{lost} pages are lost, and {stuck} of objects without DELETE"));
    }
    Ok(done)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The runner: each test in a process of its own, with a time limit, reported
//! as KTAP. A test fails if its process does not end well, if the kernel was
//! tainted while it ran, or if the pool has lost objects or pages after it.

use std::{
    fs::File,
    io::{Read as _, Write as _},
    os::fd::{AsRawFd as _, OwnedFd},
    time::{Duration, Instant},
};

use crate::{
    options::Options,
    process::{self, Status},
    sys,
};

/// What an attack came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attack {
    /// It did what nobody may.
    Succeeded,
    /// It was refused.
    Stopped,
}

impl Attack {
    /// Whether it did.
    pub fn succeeded(did: bool) -> Self {
        if did { Self::Succeeded } else { Self::Stopped }
    }
}

/// What a test does.
#[derive(Clone, Copy)]
pub enum Run {
    /// Panics if something is wrong.
    Plain(fn()),
    /// Tries something that a guard of the module is there to stop: the same
    /// attack succeeds on a module without it.
    Guarded(&'static str, fn() -> Attack),
}

/// A test, named by what it proves.
#[derive(Clone, Copy)]
pub struct Test {
    /// Its name.
    pub name: &'static str,
    /// What it does.
    pub run: Run,
}

/// Tests that belong together.
pub struct Suite {
    /// Its name.
    pub name: &'static str,
    /// Its tests.
    pub tests: &'static [Test],
    /// Whether it leaves the pool as it found it, object for object and page for page.
    pub tidy: bool,
}

/// A list of tests from the names of functions.
#[macro_export]
macro_rules! tests {
    ($($name:ident),* $(,)?) => {
        &[$($crate::ktap::Test {
            name: stringify!($name),
            run: $crate::ktap::Run::Plain($name),
        }),*]
    };
}

/// A list of attacks: the guard, then the function.
#[macro_export]
macro_rules! attacks {
    ($($guard:ident: $name:ident),* $(,)?) => {
        &[$($crate::ktap::Test {
            name: stringify!($name),
            run: $crate::ktap::Run::Guarded(stringify!($guard), $name),
        }),*]
    };
}

/// Ends the test without a verdict.
pub fn skip(why: &str) -> ! {
    println!("SKIP {why}");
    let _ = std::io::stdout().flush();
    process::exit(SKIPPED)
}

const SKIPPED: i32 = 77;
const SUCCEEDED: i32 = 42;
const PANICKED: i32 = 101;

/// Most of a test's output that is shown.
const SHOWN: usize = 6000;

/// What became of a test.
struct Outcome {
    verdict: Result<(), String>,
    skipped: Option<String>,
    output: String,
}

/// What is compared before and after a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Pool {
    objects: u64,
    free_pages: u64,
}

/// Objects and pages now; `None` without a module.
fn pool() -> Option<Pool> {
    sys::open_device().ok()?;
    let info = sys::Session::open().info();
    Some(Pool { objects: info.objects, free_pages: info.free_pages })
}

/// Makes what tests share and what stays: an object that nobody can delete, and
/// the first page of the root directory.
fn prime() {
    if sys::open_device().is_ok() {
        let session = sys::Session::open();
        crate::suites::objects::undeletable(&session);
        let _ = session.mkdir(b"/prime");
        let _ = session.rmdir(b"/prime");
    }
}

/// The bits of the kernel's taint that say it found itself in the wrong: an
/// Oops, a bad page, a warning, a lockup.
fn wrongs() -> u64 {
    let text = std::fs::read_to_string("/proc/sys/kernel/tainted").unwrap_or_default();
    let bits: u64 = text.trim().parse().unwrap_or(0);
    bits & (1 << 5 | 1 << 7 | 1 << 9 | 1 << 14)
}

/// Runs tests, prints KTAP, and says whether all is well.
pub fn run(suites: &[&Suite], options: &Options) -> bool {
    process::adopt_orphans();
    prime();
    let wanted: Vec<(&Suite, &Test)> = suites
        .iter()
        .flat_map(|suite| suite.tests.iter().map(move |test| (*suite, test)))
        .filter(|(suite, test)| options.wants(suite.name, test))
        .collect();
    println!("KTAP version 1\n1..{}", wanted.len());
    let mut well = !wanted.is_empty();
    for (i, (suite, test)) in wanted.into_iter().enumerate() {
        let begun = Instant::now();
        let outcome = run_one(suite, test, options);
        let took = begun.elapsed().as_millis();
        let (number, name) = (i + 1, format!("{}/{}", suite.name, test.name));
        match (&outcome.verdict, &outcome.skipped) {
            (_, Some(why)) => println!("ok {number} {name} # SKIP {why}"),
            (Ok(()), _) => println!("ok {number} {name} # {took} ms"),
            (Err(why), _) => {
                well = false;
                println!("# {name}: {why}");
                outcome.output.lines().for_each(|line| println!("#   {line}"));
                println!("not ok {number} {name}");
            }
        }
        let _ = std::io::stdout().flush();
    }
    well
}

fn run_one(suite: &Suite, test: &Test, options: &Options) -> Outcome {
    let tidy = suite.tidy && options.expect_broken.is_none();
    let before = (wrongs(), tidy.then(pool).flatten());
    let (status, output) = in_a_process(test, options);
    process::reap_orphans();
    let skipped = match status {
        Status::Exited(SKIPPED) => Some(
            output.lines().find_map(|line| line.strip_prefix("SKIP ")).unwrap_or("?").to_owned(),
        ),
        _ => None,
    };
    let mut verdict = judge(test, status, options);
    if wrongs() & !before.0 != 0 {
        verdict = Err(format!("the kernel is tainted: {:#x}", wrongs()));
    } else if verdict.is_ok()
        && let (_, Some(was)) = before
    {
        verdict = settles(was);
    }
    Outcome { verdict, skipped, output }
}

/// Whether how the process ended is what was to be.
fn judge(test: &Test, status: Status, options: &Options) -> Result<(), String> {
    match (status, &options.expect_broken) {
        (Status::Exited(0 | SKIPPED), None) => Ok(()),
        (Status::Exited(SUCCEEDED), None) => Err("the attack succeeded".into()),
        (Status::Exited(SUCCEEDED), Some(_)) => Ok(()),
        (Status::Exited(0), Some(guard)) => {
            Err(format!("without {guard} the attack is stopped as well: it proves nothing"))
        }
        (Status::Exited(PANICKED), _) => Err("it found something wrong".into()),
        (other, _) => Err(format!("{} {other:?}", test.name)),
    }
}

/// Whether the pool gets back to what it was: what a process held goes with it.
fn settles(was: Pool) -> Result<(), String> {
    let mut now = pool();
    for _ in 0..20 {
        if now == Some(was) {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(100));
        now = pool();
    }
    Err(format!("the pool was {was:?} and is {now:?}"))
}

/// Runs one test, and returns how its process ended and what it said.
fn in_a_process(test: &Test, options: &Options) -> (Status, String) {
    let (reader, writer) = process::pipe();
    let child = process::fork(move || {
        process::own_group();
        process::replace_output(&writer);
        drop(writer);
        match test.run {
            Run::Plain(run) => {
                run();
                0
            }
            Run::Guarded(_, run) => match run() {
                Attack::Succeeded => SUCCEEDED,
                Attack::Stopped => 0,
            },
        }
    });
    let limit = Duration::from_secs(options.timeout);
    let (output, in_time) = read_until(reader, Instant::now() + limit);
    if !in_time {
        child.kill_group();
    }
    let status = match child.wait() {
        _ if !in_time => Status::TimedOut,
        status => status,
    };
    child.kill_group();
    (status, output)
}

/// Reads until nobody can write any more, or until it is too late.
fn read_until(reader: OwnedFd, deadline: Instant) -> (String, bool) {
    let mut output = Vec::new();
    let mut file = File::from(reader);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if !process::readable(file.as_raw_fd(), left) {
            return (String::from_utf8_lossy(&output).into_owned(), false);
        }
        let mut some = [0; 1024];
        match file.read(&mut some) {
            Ok(n) if n > 0 => {
                let room = SHOWN.saturating_sub(output.len());
                output.extend_from_slice(&some[..n.min(room)]);
            }
            _ => return (String::from_utf8_lossy(&output).into_owned(), true),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() {}
    fn bad() {
        panic!("as it should");
    }
    fn dead() {
        process::kill_self(libc::SIGSEGV);
    }
    fn stuck() {
        std::thread::sleep(Duration::from_secs(100));
    }
    fn skipped() {
        skip("because");
    }
    fn stopped() -> Attack {
        Attack::Stopped
    }
    fn succeeded() -> Attack {
        Attack::Succeeded
    }

    fn verdict(run: Run, expect_broken: Option<&str>) -> Result<(), String> {
        verdict_within(60, run, expect_broken)
    }

    fn verdict_within(timeout: u64, run: Run, expect_broken: Option<&str>) -> Result<(), String> {
        let test = Test { name: "t", run };
        let suite = Suite { name: "s", tests: &[], tidy: false };
        let expect_broken = expect_broken.map(str::to_owned);
        let options = Options { timeout, expect_broken, ..Default::default() };
        run_one(&suite, &test, &options).verdict
    }

    #[test]
    fn each_end_is_told_from_the_others() {
        let _turn = process::alone();
        assert_eq!(verdict(Run::Plain(good), None), Ok(()));
        assert_eq!(verdict(Run::Plain(skipped), None), Ok(()));
        assert!(verdict(Run::Plain(bad), None).unwrap_err().contains("wrong"));
        assert!(verdict(Run::Plain(dead), None).unwrap_err().contains("Signalled(11)"));
        assert!(verdict_within(1, Run::Plain(stuck), None).unwrap_err().contains("TimedOut"));
    }

    #[test]
    fn an_attack_must_be_able_to_succeed() {
        let _turn = process::alone();
        assert_eq!(verdict(Run::Guarded("g", stopped), None), Ok(()));
        assert_eq!(verdict(Run::Guarded("g", succeeded), Some("g")), Ok(()));
        assert!(verdict(Run::Guarded("g", succeeded), None).is_err());
        assert!(verdict(Run::Guarded("g", stopped), Some("g")).is_err());
    }
}

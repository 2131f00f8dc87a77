// SPDX-License-Identifier: MIT OR Apache-2.0
//! Who keeps the threads of a pool: looks which are not running and ought to,
//! starts them, sees how they end, and starts them again.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::process::ExitStatusExt as _,
    process::{Child, ExitStatus},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::{Pid, Uid},
};
use twz::{
    Backend, Choice, Error, ObjectId, PoolInfo,
    resume::{self, Claim, End, Found},
};

use crate::{notify, options::Options, say, start::start, wakeups::Wakeups};

/// The longest wait before a thread is started again.
const LONGEST: Duration = Duration::from_secs(30);

/// A program that was started here.
struct Running {
    child: Child,
    since: Instant,
    id: ObjectId,
}

/// What is known of a thread.
#[derive(Default)]
struct Kept {
    running: Option<Running>,
    /// Not to be started before.
    due: Option<Instant>,
    /// What was last said about it, which is not said again.
    said: String,
    /// Whether it was started at all.
    started: bool,
}

impl Kept {
    fn complain(&mut self, name: &str, what: String) {
        if self.said != what {
            say!("{name}: {what}");
            self.said = what;
        }
    }
}

pub struct Keeper<'a> {
    options: &'a Options,
    pool: Box<dyn Backend>,
    info: PoolInfo,
    kept: BTreeMap<String, Kept>,
    said: String,
}

/// The pool that is meant.
pub fn open(options: &Options) -> twz::Result<Box<dyn Backend>> {
    match &options.pool {
        Some(path) => twz::open_pool(path),
        None => twz::pools::open_as(&twz::pools::default_pool()?, Choice::from_env()?),
    }
}

impl<'a> Keeper<'a> {
    pub fn new(options: &'a Options) -> twz::Result<Self> {
        let pool = open(options)?;
        let mut info = pool.info()?;
        if info.home == "image" {
            return Err(Error::Unsupported(
                "programs cannot run in an image; name a pool directory or the kernel's device",
            ));
        }
        // The programs run elsewhere.
        info.path = fs::canonicalize(&info.path).unwrap_or(info.path);
        say!("keeping the threads of {}", info.path.display());
        Ok(Self { options, pool, info, kept: BTreeMap::new(), said: String::new() })
    }

    /// Looks at every thread, and starts those that ought to run.
    pub fn scan(&mut self) {
        let mut threads = Vec::new();
        let listed = resume::each(&*self.pool, &mut |name, found| {
            threads.push((name.to_string(), found));
        });
        let said = listed.err().map_or(String::new(), |error| error.to_string());
        if !said.is_empty() && said != self.said {
            say!("{said}");
        }
        self.said = said;
        self.kept.retain(|name, kept| {
            kept.running.is_some() || threads.iter().any(|(there, _)| there == name)
        });
        for (name, found) in threads {
            let mut kept = self.kept.remove(&name).unwrap_or_default();
            if kept.running.is_none() {
                match found {
                    Ok(found) => self.consider(&mut kept, found),
                    // Another user's, who has a daemon too.
                    Err(Error::Denied { .. }) if !Uid::effective().is_root() => {}
                    // Gone since it was listed.
                    Err(Error::NoObject(_) | Error::NoName(_)) => {}
                    Err(error) => kept.complain(&name, format!("cannot be read: {error}")),
                }
            }
            self.kept.insert(name, kept);
        }
        let running = self.kept.values().filter(|kept| kept.running.is_some()).count();
        notify::tell(&format!("STATUS={running} of {} threads run", self.kept.len()));
    }

    fn consider(&self, kept: &mut Kept, mut found: Found) {
        let own = Uid::effective();
        if found.running || !found.state.wants_to_run() {
            return kept.said.clear();
        }
        let once = self.options.once && kept.started;
        let later = kept.due.is_some_and(|due| Instant::now() < due);
        if once || later || !own.is_root() && found.state.uid != own.as_raw() {
            return;
        }
        let most = self.options.attempts;
        if most != 0 && found.state.failures >= most {
            let failures = found.state.failures;
            return kept.complain(
                &found.name,
                format!(
                    "given up after {failures} bad ends; 'twz threads resume {}' tries again",
                    found.name
                ),
            );
        }
        let claim = match Claim::take(&*self.pool, found.id) {
            Ok(Some(claim)) => claim,
            // Somebody was faster.
            Ok(None) => return,
            Err(error) => return kept.complain(&found.name, format!("cannot be had: {error}")),
        };
        // It may have changed until it was claimed.
        found.state = claim.state().clone();
        if !found.state.wants_to_run() {
            return;
        }
        match self.may_run(&found) {
            Ok(()) => self.begin(kept, &found.name, claim),
            Err(why) => kept.complain(&found.name, format!("not run: {why}")),
        }
    }

    fn may_run(&self, found: &Found) -> Result<(), &'static str> {
        let trusted = self.options.trust_pool && found.is_pool_open_to_others();
        match found.may_run() {
            Err(_) if trusted && found.state.uid != 0 => Ok(()),
            Err(_) if trusted => Err("root's are not trusted to a device that others may open"),
            other => other,
        }
    }

    fn begin(&self, kept: &mut Kept, name: &str, mut claim: Claim) {
        kept.started = true;
        if claim.state().afresh
            && let Err(error) = claim.update(resume::State::note_start)
        {
            return kept.complain(name, format!("cannot be started: {error}"));
        }
        let lost = claim.state().started && !claim.state().afresh;
        match start(&claim, name, &self.info) {
            Ok(child) => {
                let how = if lost { "resumed" } else { "started" };
                say!("{name}: {how} as process {}", child.id());
                let running = Running { child, since: Instant::now(), id: claim.id() };
                kept.running = Some(running);
                kept.due = None;
                kept.said.clear();
            }
            Err(error) => {
                let errno = error.raw_os_error().unwrap_or(libc::EIO);
                let end = End::NotStarted(errno as u32);
                let program = claim.state().program.display().to_string();
                say!("{name}: cannot start {program}: {error}");
                self.note_failure(kept, name, &mut claim, end, true);
            }
        }
    }

    fn note_failure(&self, kept: &mut Kept, name: &str, claim: &mut Claim, end: End, soon: bool) {
        let noted = claim.update(|state| {
            state.failures = if soon { state.failures.saturating_add(1) } else { 1 };
            state.end = end;
        });
        if let Err(error) = noted {
            say!("{name}: {error}");
        }
        let doublings = claim.state().failures.saturating_sub(1).min(16);
        let delay = self.options.backoff.saturating_mul(1 << doublings).min(LONGEST);
        kept.due = Some(Instant::now() + delay);
    }

    /// Sees which programs have ended.
    fn reap(&mut self, stopping: bool) {
        let mut ended = Vec::new();
        for (name, kept) in &mut self.kept {
            let status = kept.running.as_mut().map(|running| running.child.try_wait());
            if let Some(Ok(Some(status))) = status
                && let Some(running) = kept.running.take()
            {
                ended.push((name.clone(), running, status));
            }
        }
        for (name, running, status) in ended {
            let mut kept = self.kept.remove(&name).unwrap_or_default();
            if let Err(error) = self.ended(&mut kept, &name, &running, status, stopping) {
                kept.complain(&name, format!("ended with {status}: {error}"));
            }
            self.kept.insert(name, kept);
        }
    }

    fn ended(
        &self,
        kept: &mut Kept,
        name: &str,
        running: &Running,
        status: ExitStatus,
        stopping: bool,
    ) -> twz::Result<()> {
        let mut claim = match Claim::take(&*self.pool, running.id) {
            Ok(Some(claim)) => claim,
            Ok(None) => {
                say!("{name}: ended with {status}, and a process it has started goes on");
                return Ok(());
            }
            // It was removed meanwhile.
            Err(Error::NoObject(_)) => return Ok(()),
            Err(error) => return Err(error),
        };
        if claim.state().finished {
            say!("{name}: finished");
            return Ok(());
        }
        let end = match (status.code(), status.signal()) {
            (Some(code), _) => End::Exited(code as u32),
            (None, signal) => End::Killed(signal.unwrap_or_default() as u32),
        };
        if claim.state().afresh && status.success() {
            say!("{name}: finished");
            return claim.update(|state| {
                (state.finished, state.started) = (true, false);
                (state.failures, state.end) = (0, end);
            });
        }
        if stopping {
            say!("{name}: stopped; it can be resumed");
            return Ok(());
        }
        say!("{name}: lost: {status}");
        let soon = running.since.elapsed() < self.options.settled;
        self.note_failure(kept, name, &mut claim, end, soon);
        Ok(())
    }

    /// How long there is nothing to do.
    fn idle(&self) -> Duration {
        let now = Instant::now();
        let dues = self.kept.values().filter(|kept| kept.running.is_none());
        let next = dues.filter_map(|kept| kept.due).filter(|&due| due > now).min();
        next.map_or(self.options.rescan, |due| (due - now).min(self.options.rescan))
            .max(Duration::from_millis(1))
    }

    /// Keeps them until it is told to stop.
    pub fn keep(&mut self, wakeups: &Wakeups) -> nix::Result<()> {
        loop {
            let stop = wakeups.sleep(self.idle())?;
            self.reap(stop);
            if stop {
                return self.stop(wakeups);
            }
            self.scan();
        }
    }

    /// Waits until all that were started have ended; whether all are finished.
    pub fn wait_for_all(&mut self, wakeups: &Wakeups) -> nix::Result<bool> {
        while self.kept.values().any(|kept| kept.running.is_some()) {
            if wakeups.sleep(self.options.rescan)? {
                self.stop(wakeups)?;
                return Ok(false);
            }
            self.reap(false);
        }
        let mut all = true;
        let listed = resume::each(&*self.pool, &mut |_, found| {
            all &= found.is_ok_and(|found| !found.state.wants_to_run());
        });
        Ok(all && listed.is_ok())
    }

    /// Ends what was started here. It stays lost, and so is resumed the next time.
    fn stop(&mut self, wakeups: &Wakeups) -> nix::Result<()> {
        notify::tell("STOPPING=1");
        say!("stopping");
        let until = Instant::now() + self.options.grace;
        self.signal(Signal::SIGTERM);
        while self.kept.values().any(|kept| kept.running.is_some()) {
            let now = Instant::now();
            if now >= until {
                self.signal(Signal::SIGKILL);
            }
            let left = until.saturating_duration_since(now).max(Duration::from_millis(20));
            wakeups.sleep(left.min(self.options.rescan))?;
            self.reap(true);
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) {
        for running in self.kept.values().filter_map(|kept| kept.running.as_ref()) {
            // It leads a group of its own. One that has just ended is no harm.
            let _ = killpg(Pid::from_raw(running.child.id() as i32), signal);
        }
    }
}

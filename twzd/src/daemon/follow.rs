// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the kernel module decided, for the log beside the daemon's own: who was refused
//! what and why, which contexts were loaded, what was revoked, what has ended by the clock.
//!
//! The module keeps the last thousand, with numbers. They are fetched every second, and
//! the last number is in the log itself, so that a daemon that was killed goes on where it
//! was; what it came too late for is a line that says how many. The same thing
//! over and over is one line, with how often.

use nix::unistd::{Uid, User};
use serde::Serialize;
use serde_json::{Value, json};
use twz::{
    Backend, ObjectId, Result, Rights,
    security::{Decision, what},
};

use crate::audit::Audit;

/// Where the log is, and the one before it.
pub const NAMES: (&str, &str) = ("/.twzd/kernel", "/.twzd/kernel.before");

/// A line.
#[derive(Debug, PartialEq, Serialize)]
struct Line {
    /// Nanoseconds since 1970.
    time: u64,
    uid: u32,
    user: String,
    pid: u32,
    ask: Value,
    /// "done", "refused" or "lost".
    decision: &'static str,
    why: Option<&'static str>,
    /// How often, in a row.
    times: u64,
    /// [`Decision::since`] and the last [`Decision::sequence`] of them.
    since: u64,
    sequence: u64,
}

/// Who fetches decisions, and how far they are.
pub struct Follower {
    log: Audit,
    /// `since` and `sequence` of the last one that was written.
    last: Option<(u64, u64)>,
}

impl Follower {
    /// Goes on where a log ends.
    pub fn new(pool: &dyn Backend, log: Audit) -> Result<Self> {
        let number = |line: &Value, name| line.get(name).and_then(Value::as_u64);
        let last = log.last(pool)?;
        let last =
            last.and_then(|line| Some((number(&line, "since")?, number(&line, "sequence")?)));
        Ok(Self { log, last })
    }

    /// Fetches what there is, and writes it.
    pub fn follow(
        &mut self,
        pool: &dyn Backend,
        made: &mut dyn FnMut(ObjectId) -> Result<()>,
    ) -> Result<()> {
        let mut fetched = Vec::new();
        pool.decisions(&mut |decision| fetched.push(*decision))?;
        let mut last = self.last;
        let lines = lines(&fetched, &mut last);
        let mut bytes = Vec::new();
        for line in &lines {
            bytes.extend(crate::audit::line(line)?);
        }
        if !bytes.is_empty() {
            self.log.append(pool, &bytes, made)?;
            self.last = last;
        }
        Ok(())
    }
}

/// The lines for decisions that were fetched, those after `last`, which moves on.
fn lines(fetched: &[Decision], last: &mut Option<(u64, u64)>) -> Vec<Line> {
    let mut lines: Vec<(Decision, Line)> = Vec::new();
    for decision in fetched {
        let expected = match *last {
            Some((since, sequence)) if since == decision.since => sequence + 1,
            _ => 0,
        };
        if decision.sequence < expected {
            continue;
        }
        if decision.sequence > expected {
            lines.push((Decision::default(), lost(decision, decision.sequence - expected)));
        }
        *last = Some((decision.since, decision.sequence));
        match lines.last_mut().filter(|(before, _)| is_same(before, decision)) {
            Some((_, line)) => {
                line.times += 1;
                line.sequence = decision.sequence;
            }
            None => lines.push((*decision, told(decision))),
        }
    }
    lines.into_iter().map(|(_, line)| line).collect()
}

/// Whether a refusal is the one before over again, wherever in the object it was.
fn is_same(a: &Decision, b: &Decision) -> bool {
    let plain = |of: &Decision| Decision { sequence: 0, time: 0, value: 0, ..*of };
    is_refusal(a) && plain(a) == plain(b)
}

fn is_refusal(decision: &Decision) -> bool {
    matches!(decision.what, what::FAULT_REFUSED | what::COMMAND_REFUSED)
}

fn lost(next: &Decision, count: u64) -> Line {
    let ask = json!({ "lost": { "decisions": count } });
    let (since, sequence) = (next.since, next.sequence.saturating_sub(1));
    let user = String::new();
    let (time, decision) = (next.time, "lost");
    Line { time, uid: 0, user, pid: 0, ask, decision, why: None, times: 1, since, sequence }
}

fn told(decision: &Decision) -> Line {
    let refused = is_refusal(decision);
    let name = match decision.what {
        what::FAULT_REFUSED => "fault",
        what::COMMAND_REFUSED => "command",
        what::LOADED => "load",
        what::ATTACHED => "attach",
        what::REVOKED => "revoke",
        what::TIMED => "time",
        _ => "other",
    };
    let rights = |bits: u32| Rights(bits & Rights::ALL.0).to_string();
    let mut about = json!({
        "object": decision.object.to_string(),
        "context": decision.context.to_string(),
    });
    let more = match decision.what {
        what::FAULT_REFUSED | what::COMMAND_REFUSED => vec![
            ("wanted", json!(rights(decision.wanted))),
            ("granted", json!(rights(decision.granted))),
            match decision.what {
                what::FAULT_REFUSED => ("address", json!(format!("{:#x}", decision.value))),
                _ => ("command", json!(twz::security::command(decision.value as u32))),
            },
        ],
        what::LOADED | what::TIMED => vec![
            ("holding", json!(decision.value & 0xffff_ffff)),
            ("void", json!(decision.value >> 32)),
        ],
        what::REVOKED => vec![("epoch", json!(decision.value))],
        _ => Vec::new(),
    };
    if let Some(about) = about.as_object_mut() {
        about.extend(more.into_iter().map(|(name, value)| (name.into(), value)));
    }
    let user = match (decision.process, User::from_uid(Uid::from_raw(decision.user))) {
        (0, _) => String::new(),
        (_, Ok(Some(user))) => user.name,
        _ => decision.user.to_string(),
    };
    Line {
        time: decision.time,
        uid: decision.user,
        user,
        pid: decision.process,
        ask: json!({ name: about }),
        decision: if refused { "refused" } else { "done" },
        why: refused.then(|| twz::security::reason(decision.reason)),
        times: 1,
        since: decision.since,
        sequence: decision.sequence,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(sequence: u64, process: u32) -> Decision {
        let what = what::FAULT_REFUSED;
        let (wanted, reason) = (Rights::WRITE.0, 6);
        Decision { since: 7, sequence, process, what, wanted, reason, ..Decision::default() }
    }

    #[test]
    fn a_line_says_who_what_and_why() {
        let mut last = None;
        let lines = lines(&[refused(0, 12)], &mut last);
        let [line] = &lines[..] else { panic!("{lines:?}") };
        assert_eq!((line.pid, line.decision, line.times), (12, "refused", 1));
        assert_eq!(line.ask["fault"]["wanted"], "-w----");
        assert!(line.why.is_some_and(|why| why.contains("context does not grant")));
        assert_eq!(last, Some((7, 0)));
    }

    #[test]
    fn the_same_again_is_one_line() {
        let all = [refused(0, 12), refused(1, 12), refused(2, 13), refused(3, 12)];
        let times: Vec<_> = lines(&all, &mut None).iter().map(|line| line.times).collect();
        assert_eq!(times, [2, 1, 1]);
    }

    #[test]
    fn nothing_is_told_twice_and_what_is_missing_is_counted() {
        let mut last = Some((7, 4));
        let some = lines(&[refused(4, 1), refused(5, 1), refused(9, 1)], &mut last);
        let said: Vec<_> = some.iter().map(|line| (line.decision, line.sequence)).collect();
        assert_eq!(said, [("refused", 5), ("lost", 8), ("refused", 9)]);
        assert_eq!(some[1].ask["lost"]["decisions"], 3);
        // Another module counts from 0 again.
        let other = Decision { since: 8, ..refused(0, 1) };
        assert_eq!(lines(&[other], &mut last).len(), 1);
        assert_eq!(last, Some((8, 0)));
    }
}

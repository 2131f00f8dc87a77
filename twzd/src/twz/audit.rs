// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz audit`: what was asked of the daemon, by whom, and what it decided.

use clap::Args;
use serde_json::Value;
use twz::{Binding, DATA_START};

use crate::{
    daemon::field,
    exit::{Exit, Fail, Outcome},
    session::Session,
    term::{Table, printable},
    when,
};

/// Where the daemon keeps its logs, and the ones before them: of what it was asked, and of
/// what the kernel module decided.
const LOGS: [&str; 4] =
    ["/.twzd/audit.before", "/.twzd/audit", "/.twzd/kernel.before", "/.twzd/kernel"];

/// Show what was asked of twzd, or decided by the kernel, by whom, and why not
///
/// The logs are objects of the pool that the daemon alone writes to. What the kernel
/// module decided is in one of them, where the pool is the module's: faults and commands
/// that were refused for a reason of rights, contexts that were loaded or attached to,
/// what was revoked, and what began or ended by the clock.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz audit
  twz audit --refused --since 2026-11-21Z
  twz audit --json | jq -r '.lines[] | select(.user == \"www-data\") | .why'")]
pub struct AuditArgs {
    /// Only what was refused
    #[arg(long)]
    refused: bool,
    /// Only from then on
    #[arg(long, value_name = "INSTANT", value_parser = when::parse, help = format!("Only from then on: {}", when::FORMS))]
    since: Option<u64>,
    /// Only the last so many
    #[arg(long, short = 'n', value_name = "LINES")]
    lines: Option<usize>,
}

impl AuditArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let mut lines = Vec::new();
        let mut found = false;
        for name in LOGS {
            match pool.lookup(name) {
                Ok(Binding::Object(id)) => {
                    found = true;
                    let size = pool.size(id)?;
                    let mut bytes = vec![0; size as usize];
                    pool.read(id, DATA_START, &mut bytes)?;
                    lines.extend(bytes.split(|byte| *byte == b'\n').filter_map(parse));
                }
                Ok(Binding::Directory) | Err(twz::Error::NoName(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if !found {
            return Err(Fail::missing(
                "this pool has no audit log",
                "'twzd --serve' keeps one from its first start on",
            ));
        }
        lines.retain(|line| self.wanted(line));
        lines.sort_by_key(|line| line.get("time").and_then(Value::as_u64));
        let first = lines.len().saturating_sub(self.lines.unwrap_or(lines.len()));
        let lines = lines.split_off(first);
        let document = serde_json::json!({ "lines": lines });
        session.answer(&document, |out, style| {
            let mut table = Table::new(&["TIME", "USER", ">PID", "DECISION", "WHAT"]);
            for line in &lines {
                let time = line.get("time").and_then(Value::as_u64).unwrap_or(0);
                let why = line.get("why").and_then(Value::as_str);
                let what = field(line, "ask");
                let what = why.map_or(what.clone(), |why| format!("{what}: {why}"));
                let what = match line.get("times").and_then(Value::as_u64) {
                    Some(times) if times > 1 => format!("{what} ({times} times)"),
                    _ => what,
                };
                table.row([
                    when::show(time),
                    printable(&field(line, "user")).into_owned(),
                    field(line, "pid"),
                    field(line, "decision"),
                    printable(&what).into_owned(),
                ]);
            }
            table.write(out, style)
        })?;
        Ok(Exit::Done)
    }

    fn wanted(&self, line: &Value) -> bool {
        let time = line.get("time").and_then(Value::as_u64).unwrap_or(0);
        let refused = line.get("decision").and_then(Value::as_str) == Some("refused");
        time >= self.since.unwrap_or(0) && (refused || !self.refused)
    }
}

/// A line, unless it is what a daemon that was killed left behind.
fn parse(line: &[u8]) -> Option<Value> {
    let start = line.iter().position(|byte| *byte != 0)?;
    serde_json::from_slice(line.get(start..)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_a_line_is_none() {
        assert!(parse(b"\0\0{\"time\":1}").is_some());
        assert!(parse(b"{\"time\":1").is_none());
        assert!(parse(b"\0\0").is_none());
        assert!(parse(b"").is_none());
    }
}

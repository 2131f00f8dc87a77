// SPDX-License-Identifier: MIT OR Apache-2.0
//! Counters of the daemon, in the text form that Prometheus reads.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

/// How often each thing was asked for, and how it was answered.
#[derive(Default)]
pub struct Metrics {
    asked: BTreeMap<(&'static str, bool), u64>,
    /// Connections that were accepted.
    pub connections: u64,
    /// Lines that were no request.
    pub garbled: u64,
    /// Times that the kernel's decisions could not be written down.
    pub unfollowed: u64,
}

impl Metrics {
    /// Counts an answer.
    pub fn count(&mut self, word: &'static str, done: bool) {
        *self.asked.entry((word, done)).or_default() += 1;
    }

    /// All of them.
    pub fn text(&self, up: Duration) -> String {
        let mut text = String::from("# TYPE twzd_requests_total counter\n");
        for ((word, done), n) in &self.asked {
            let answer = if *done { "done" } else { "refused" };
            let labels = format!("ask=\"{word}\",answer=\"{answer}\"");
            // Writing to a string cannot fail.
            let _ = writeln!(text, "twzd_requests_total{{{labels}}} {n}");
        }
        for (name, kind, value) in [
            ("twzd_connections_total", "counter", self.connections),
            ("twzd_garbled_lines_total", "counter", self.garbled),
            ("twzd_unfollowed_total", "counter", self.unfollowed),
            ("twzd_up_seconds", "gauge", up.as_secs()),
        ] {
            let _ = writeln!(text, "# TYPE {name} {kind}\n{name} {value}");
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_told() {
        let mut metrics = Metrics { connections: 3, ..Metrics::default() };
        metrics.count("grant", true);
        metrics.count("grant", true);
        metrics.count("grant", false);
        let text = metrics.text(Duration::from_secs(7));
        for line in [
            "twzd_requests_total{ask=\"grant\",answer=\"done\"} 2",
            "twzd_requests_total{ask=\"grant\",answer=\"refused\"} 1",
            "twzd_connections_total 3",
            "twzd_up_seconds 7",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}

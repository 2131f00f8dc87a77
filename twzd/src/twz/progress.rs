// SPDX-License-Identifier: MIT OR Apache-2.0
//! A progress bar that shows only where somebody can see it, and only once
//! the work has taken long enough to make them wonder.

use std::{
    fmt,
    time::{Duration, Instant},
};

use indicatif::{BinaryBytes, HumanDuration, ProgressBar, ProgressState, ProgressStyle};

/// How long work may take in silence.
const PATIENCE: Duration = Duration::from_millis(500);

/// What is counted.
const BYTES: &str = "{msg} [{bar:30}] {binary_bytes}/{binary_total_bytes} {speed}, {left} left";
const STEPS: &str = "{msg} [{bar:30}] {pos}/{len}, {left} left";
/// Where the end is not known.
const OPEN: &str = "{msg} {binary_bytes} {speed}";

/// A bar, or none yet, or none at all.
pub struct Progress {
    what: &'static str,
    visible: bool,
    since: Instant,
    bar: Option<ProgressBar>,
}

impl Progress {
    pub fn new(what: &'static str, visible: bool) -> Self {
        Self { what, visible, since: Instant::now(), bar: None }
    }

    /// So many bytes of so many are done; a total of 0 is one nobody knows.
    pub fn bytes(&mut self, done: u64, total: u64) {
        self.show(done, total, if total == 0 { OPEN } else { BYTES });
    }

    /// So many steps of so many are done.
    pub fn steps(&mut self, done: u64, total: u64) {
        self.show(done, total, STEPS);
    }

    /// Whether a bar would be shown by now.
    fn due(&self) -> bool {
        self.visible && self.since.elapsed() >= PATIENCE
    }

    fn show(&mut self, done: u64, total: u64, template: &str) {
        if !self.due() {
            return;
        }
        let bar = self.bar.get_or_insert_with(|| {
            ProgressBar::new(total)
                .with_style(style(template))
                .with_message(self.what)
                .with_elapsed(self.since.elapsed())
        });
        bar.set_length(total);
        bar.set_position(done);
    }
}

/// The bar begins late, so speed and time left are those of the whole work and
/// not of what the bar has seen.
fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    style
        .unwrap_or_else(|_| ProgressStyle::default_bar())
        .progress_chars("=> ")
        .with_key("speed", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let speed = state.pos() as f64 / state.elapsed().as_secs_f64().max(1e-3);
            let _ = write!(out, "{}/s", BinaryBytes(speed as u64));
        })
        .with_key("left", |state: &ProgressState, out: &mut dyn fmt::Write| {
            let missing = state.len().unwrap_or(0).saturating_sub(state.pos()) as f64;
            let seconds = state.elapsed().as_secs_f64() * missing / state.pos().max(1) as f64;
            let left = Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
            let _ = write!(out, "{}", HumanDuration(left));
        })
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_work_is_silent() {
        let mut progress = Progress::new("copying", true);
        progress.bytes(1, 2);
        assert!(progress.bar.is_none());
        progress.since -= PATIENCE;
        assert!(progress.due());
    }

    #[test]
    fn nobody_sees_a_bar_that_is_off() {
        let mut progress = Progress::new("copying", false);
        progress.since -= PATIENCE;
        progress.steps(1, 2);
        assert!(progress.bar.is_none());
    }

    #[test]
    fn the_templates_are_sound() {
        for template in [BYTES, STEPS, OPEN] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}

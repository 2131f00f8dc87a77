// SPDX-License-Identifier: MIT OR Apache-2.0
//! A case of a suite, and how it came out.

/// What became of a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Pass,
    /// With the end of what was said.
    Fail(String),
    /// With the reason.
    Skip(String),
}

/// One named thing that a suite tries.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub outcome: Outcome,
}

impl Case {
    pub fn new(name: impl Into<String>, outcome: Outcome) -> Self {
        Self { name: name.into(), outcome }
    }

    /// A case that is a whole program: it passes if that ends well.
    pub fn of(name: impl Into<String>, result: Result<String, String>) -> Self {
        let outcome = match result {
            Ok(_) => Outcome::Pass,
            Err(said) => Outcome::Fail(said),
        };
        Self::new(name, outcome)
    }
}

/// The last lines of what a program said: the part that is worth reading.
pub fn end_of(text: &str, lines: usize) -> String {
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}

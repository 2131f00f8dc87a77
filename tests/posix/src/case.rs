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
    /// How many tests that is, where one by one they would be too many to tell.
    pub tests: u64,
}

impl Case {
    pub fn new(name: impl Into<String>, outcome: Outcome) -> Self {
        Self::many(name, 1, outcome)
    }

    /// A case that stands for so many tests.
    pub fn many(name: impl Into<String>, tests: u64, outcome: Outcome) -> Self {
        Self { name: name.into(), outcome, tests }
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

/// What a program said, without its colours.
pub fn plain(text: &str) -> String {
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        plain.push_str(before);
        rest = after.split_once('m').map_or("", |(_, rest)| rest);
    }
    plain + rest
}

/// The cases that `parse` finds in what a program said, and one more for its end, if that
/// was bad and none of them says why.
pub fn told(ended: Result<String, String>, parse: impl Fn(&str) -> Vec<Case>) -> Vec<Case> {
    let whole = ended.is_ok();
    let said = ended.unwrap_or_else(|said| said);
    let mut cases = parse(&said);
    let failed = cases.iter().any(|case| matches!(case.outcome, Outcome::Fail(_)));
    if cases.is_empty() || !whole && !failed {
        cases.push(Case::new("the end", Outcome::Fail(end_of(&said, 20))));
    }
    cases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_ends_badly_has_a_case_that_failed() {
        let parse = |said: &str| said.lines().map(|name| Case::new(name, Outcome::Pass)).collect();
        let names = |ended| {
            let cases = told(ended, parse);
            cases.into_iter().map(|case| (case.name, case.outcome)).collect::<Vec<_>>()
        };
        assert_eq!(names(Ok("a".into())), [("a".into(), Outcome::Pass)]);
        let end = |why: &str| ("the end".to_owned(), Outcome::Fail(why.into()));
        assert_eq!(names(Err("a".into())), [("a".into(), Outcome::Pass), end("a")]);
        assert_eq!(names(Ok(String::new())), [end("")]);
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the command line says.

use std::sync::OnceLock;

use crate::ktap::{Run, Test};

/// Which tests, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// What is to be done: suites, or one of the tools.
    pub words: Vec<String>,
    /// The module runs without this guard, and its attacks are to succeed.
    pub expect_broken: Option<String>,
    /// Only tests with this in their names.
    pub only: Option<String>,
    /// Seconds for one test.
    pub timeout: u64,
    /// Where random numbers begin.
    pub seed: Option<u64>,
    /// How many rounds or calls.
    pub count: Option<u64>,
    /// How long.
    pub seconds: Option<u64>,
    /// The module's file, for tests that load it themselves.
    pub module: String,
    /// Parameters for it.
    pub parameters: String,
    /// The pool's device.
    pub device: String,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            words: Vec::new(),
            expect_broken: None,
            only: None,
            timeout: 180,
            seed: None,
            count: None,
            seconds: None,
            module: "/lib/modules/twz.ko".into(),
            parameters: String::new(),
            device: "/dev/pmem0".into(),
        }
    }
}

static OPTIONS: OnceLock<Options> = OnceLock::new();

/// The options of this run.
pub fn options() -> &'static Options {
    OPTIONS.get_or_init(Options::default)
}

/// Reads the command line, and keeps it for [`options`].
pub fn parse(arguments: impl Iterator<Item = String>) -> Result<&'static Options, String> {
    let parsed = parse_words(arguments)?;
    Ok(OPTIONS.get_or_init(|| parsed))
}

fn parse_words(arguments: impl Iterator<Item = String>) -> Result<Options, String> {
    let mut options = Options::default();
    for argument in arguments {
        let Some(option) = argument.strip_prefix("--") else {
            options.words.push(argument);
            continue;
        };
        let (name, value) = option.split_once('=').unwrap_or((option, ""));
        let number = || value.parse().map_err(|_| format!("--{name}={value} is no number"));
        match name {
            "expect-broken" => options.expect_broken = Some(value.into()),
            "only" => options.only = Some(value.into()),
            "timeout" => options.timeout = number()?,
            "seed" => options.seed = Some(number()?),
            "count" => options.count = Some(number()?),
            "seconds" => options.seconds = Some(number()?),
            "module" => options.module = value.into(),
            "parameters" => options.parameters = value.into(),
            "device" => options.device = value.into(),
            _ => return Err(format!("there is no option --{name}")),
        }
    }
    Ok(options)
}

impl Options {
    /// Whether a test is to be run: without a guard, only the attacks on it.
    pub fn wants(&self, suite: &str, test: &Test) -> bool {
        let guarded = match (&self.expect_broken, test.run) {
            (None, _) => true,
            (Some(broken), Run::Guarded(guard, _)) => broken == guard,
            (Some(_), Run::Plain(_)) => false,
        };
        let name = format!("{suite}/{}", test.name);
        guarded && self.only.as_ref().is_none_or(|only| name.contains(only.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ktap::Attack;

    #[test]
    fn a_command_line() {
        let words = ["attacks", "--expect-broken=wx", "--timeout=5"].map(String::from);
        let options = parse_words(words.into_iter()).unwrap();
        assert_eq!((options.words.len(), options.timeout), (1, 5));
        let test = |run| Test { name: "t", run };
        assert!(options.wants("a", &test(Run::Guarded("wx", || Attack::Stopped))));
        assert!(!options.wants("a", &test(Run::Guarded("other", || Attack::Stopped))));
        assert!(!options.wants("a", &test(Run::Plain(|| ()))));
        assert!(parse_words(["--no".to_owned()].into_iter()).is_err());
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every guard taken away, one after another: the attacks that it stops succeed
//! then, on a module that was built for that. One that is stopped all the same
//! is no test of the guard.

use crate::{
    ktap::{self, Run, Suite},
    module,
    options::Options,
    suites::attacks,
};

const ATTACKS: Suite = Suite { name: "attacks", tests: attacks::TESTS, tidy: false };

/// The guards that attacks name, each once.
fn guards() -> Vec<&'static str> {
    let mut guards: Vec<&str> = attacks::TESTS
        .iter()
        .filter_map(|test| match test.run {
            Run::Guarded(guard, _) => Some(guard),
            Run::Plain(_) => None,
        })
        .collect();
    guards.dedup();
    guards
}

/// Loads the module without each guard, and attacks.
pub fn run(options: &Options) -> bool {
    let mut well = true;
    for guard in guards() {
        println!("# without {guard}");
        let wanted = format!("{} weaken={guard}", options.parameters);
        let loaded = module::unload_soon().or_else(|_| match module::is_loaded() {
            true => module::unload_soon(),
            false => Ok(()),
        });
        if let Err(error) = loaded.and_then(|()| module::load_with(wanted.trim())) {
            println!("KTAP version 1\n1..1\n# {error:?}\nnot ok 1 without-{guard}");
            well = false;
            continue;
        }
        let weakened = Options { expect_broken: Some(guard.into()), ..options.clone() };
        well &= ktap::run(&[&ATTACKS], &weakened);
    }
    // What is loaded from now on is whole again.
    let whole = module::unload_soon().and_then(|()| module::load());
    well && whole.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_guard_is_attacked() {
        let all = [
            "mprotect",
            "mremap",
            "dontcopy",
            "private",
            "pmd_exec",
            "mkwrite",
            "invalidate_zap",
            "rebind_zap",
            "cow_zap",
            "check_lock",
            "mm_owner",
            "immutable",
            "wx",
            "null_page",
            "delete_wait",
        ];
        assert_eq!(guards(), all);
    }
}

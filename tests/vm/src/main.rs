// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz-vm`: attacks a kernel. The one program that the virtual machine's
//! initramfs needs for the module's tests.
//!
//!     twz-vm SUITE...                   runs suites, reports KTAP; "all" is all
//!     twz-vm attacks --expect-broken=G  on a module that lacks guard G
//!     twz-vm TOOL                       what takes several boots, or long

mod bench;
mod commands;
mod errno;
mod file;
mod fuzzer;
mod image;
mod ktap;
mod map;
mod meddler;
mod module;
mod options;
mod paths;
mod probe;
mod process;
mod rng;
mod security;
mod suites;
mod sys;
mod tools;
mod world;

use std::process::ExitCode;

fn main() -> ExitCode {
    let options = match options::parse(std::env::args().skip(1)) {
        Ok(options) => options,
        Err(why) => return usage(&why),
    };
    let words: Vec<&str> = options.words.iter().map(String::as_str).collect();
    if let ["child-execed", fd] = words[..] {
        return code(fd.parse().map_or(2, suites::session::execed) == 0);
    }
    if let ["child-contexts", ref expected @ ..] = words[..] {
        return code(suites::attach::execed(expected) == 0);
    }
    if let ["child-reads", address] = words[..] {
        return code(address.parse().map_or(2, suites::memory::execed) == 0);
    }
    if let [word] = words[..]
        && let Some(tool) = tools::TOOLS.iter().find(|tool| tool.name == word)
    {
        return code((tool.run)(options));
    }
    let mut chosen = Vec::new();
    for word in words {
        match suites::named(word) {
            some if !some.is_empty() => chosen.extend(some),
            _ => return usage(&format!("there is no suite '{word}'")),
        }
    }
    if chosen.is_empty() {
        return usage("say what to run");
    }
    code(ktap::run(&chosen, options))
}

fn code(well: bool) -> ExitCode {
    if well { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn usage(why: &str) -> ExitCode {
    eprintln!("twz-vm: {why}");
    eprintln!("suites: {}", suites::names().join(" "));
    tools::TOOLS.iter().for_each(|tool| eprintln!("{:>14}  {}", tool.name, tool.what));
    ExitCode::FAILURE
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What makes the command at home on a system: completions, manual pages, and
//! which versions it is of.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Args, Command, CommandFactory as _, ValueEnum, ValueHint};
use clap_complete::Shell;
use clap_mangen::Man;

use crate::{
    cli::Cli,
    exit::{EXIT_CODES, Exit, Fail, Outcome},
    json,
    session::Session,
};

/// Print a completion script for a shell
#[derive(Args)]
#[command(after_help = "EXAMPLES
  source <(twz completions bash)
  twz completions fish > ~/.config/fish/completions/twz.fish")]
pub struct CompletionsArgs {
    /// The shell
    shell: KnownShell,
}

/// The shells there are completions for.
#[derive(Clone, Copy, Debug, ValueEnum)]
enum KnownShell {
    Bash,
    Zsh,
    Fish,
}

impl CompletionsArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let (shell, name) = match self.shell {
            KnownShell::Bash => (Shell::Bash, "bash"),
            KnownShell::Zsh => (Shell::Zsh, "zsh"),
            KnownShell::Fish => (Shell::Fish, "fish"),
        };
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Cli::command(), "twz", &mut script);
        let script = String::from_utf8_lossy(&script).into_owned();
        let document = json::Completions { shell: name.into(), script };
        session.answer(&document, |out, _| out.write_all(document.script.as_bytes()))?;
        Ok(Exit::Done)
    }
}

/// Write the manual, one page for each command
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz man /usr/local/share/man/man1
  twz man . && man ./twz-pool-init.1")]
pub struct ManArgs {
    /// Where to; it is made if it is not there
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,
}

impl ManArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        fs::create_dir_all(&self.dir).map_err(Fail::file("make", &self.dir))?;
        let mut root = Cli::command().disable_help_subcommand(true);
        root.build();
        let mut pages = Vec::new();
        write_pages(&root, &self.dir, &mut pages)?;
        pages.sort();
        let directory = self.dir.display().to_string();
        let sentence = format!("wrote {} pages to {directory}", pages.len());
        session.confirm(&json::Man { directory, pages }, &sentence)?;
        Ok(Exit::Done)
    }
}

fn write_pages(command: &Command, dir: &Path, pages: &mut Vec<String>) -> Outcome<()> {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        write_pages(sub, dir, pages)?;
    }
    let after = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    let page = match after.contains("EXIT CODES") {
        true => command.clone(),
        false => command.clone().after_help(format!("{after}\n\n{EXIT_CODES}")),
    };
    let man = Man::new(page).manual("Twizzler").source(concat!("twz ", env!("CARGO_PKG_VERSION")));
    man.generate_to(dir).map_err(Fail::file("write the pages to", dir))?;
    pages.push(man.get_filename());
    Ok(())
}

/// `twz version`.
pub fn version(session: &mut Session) -> Outcome {
    let document = json::Version {
        version: env!("CARGO_PKG_VERSION"),
        format_version: twz::FORMAT_VERSION,
        abi_version: twz::ABI_VERSION,
        backend: "embedded",
        isolation: "none",
    };
    session.answer(&document, |out, style| {
        let mut line = |what: &str, value: &str| {
            writeln!(out, "{} {value}", style.bold(&format!("{what:<10}")))
        };
        line("twz", document.version)?;
        line("format", &format!("version {}, and those before it", document.format_version))?;
        line("kernel", &format!("interface version {}", document.abi_version))?;
        line("backend", "embedded: pools are directories and images")?;
        line(
            "isolation",
            "none: rights bind honest programs; only the kernel module isolates others",
        )
    })?;
    Ok(Exit::Done)
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command line as a whole. What each command takes is in its own file.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::{
    audit::AuditArgs,
    bundle::{ExportArgs, ImportArgs},
    cap::CapCommand,
    copy::{CpArgs, RmArgs},
    ctx::CtxCommand,
    daemon::DaemonArgs,
    data::{CatArgs, ResizeArgs, WriteArgs},
    exit::{Exit, Outcome},
    fot::{FotArgs, RetargetArgs},
    grant::{DelegateArgs, GrantArgs, RevokeArgs},
    graph::GraphArgs,
    key::KeyCommand,
    ls::{InfoArgs, LsArgs},
    mount::{MountArgs, UmountArgs},
    name::NameCommand,
    new::NewArgs,
    pool::PoolCommand,
    run::{AttachArgs, RunArgs},
    session::Session,
    shell::{CompletionsArgs, ManArgs},
    threads::ThreadsArgs,
    why::WhyArgs,
};

/// What `twz help` ends with.
const TOUR: &str = "\
OBJECTS
  An OBJECT is its id, the first digits of it (four at least) if no other id
  begins with them, or a name, as in /lists/head.

EXAMPLES
  twz pool init                         make the pool that everything uses
  echo hello | twz new --from - --name /greeting
  twz ls -l --names
  twz cat /greeting
  twz help pool init                    explain a command

EXIT CODES
  0  done
  1  what was asked about is not so, or could not be done
  2  the command line is wrong
  3  there is no such object, name or pool
  4  a right is missing, or the pool can only be read
  5  no space: the pool, the file system or the object is full
  6  damaged: bytes are not what they should be";

/// Make, look into and repair object spaces
///
/// Objects have 128-bit ids and lie in a pool: a directory on any file system,
/// an image file, or what the kernel module serves. Pointers lead from one object into another, and names,
/// which are a tree of their own, are bound to objects.
#[derive(Parser)]
#[command(name = "twz", version, after_help = TOUR, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// What every command takes.
#[derive(Args)]
#[command(next_help_heading = "Options of every command")]
pub struct Global {
    /// The pool: a directory, an image, or the kernel module's device [default:
    /// $TWZ_POOL, else the kernel's if a module is loaded, else twz in the user's
    /// data directory; 'twz pool info' shows it]
    #[arg(long, global = true, value_name = "PATH", value_hint = clap::ValueHint::AnyPath)]
    pub pool: Option<PathBuf>,
    /// Answer with one JSON document, errors too
    #[arg(long, global = true)]
    pub json: bool,
    /// Leave out confirmations and progress bars
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// When to colour
    #[arg(long, global = true, value_enum, value_name = "WHEN", default_value_t = Colour::Auto)]
    pub color: Colour,
}

/// When to colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

#[derive(Subcommand)]
pub enum Command {
    /// Make, describe, check and copy pools
    #[command(subcommand)]
    Pool(PoolCommand),
    New(NewArgs),
    Ls(LsArgs),
    Info(InfoArgs),
    Cat(CatArgs),
    Write(WriteArgs),
    Cp(CpArgs),
    Rm(RmArgs),
    Resize(ResizeArgs),
    /// List and change the names of objects
    #[command(subcommand)]
    Name(NameCommand),
    Fot(FotArgs),
    Retarget(RetargetArgs),
    Graph(GraphArgs),
    Export(ExportArgs),
    Import(ImportArgs),
    Mount(MountArgs),
    Umount(UmountArgs),
    /// Make and list the keys that own objects
    #[command(subcommand, after_help = "EXAMPLES\n  twz key ls")]
    Key(KeyCommand),
    /// Make, list and change security contexts
    #[command(subcommand, after_help = "EXAMPLES\n  twz ctx ls")]
    Ctx(CtxCommand),
    /// List and move the grants that a context holds
    #[command(subcommand, after_help = "EXAMPLES\n  twz cap ls /contexts/web")]
    Cap(CapCommand),
    Grant(GrantArgs),
    Delegate(DelegateArgs),
    Revoke(RevokeArgs),
    Why(WhyArgs),
    Attach(AttachArgs),
    Run(RunArgs),
    Daemon(DaemonArgs),
    Audit(AuditArgs),
    Threads(ThreadsArgs),
    Completions(CompletionsArgs),
    Man(ManArgs),
    /// Show the versions of the command, the format and the kernel interface
    #[command(after_help = "EXAMPLES\n  twz version\n  twz version --json")]
    Version,
}

impl Command {
    /// Does it.
    pub fn run(&self, session: &mut Session) -> Outcome<Exit> {
        match self {
            Self::Pool(command) => command.run(session),
            Self::New(args) => args.run(session),
            Self::Ls(args) => args.run(session),
            Self::Info(args) => args.run(session),
            Self::Cat(args) => args.run(session),
            Self::Write(args) => args.run(session),
            Self::Cp(args) => args.run(session),
            Self::Rm(args) => args.run(session),
            Self::Resize(args) => args.run(session),
            Self::Name(command) => command.run(session),
            Self::Fot(args) => args.run(session),
            Self::Retarget(args) => args.run(session),
            Self::Graph(args) => args.run(session),
            Self::Export(args) => args.run(session),
            Self::Import(args) => args.run(session),
            Self::Mount(args) => args.run(session),
            Self::Umount(args) => args.run(session),
            Self::Key(command) => command.run(session),
            Self::Ctx(command) => command.run(session),
            Self::Cap(command) => command.run(session),
            Self::Grant(args) => args.run(session),
            Self::Delegate(args) => args.run(session),
            Self::Revoke(args) => args.run(session),
            Self::Why(args) => args.run(session),
            Self::Attach(args) => args.run(session),
            Self::Run(args) => args.run(session),
            Self::Daemon(args) => args.run(session),
            Self::Audit(args) => args.run(session),
            Self::Threads(args) => args.run(session),
            Self::Completions(args) => args.run(session),
            Self::Man(args) => args.run(session),
            Self::Version => crate::shell::version(session),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_help_has_the_one_table_of_exit_codes() {
        assert!(TOUR.ends_with(crate::exit::EXIT_CODES));
    }
}

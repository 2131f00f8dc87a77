// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz pool`: making, describing, checking and copying pools.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use twz::{
    Backend, EmbeddedPool, ImageOptions, ImagePool, InitOptions, StoreError, check, transfer,
};

use crate::{
    exit::{Exit, Fail, Outcome},
    json, object,
    session::Session,
    size,
    term::{Style, count, printable},
};

#[derive(Subcommand)]
#[command(after_help = "EXAMPLES\n  twz pool init\n  twz pool info\n  twz pool check --repair")]
pub enum PoolCommand {
    Init(InitArgs),
    /// Say what the pool is, where it is and how full
    #[command(after_help = "EXAMPLES\n  twz pool info\n  twz --pool backup.img pool info --json")]
    Info,
    Check(CheckArgs),
    Copy(CopyArgs),
}

impl PoolCommand {
    pub fn run(&self, session: &mut Session) -> Outcome {
        match self {
            Self::Init(args) => args.run(session),
            Self::Info => {
                let pool = session.open()?;
                tell(session, &*pool)?;
                Ok(Exit::Done)
            }
            Self::Check(args) => args.run(session),
            Self::Copy(args) => args.run(session),
        }
    }
}

/// What a new pool shall be.
#[derive(Args)]
struct Home {
    /// Make an image, a pool in one file, instead of a directory
    #[arg(long)]
    image: bool,
    /// Bytes of the image; a block device is taken whole
    #[arg(long, requires = "image", value_parser = size::parse, default_value = "64M",
          hide_default_value = true)]
    size: u64,
    /// How many objects the image can hold [default: one for each 64K]
    #[arg(long, requires = "image", value_name = "N")]
    records: Option<u64>,
    /// Make it on a block device that is not empty: what it holds is gone
    #[arg(long, requires = "image")]
    force: bool,
}

impl Home {
    fn make(&self, path: &Path, label: String) -> Outcome<()> {
        if label.len() > 63 {
            return Err(Fail::usage(
                format!("the label has {} bytes, and at most 63 fit", label.len()),
                "choose a shorter one",
            ));
        }
        match self.image {
            true => {
                let options = ImageOptions {
                    size: self.size,
                    records: self.records,
                    label,
                    force: self.force,
                };
                ImagePool::format(path, &options).map_err(impossible)?;
            }
            false => EmbeddedPool::init(path, &InitOptions { label })?,
        }
        Ok(())
    }
}

/// What no image can be like is the fault of the options.
fn impossible(error: twz::Error) -> Fail {
    match error {
        twz::Error::Store(StoreError::TooSmall { need, have }) => Fail::usage(
            format!("an image of {have} bytes is too small: it needs {need} before any object"),
            "give a larger --size, or fewer --records",
        ),
        twz::Error::PoolExists(path) if !path.is_dir() && !path.is_file() => Fail::no(
            format!("{} holds something already", path.display()),
            "--force makes a pool of it all the same, and what it holds is gone",
        ),
        twz::Error::Store(StoreError::Options { what }) => Fail::usage(
            format!("there can be no such image: {what}"),
            "give other --size or --records",
        ),
        other => other.into(),
    }
}

/// Make a pool
///
/// A pool is a directory, in which the data of objects are ordinary files and
/// names are ordinary names; or, with --image, one file as it would lie on a
/// device. Programs map objects of a directory only. With --image, the path of
/// a block device makes a pool of all of it, for the kernel module to serve.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz pool init
  twz pool init /srv/objects --label production
  twz pool init backup.img --image --size 1G --records 100000
  twz pool init /dev/pmem0 --image")]
pub struct InitArgs {
    /// Where [default: the pool of --pool]
    #[arg(value_hint = ValueHint::AnyPath)]
    path: Option<PathBuf>,
    /// Text for people, up to 63 bytes
    #[arg(long, default_value = "", hide_default_value = true)]
    label: String,
    #[command(flatten)]
    home: Home,
}

impl InitArgs {
    fn run(&self, session: &mut Session) -> Outcome {
        let path = self.path.clone().map_or_else(|| session.pool_path(), Ok)?;
        self.home.make(&path, self.label.clone())?;
        let pool = twz::open_pool(&path)?;
        let document = document(&*pool)?;
        let sentence = format!("made a pool, {} {}", article(document.home), document.path);
        session.confirm(&document, &sentence)?;
        Ok(Exit::Done)
    }
}

fn article(home: &str) -> String {
    match home {
        "image" => "an image:".into(),
        "kernel" => "the kernel's:".into(),
        other => format!("a {other}:"),
    }
}

fn document(pool: &dyn Backend) -> Outcome<json::Pool> {
    let info = pool.info()?;
    let objects = match info.objects {
        Some(objects) => objects,
        None => {
            let mut objects = 0;
            pool.list(&mut |_| {
                objects += 1;
                Ok(())
            })?;
            objects
        }
    };
    Ok(json::Pool {
        path: info.path.display().to_string(),
        home: info.home,
        label: info.label,
        pool_id: object::hex(&info.pool_id),
        created: info.created,
        format_version: info.version,
        objects,
        capacity: info.capacity,
        free: info.free,
        read_only: info.read_only,
        durability: info.durability,
    })
}

fn tell(session: &mut Session, pool: &dyn Backend) -> Outcome<()> {
    let pool = document(pool)?;
    session.answer(&pool, |out, style| {
        let mut line = |what: &str, value: &str| {
            writeln!(out, "{} {value}", style.bold(&format!("{what:<10}")))
        };
        line("pool", &pool.path)?;
        line("home", pool.home)?;
        if !pool.label.is_empty() {
            line("label", &printable(&pool.label))?;
        }
        line("id", &pool.pool_id)?;
        line("created", &size::date(pool.created))?;
        line("format", &format!("version {}", pool.format_version))?;
        line("objects", &pool.objects.to_string())?;
        line("free", &format!("{} of {}", size::human(pool.free), size::human(pool.capacity)))?;
        line("access", if pool.read_only { "reading only" } else { "reading and writing" })?;
        line("durable", pool.durability)
    })
}

/// Look for damage, and mend what can be mended
///
/// Says of each problem where it is and what to do, or what --repair does: it
/// writes anew what has a second copy or follows from the rest, guesses
/// nothing, and cuts off what cannot be read. Look without it first. Ends with
/// 0 if nothing is wrong, and with 1 if something is (and is left).
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz pool check
  twz --pool backup.img pool check --repair
  twz pool check --json | jq '.problems[].where'")]
pub struct CheckArgs {
    /// Mend what can be mended
    #[arg(long)]
    repair: bool,
}

impl CheckArgs {
    fn run(&self, session: &mut Session) -> Outcome {
        let mut problems = Vec::new();
        let mut bar = session.progress("checking");
        let summary = check::check(
            &session.pool_path()?,
            &check::Options { repair: self.repair },
            &mut |at| bar.steps(at.done, at.total),
            &mut |problem| problems.push(found(problem)),
        )?;
        drop(bar);
        let document = json::Check {
            clean: summary.errors + summary.warnings == 0,
            objects: summary.objects,
            errors: summary.errors,
            warnings: summary.warnings,
            repaired: summary.repaired,
            problems,
        };
        session.answer(&document, |out, style| {
            for problem in &document.problems {
                writeln!(out, "{}", lines(problem, style))?;
            }
            writeln!(out, "{}", verdict(&document))
        })?;
        Ok(if document.clean { Exit::Done } else { Exit::No })
    }
}

fn found(problem: check::Problem) -> json::Problem {
    json::Problem {
        severity: match problem.severity {
            check::Severity::Info => "info",
            check::Severity::Warning => "warning",
            check::Severity::Error => "error",
        },
        what: problem.what,
        place: problem.where_,
        fix: problem.fix,
        repaired: problem.repaired,
    }
}

fn lines(problem: &json::Problem, style: Style) -> String {
    let severity = match (problem.repaired, problem.severity) {
        (true, _) => "mended".into(),
        (false, "error") => style.bad("error"),
        (false, other) => style.bold(other),
    };
    let mut text =
        format!("{severity}: {}: {}", printable(&problem.place), printable(&problem.what));
    if let Some(fix) = problem.fix.filter(|_| !problem.repaired) {
        text.push_str("\n       ");
        text.push_str(fix);
    }
    text
}

fn verdict(check: &json::Check) -> String {
    let mut text = format!("{} checked: ", count(check.objects, "object"));
    text += &match (check.errors, check.warnings) {
        (0, 0) => "nothing is wrong".into(),
        (errors, warnings) => {
            format!("{} and {} are left", count(errors, "error"), count(warnings, "warning"))
        }
    };
    if check.repaired != 0 {
        text += &format!("; mended {}", count(check.repaired, "problem"));
    }
    text
}

/// Copy every object and name of a pool into another
///
/// Objects keep their ids, so pointers still lead to them. The target is made
/// if it is not there; if it is, what it already has is left as it is. A copy
/// that was cut off can be run again.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz pool copy ~/.local/share/twz /mnt/backup
  twz pool copy /srv/objects backup.img --image --size 1G
  twz pool copy backup.img /srv/restored
  twz pool copy ~/.local/share/twz /dev/twz")]
pub struct CopyArgs {
    /// The pool to copy
    #[arg(value_hint = ValueHint::AnyPath)]
    from: PathBuf,
    /// Where to
    #[arg(value_hint = ValueHint::AnyPath)]
    to: PathBuf,
    #[command(flatten)]
    home: Home,
}

impl CopyArgs {
    fn run(&self, session: &mut Session) -> Outcome {
        let from = twz::open_pool(&self.from)?;
        if !self.to.exists() {
            self.home.make(&self.to, from.info()?.label)?;
        }
        let to = twz::pools::open_to_fill(&self.to)?;
        if from.info()?.pool_id == to.info()?.pool_id && same_place(&self.from, &self.to) {
            return Err(Fail::usage("a pool cannot be copied into itself", "name another target"));
        }
        let mut bar = session.progress("copying objects");
        let done = transfer::copy_pool(&*from, &*to, &mut |at| {
            bar.steps(at.objects_done, at.objects_total);
        })?;
        drop(bar);
        let document = json::PoolCopy {
            from: self.from.display().to_string(),
            to: self.to.display().to_string(),
            copied: done.copied,
            unchanged: done.unchanged,
            bytes: done.bytes,
            names: done.names,
        };
        let sentence = format!(
            "copied {} ({}) and {}; {} there already",
            count(done.copied, "object"),
            size::human(done.bytes),
            count(done.names, "name"),
            if done.unchanged == 1 { "1 was".into() } else { format!("{} were", done.unchanged) },
        );
        session.confirm(&document, &sentence)?;
        Ok(Exit::Done)
    }
}

fn same_place(a: &Path, b: &Path) -> bool {
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

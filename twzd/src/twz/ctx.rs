// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz ctx`: security contexts, their masks and their flags.

use clap::{Args, Subcommand, ValueEnum};
use twz::{
    Backend, ObjectId, Rights, Space, kind,
    security::{Context, NewContext, Policy, context_flags},
};

use crate::{
    exit::{Exit, Fail, Outcome},
    find, json,
    object::{kind_name, parse_rights},
    paths::{NamePath, bind_or_delete, must_be_free},
    session::Session,
    term::{Table, count},
};

#[derive(Subcommand)]
pub enum CtxCommand {
    New(CtxNewArgs),
    /// List the contexts of a pool
    #[command(after_help = "EXAMPLES\n  twz ctx ls")]
    Ls,
    /// Say everything about a context
    #[command(after_help = "EXAMPLES\n  twz ctx show /contexts/web")]
    Show {
        /// The context
        context: String,
    },
    Set(CtxSetArgs),
    Mask(CtxMaskArgs),
    /// Have a context read anew, so that what was changed counts
    ///
    /// Every command that changes a context does this by itself. What it no longer
    /// allows is out of everybody's reach when this returns.
    #[command(after_help = "EXAMPLES\n  twz ctx load /contexts/web")]
    Load {
        /// The context
        context: String,
    },
    /// Take away what can never hold again, and move the rest together
    #[command(after_help = "EXAMPLES\n  twz ctx compact /contexts/web")]
    Compact {
        /// The context
        context: String,
    },
}

/// Make a context and print its id
///
/// A program that acts in it has what objects grant to everybody, as far as the
/// context's mask leaves it, and what was granted to the context. With an owner, only
/// who has the owner's key is attached to it. Grants are signed, so that whoever
/// may write to a context gains nothing; but masks are not: to keep them, leave
/// 'w' out of --rights and grant it to a context of your own first.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz ctx new --owner /keys/web --name /contexts/web
  twz ctx new --owner /keys/web --mask r --flag confined")]
pub struct CtxNewArgs {
    /// The key that speaks for it
    #[arg(long, value_name = "KEY")]
    owner: Option<String>,
    /// Bind this name to it
    #[arg(long, value_name = "PATH")]
    name: Option<NamePath>,
    /// What it leaves of rights that everybody has
    #[arg(long, value_parser = parse_rights, allow_hyphen_values = true, default_value = "rwxudg")]
    mask: Rights,
    /// What it is like; may be given twice
    #[arg(long = "flag", value_enum)]
    flags: Vec<Flag>,
    /// What everybody may do with the context itself: u to attach to it, w to change it,
    /// masks too [default: rw, and with no owner u and d as well]
    #[arg(long, value_parser = parse_rights, allow_hyphen_values = true)]
    rights: Option<Rights>,
}

/// Change what a context says of itself
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz ctx set /contexts/web --mask r
  twz ctx set /contexts/web --no-flags")]
pub struct CtxSetArgs {
    /// The context
    context: String,
    /// What it leaves of rights that everybody has
    #[arg(long, value_parser = parse_rights, allow_hyphen_values = true)]
    mask: Option<Rights>,
    /// What it is like, in place of what it was; may be given twice
    #[arg(long = "flag", value_enum)]
    flags: Vec<Flag>,
    /// It is like nothing in particular
    #[arg(long, conflicts_with = "flags")]
    no_flags: bool,
}

/// Say what a context leaves of one object's default rights
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz ctx mask /contexts/web /ledger -
  twz ctx mask /contexts/web /ledger --clear")]
pub struct CtxMaskArgs {
    /// The context
    context: String,
    /// The object
    object: String,
    /// What is left of them
    #[arg(value_parser = parse_rights, allow_hyphen_values = true, required_unless_present = "clear")]
    rights: Option<Rights>,
    /// Leave it to the context's own mask again
    #[arg(long, conflicts_with = "rights")]
    clear: bool,
}

/// What a context is like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Flag {
    /// Who is attached stays attached
    Undetachable,
    /// It is left through a gate, or not at all
    Confined,
}

fn bits(flags: &[Flag]) -> u32 {
    flags.iter().fold(0, |all, flag| {
        all | match flag {
            Flag::Undetachable => context_flags::UNDETACHABLE,
            Flag::Confined => context_flags::CONFINED,
        }
    })
}

impl CtxCommand {
    pub fn run(&self, session: &mut Session) -> Outcome {
        match self {
            Self::New(args) => args.run(session),
            Self::Ls => list(session),
            Self::Show { context } => show(session, context),
            Self::Set(args) => args.run(session),
            Self::Mask(args) => args.run(session),
            Self::Load { context } => change(session, context, "loaded", |_| Ok(())),
            Self::Compact { context } => {
                change(session, context, "compacted", |context| context.compact().map(|_| ()))
            }
        }
    }
}

/// The context that is named.
pub fn named<'a>(pool: &'a dyn Backend, text: &str) -> Outcome<Context<'a>> {
    let id = find::object(pool, text)?;
    match pool.stat(id)?.kind {
        kind::CONTEXT => Ok(Context::open(pool, id)?),
        other => Err(Fail::no(
            format!("{id} is no security context: it is of kind {}", kind_name(other)),
            "'twz ctx ls' lists those there are",
        )),
    }
}

/// Changes a context and has it loaded.
fn change(
    session: &mut Session,
    context: &str,
    done: &'static str,
    change: impl FnOnce(&Context<'_>) -> twz::Result<()>,
) -> Outcome {
    let space = Space::on(session.open()?)?;
    let context = named(space.backend(), context)?;
    change(&context)?;
    loaded(session, &space, context.id(), done)
}

/// Has a context loaded that was changed, and says so.
pub fn loaded(session: &mut Session, space: &Space, id: ObjectId, done: &'static str) -> Outcome {
    let (holding, void) = space.load(id)?;
    let document =
        json::ContextChanged { id: id.to_string(), holding: Some(holding), void: Some(void), done };
    let grants = count(holding.into(), "grant");
    session.confirm(&document, &format!("{done}: {grants} that hold, and {void} that do not"))?;
    Ok(Exit::Done)
}

impl CtxNewArgs {
    fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        if let Some(name) = &self.name {
            must_be_free(&*pool, name)?;
        }
        let owner = match &self.owner {
            Some(key) => owner(&*pool, key)?,
            None => ObjectId::NULL,
        };
        let rights = self.rights.unwrap_or(match owner.is_null() {
            true => Rights::DEFAULT,
            false => Rights::READ | Rights::WRITE,
        });
        let policy = Policy { mask: self.mask, flags: bits(&self.flags) };
        let context = Context::create(&*pool, &NewContext { owner, policy, rights })?;
        if let Some(name) = &self.name {
            bind_or_delete(&*pool, name, context.id())?;
        }
        pool.sync(context.id())?;
        let document = describe(&context)?;
        session.answer(&document, |out, _| writeln!(out, "{}", document.id))?;
        Ok(Exit::Done)
    }
}

/// The key that an object shall have as its owner.
pub fn owner(pool: &dyn Backend, key: &str) -> Outcome<ObjectId> {
    let id = find::object(pool, key)?;
    match pool.stat(id)?.kind {
        kind::KEY => Ok(id),
        other => Err(Fail::no(
            format!("{id} is no key: it is of kind {}", kind_name(other)),
            "'twz key ls' lists those there are",
        )),
    }
}

impl CtxSetArgs {
    fn run(&self, session: &mut Session) -> Outcome {
        change(session, &self.context, "set", |context| {
            let old = context.policy()?;
            let flags = match self.no_flags || !self.flags.is_empty() {
                true => bits(&self.flags),
                false => old.flags,
            };
            context.set_policy(Policy { mask: self.mask.unwrap_or(old.mask), flags })
        })
    }
}

impl CtxMaskArgs {
    fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let target = find::object(&*pool, &self.object)?;
        drop(pool);
        change(session, &self.context, "masked", |context| match self.rights {
            Some(rights) => context.set_mask(target, rights),
            None => context.clear_mask(target).map(|_| ()),
        })
    }
}

fn describe(context: &Context<'_>) -> twz::Result<json::Context> {
    let pool = context.pool();
    let (policy, stat) = (context.policy()?, pool.stat(context.id())?);
    let masks = context.masks()?.into_iter().map(|entry| json::Mask {
        target: entry.record.target.to_string(),
        rights: Rights(entry.record.rights).to_string(),
    });
    let flag = |bit, word| (policy.flags & bit != 0).then_some(word);
    let flags = [
        flag(context_flags::UNDETACHABLE, "undetachable"),
        flag(context_flags::CONFINED, "confined"),
    ];
    let owner = stat.identity.owner;
    Ok(json::Context {
        id: context.id().to_string(),
        owner: (!owner.is_null()).then(|| owner.to_string()),
        mask: policy.mask.to_string(),
        flags: flags.into_iter().flatten().collect(),
        rights: Rights(stat.identity.default_rights).to_string(),
        epoch: stat.epoch,
        grants: context.grants()?.len() as u64,
        masks: masks.collect(),
    })
}

fn list(session: &mut Session) -> Outcome {
    let pool = session.open()?;
    let mut document = json::Contexts { contexts: Vec::new(), damaged: Vec::new() };
    Context::list(&*pool, &mut |context| {
        match describe(&context) {
            Ok(found) => document.contexts.push(found),
            Err(error) => document.damaged.push(format!("{}: {error}", context.id())),
        }
        Ok(())
    })?;
    session.answer(&document, |out, style| {
        let mut table = Table::new(&["CONTEXT", "MASK", "FLAGS", ">GRANTS", ">MASKS", "OWNER"]);
        for context in &document.contexts {
            table.row([
                context.id.clone(),
                context.mask.clone(),
                words(&context.flags),
                context.grants.to_string(),
                context.masks.len().to_string(),
                context.owner.clone().unwrap_or_else(|| "-".into()),
            ]);
        }
        table.write(out, style)?;
        for damaged in &document.damaged {
            writeln!(out, "{} {damaged}", style.bad("damaged:"))?;
        }
        Ok(())
    })?;
    Ok(if document.damaged.is_empty() { Exit::Done } else { Exit::Damaged })
}

fn words(flags: &[&str]) -> String {
    if flags.is_empty() { "-".into() } else { flags.join(",") }
}

fn show(session: &mut Session, context: &str) -> Outcome {
    let pool = session.open()?;
    let document = describe(&named(&*pool, context)?)?;
    session.answer(&document, |out, style| {
        let mut line = |what: &str, value: &str| {
            writeln!(out, "{} {value}", style.bold(&format!("{what:<8}")))
        };
        line("context", &document.id)?;
        line("owner", document.owner.as_deref().unwrap_or("nobody"))?;
        line("mask", &document.mask)?;
        line("flags", &words(&document.flags))?;
        line("rights", &document.rights)?;
        line("epoch", &document.epoch.to_string())?;
        line("grants", &document.grants.to_string())?;
        for mask in &document.masks {
            line("masked", &format!("{} {}", mask.rights, mask.target))?;
        }
        Ok(())
    })?;
    Ok(Exit::Done)
}

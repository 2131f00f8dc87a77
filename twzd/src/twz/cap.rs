// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz cap`: the grants that a context holds, as they lie in it. Giving them is
//! `grant.rs`'s.

use std::{io::Read as _, path::PathBuf};

use clap::{Args, Subcommand, ValueHint};
use twz::{
    Backend, ObjectId, Rights, Space,
    security::{Context, Flaw, Grant, digest, why},
};
use zerocopy::{FromBytes as _, IntoBytes as _};

use crate::{
    ctx::{loaded, named},
    exit::{Exit, Fail, Outcome},
    json,
    object::hex,
    session::Session,
    term::Table,
    when,
};

#[derive(Subcommand)]
pub enum CapCommand {
    /// List what a context holds, and what of it does not hold now
    #[command(after_help = "EXAMPLES\n  twz cap ls /contexts/web")]
    Ls {
        /// The context
        context: String,
    },
    /// Take a grant away from a context
    ///
    /// What was passed on from it holds no more, either, in contexts that are loaded
    /// after they lost it; 'twz revoke' takes back everywhere.
    #[command(after_help = "EXAMPLES\n  twz cap rm /contexts/web 3fd1")]
    Rm {
        /// The context
        context: String,
        /// The first digits of the grant's hash
        #[arg(value_parser = parse_hash)]
        hash: String,
    },
    Export(ExportArgs),
    Add(AddArgs),
}

/// Write a grant to a file, to be added to its context elsewhere
#[derive(Args)]
#[command(after_help = "EXAMPLES\n  twz cap export /contexts/web 3fd1 -o web.grant")]
pub struct ExportArgs {
    /// The context
    context: String,
    /// The first digits of the grant's hash
    #[arg(value_parser = parse_hash)]
    hash: String,
    /// The file; - is the standard output
    #[arg(long, short, value_name = "FILE", value_hint = ValueHint::FilePath, default_value = "-")]
    output: PathBuf,
}

/// Put a grant that was made elsewhere into its context
///
/// The owner of an object can sign a grant where the key is, and whoever may write
/// to the context adds it. It holds if it is rightly signed, whoever brings it.
#[derive(Args)]
#[command(after_help = "EXAMPLES\n  twz cap add /contexts/web web.grant")]
pub struct AddArgs {
    /// The context
    context: String,
    /// The file; - is the standard input
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

/// Reads the first digits of a hash.
pub fn parse_hash(text: &str) -> Result<String, String> {
    let right = (4..=64).contains(&text.len()) && text.bytes().all(|c| c.is_ascii_hexdigit());
    match right {
        true => Ok(text.to_ascii_lowercase()),
        false => Err("a hash is 64 hex digits, of which the first 4 or more will do".into()),
    }
}

/// The grant whose hash begins with these digits.
pub fn find(context: &Context<'_>, digits: &str) -> Outcome<([u8; 32], Grant)> {
    let all = context.grants()?.into_iter().map(|entry| (digest(&entry.record), entry.record));
    let mut found: Vec<_> = all.filter(|(hash, _)| hex(hash).starts_with(digits)).collect();
    match (found.pop(), found.len()) {
        (Some(only), 0) => Ok(only),
        (None, _) => Err(Fail::missing(
            format!("the context {} holds no grant '{digits}'", context.id()),
            "'twz cap ls' lists what it holds",
        )),
        (Some(_), more) => Err(Fail::usage(
            format!("'{digits}' is ambiguous: {} grants begin so", more + 1),
            "give more digits",
        )),
    }
}

/// The document for a grant, and if it was asked, whether it holds.
pub fn describe(grant: &Grant, holds: Option<Option<Flaw>>) -> json::Grant {
    let flaw = holds.flatten();
    let gate = &grant.gate;
    json::Grant {
        hash: hex(&digest(grant)),
        context: grant.accessor.to_string(),
        target: grant.target.to_string(),
        rights: Rights(grant.rights).to_string(),
        grantor: grant.is_delegation().then(|| grant.grantor.to_string()),
        parent: grant.is_delegation().then(|| hex(&grant.parent)),
        gate: (!gate.is_none()).then_some(json::Gate {
            offset: gate.offset,
            length: gate.length,
            align: gate.align,
        }),
        not_before: grant.not_before,
        expires: grant.expires,
        epoch: grant.epoch,
        holds: holds.map(|flaw| flaw.is_none()),
        rule: flaw.map(Flaw::rule),
        why: flaw.map(words),
    }
}

/// What is wrong, in words.
fn words(flaw: Flaw) -> &'static str {
    match flaw {
        Flaw::Shape => "it says what no grant can say",
        Flaw::Accessor => "it is for another context",
        Flaw::Target => "the object is not there",
        Flaw::Key => "the signer's key is not there, or is none",
        Flaw::Signature => "the signature is not the owner's",
        Flaw::NotYet => "it does not hold yet",
        Flaw::Expired => "its time is over",
        Flaw::Revoked => "it was revoked",
        Flaw::Parent => "what it comes from is not here",
        Flaw::MayNotDelegate => "the grantor may not pass it on",
        Flaw::Wider => "it is more than the grantor has",
        Flaw::WiderGate => "its gate is wider than the grantor's",
        Flaw::WiderTime => "it lasts longer than what the grantor has",
        Flaw::Chain => "too many links, or a context twice",
    }
}

/// How long a grant holds, in words.
pub fn times(grant: &json::Grant) -> String {
    match (grant.not_before, grant.expires) {
        (0, 0) => "always".into(),
        (from, 0) => format!("from {}", when::show(from)),
        (0, until) => format!("until {}", when::show(until)),
        (from, until) => format!("{} to {}", when::show(from), when::show(until)),
    }
}

/// Whether it holds, in words.
pub fn verdict(grant: &json::Grant) -> String {
    match (grant.rule, grant.why) {
        (Some(rule), Some(why)) => format!("no, {rule}: {why}"),
        _ if grant.holds == Some(true) => "yes".into(),
        _ => "-".into(),
    }
}

impl CapCommand {
    pub fn run(&self, session: &mut Session) -> Outcome {
        match self {
            Self::Ls { context } => list(session, context),
            Self::Rm { context, hash } => {
                let space = Space::on(session.open()?)?;
                let context = named(space.backend(), context)?;
                context.remove(&find(&context, hash)?.0)?;
                loaded(session, &space, context.id(), "removed")
            }
            Self::Export(args) => args.run(session),
            Self::Add(args) => args.run(session),
        }
    }
}

fn list(session: &mut Session, context: &str) -> Outcome {
    let pool = session.open()?;
    let context = named(&*pool, context)?;
    let (id, grants) = (context.id(), context.grants()?);
    let held = flaws(&*pool, id, grants.iter().map(|entry| entry.record.target))?;
    let describe = |grant: &Grant| {
        let found = held.iter().find(|(hash, _)| *hash == digest(grant));
        describe(grant, found.map(|(_, flaw)| *flaw))
    };
    let grants = grants.iter().map(|entry| describe(&entry.record)).collect();
    let document = json::Grants { context: id.to_string(), grants };
    session.answer(&document, |out, style| {
        let mut table = Table::new(&["GRANT", "RIGHTS", "OBJECT", ">EPOCH", "TIME", "HOLDS"]);
        for grant in &document.grants {
            table.row([
                grant.hash.chars().take(12).collect(),
                grant.rights.clone(),
                grant.target.clone(),
                grant.epoch.to_string(),
                times(grant),
                verdict(grant),
            ]);
        }
        table.write(out, style)
    })?;
    Ok(Exit::Done)
}

/// Which of a context's grants on these objects hold, by hash.
fn flaws(
    pool: &dyn Backend,
    context: ObjectId,
    targets: impl Iterator<Item = ObjectId>,
) -> Outcome<Vec<([u8; 32], Option<Flaw>)>> {
    let mut targets: Vec<_> = targets.collect();
    targets.sort_unstable_by_key(|id| id.as_u128());
    targets.dedup();
    let mut found = Vec::new();
    for target in targets {
        match why(pool, context, target) {
            Ok(why) => found.extend(why.grants.iter().map(|link| (link.hash, link.flaw))),
            // Nothing is known of what is not there, but that it is not.
            Err(twz::Error::NoObject(_)) => {
                let all = Context::open(pool, context)?.grants()?;
                let its = all.iter().filter(|entry| entry.record.target == target);
                found.extend(its.map(|entry| (digest(&entry.record), Some(Flaw::Target))));
            }
            Err(error) => return Err(error.into()),
        }
    }
    Ok(found)
}

impl ExportArgs {
    fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let context = named(&*pool, &self.context)?;
        let (_, grant) = find(&context, &self.hash)?;
        match self.output.as_os_str() == "-" {
            true => session.raw().write_all(grant.as_bytes()).map_err(Fail::stdout)?,
            false => std::fs::write(&self.output, grant.as_bytes())
                .map_err(Fail::file("write", &self.output))?,
        }
        Ok(Exit::Done)
    }
}

impl AddArgs {
    fn run(&self, session: &mut Session) -> Outcome {
        let mut bytes = Vec::new();
        let most = size_of::<Grant>() as u64 + 1;
        let read = match self.file.as_os_str() == "-" {
            true => std::io::stdin().lock().take(most).read_to_end(&mut bytes),
            false => std::fs::File::open(&self.file)
                .and_then(|file| file.take(most).read_to_end(&mut bytes)),
        };
        read.map_err(Fail::file("read", &self.file))?;
        let grant = Grant::read_from_bytes(&bytes).ok().filter(|grant| grant.check().is_ok());
        let grant = grant.ok_or_else(|| {
            Fail::no(format!("{} is no grant", self.file.display()), "'twz cap export' writes one")
        })?;
        let space = Space::on(session.open()?)?;
        let context = named(space.backend(), &self.context)?;
        if context.grants()?.iter().any(|entry| entry.record == grant) {
            return Err(Fail::no("the context holds that grant already", "nothing is to be done"));
        }
        context.add(&grant)?;
        loaded(session, &space, context.id(), "added")
    }
}

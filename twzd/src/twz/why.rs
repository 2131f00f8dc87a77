// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz why`: what a context allows on an object, link by link.

use clap::Args;
use twz::{
    ObjectId,
    security::{DEFAULT, Link, why},
};

use crate::{
    cap::{describe, times, verdict},
    exit::{Exit, Outcome},
    find, json,
    session::Session,
    term::Style,
};

/// Explain what a context allows on an object, link by link
///
/// The object's default rights as far as the context's mask leaves them, and every
/// grant with what it comes from; of one that does not hold, the rule that it
/// breaks. The exit code is 1 if nothing is allowed at all.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz why /contexts/web /ledger
  twz why default /ledger
  twz why /contexts/web /ledger --json | jq -r .allowed")]
pub struct WhyArgs {
    /// The context, or 'default'
    context: String,
    /// The object
    object: String,
}

impl WhyArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let context = match self.context.as_str() {
            "default" => DEFAULT,
            context => find::object(&*pool, context)?,
        };
        let object = find::object(&*pool, &self.object)?;
        let why = why(&*pool, context, object)?;
        let grants = why.grants.iter().map(|link| json::WhyGrant {
            grant: document(link),
            chain: link.chain.iter().map(document).collect(),
        });
        let document = json::Why {
            context: (context != ObjectId::NULL).then(|| context.to_string()),
            object: object.to_string(),
            allowed: why.allowed.to_string(),
            default: why.default.to_string(),
            mask: why.mask.to_string(),
            mask_record: why.mask_record,
            immutable: why.immutable,
            grants: grants.collect(),
        };
        session.answer(&document, |out, style| explain(&document, out, style))?;
        Ok(if why.allowed.is_empty() { Exit::No } else { Exit::Done })
    }
}

fn document(link: &Link) -> json::Grant {
    describe(&link.grant, Some(link.flaw))
}

fn explain(why: &json::Why, out: &mut dyn std::io::Write, style: Style) -> std::io::Result<()> {
    let mut line =
        |what: &str, text: String| writeln!(out, "{} {text}", style.bold(&format!("{what:<8}")));
    line("allowed", why.allowed.clone())?;
    line("default", format!("{}  what the object grants to everybody", why.default))?;
    let whose = if why.mask_record { "for this object" } else { "for all objects" };
    line("mask", format!("{}  what the context leaves of that, {whose}", why.mask))?;
    if why.immutable {
        line("never w", "its data never change".into())?;
    }
    // Those of other contexts are shown where one of this comes from them.
    let own = why.grants.iter().filter(|one| why.context.as_ref() == Some(&one.grant.context));
    for WhyGrant { grant, chain } in own {
        line("grant", describe_grant(grant))?;
        for above in chain {
            line("", format!("  from {}", describe_grant(above)))?;
        }
    }
    Ok(())
}

use json::WhyGrant;

fn describe_grant(grant: &json::Grant) -> String {
    let hash: String = grant.hash.chars().take(12).collect();
    let by = match &grant.grantor {
        Some(grantor) => format!("passed on by {grantor}"),
        None => "from the owner".into(),
    };
    let gate = grant.gate.as_ref().map_or(String::new(), |gate| {
        format!(", entered at {:#x} + {} by {}", gate.offset, gate.length, gate.align)
    });
    let holds = verdict(grant);
    format!("{}  {hash} {by}, {}{gate}; holds: {holds}", grant.rights, times(grant))
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Giving rights and taking them back: `twz grant`, `twz delegate`, `twz revoke`.
//! What was given is `cap.rs`'s.

use clap::Args;
use twz::{
    Backend, Rights, Space,
    security::{Context, Gate, Grant, Terms},
};
use twzd::Ask;

use crate::{
    cap::{describe, parse_hash},
    ctx::named,
    daemon::field,
    exit::{Exit, Fail, Outcome},
    find, json,
    key::Signer,
    object::parse_rights,
    session::Session,
    size, when,
};

/// What is given.
#[derive(Args)]
pub struct What {
    /// The object
    object: String,
    /// The rights, out of rwxudg
    #[arg(value_parser = parse_rights)]
    rights: Rights,
    /// Code in it may be entered here only: the slot offset, how many bytes from there,
    /// and what the distance is a multiple of
    #[arg(long, value_name = "OFFSET:LENGTH:ALIGN", value_parser = parse_gate)]
    gate: Option<Gate>,
    /// From when it holds
    #[arg(long, value_name = "INSTANT", value_parser = when::parse, help = format!("From when it holds: {}", when::FORMS))]
    from: Option<u64>,
    /// Until when
    #[arg(long, value_name = "INSTANT", value_parser = when::parse, help = "Until when, in the same forms [default: for good]")]
    until: Option<u64>,
}

/// Give a context rights on an object
///
/// The key is that of the object's owner. Who acts in the context has the rights as
/// soon as this returns.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz grant /contexts/web /ledger rw --key /keys/web
  twz grant /contexts/web /ledger r --until +8h --key-file ~/.web.key
  twz grant /contexts/web /code rx --gate 0x1000:64:16 --key /keys/web")]
pub struct GrantArgs {
    /// The context
    context: String,
    #[command(flatten)]
    what: What,
    #[command(flatten)]
    signer: Signer,
}

/// Pass rights on from one context to another
///
/// The first context holds them with 'g', the right to pass them on; the key is that of
/// its owner. What is passed on is no more than what there was: not more rights, no
/// longer, no wider gate.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz delegate /contexts/web /contexts/logger /ledger r --key /keys/web")]
pub struct DelegateArgs {
    /// The context that has them
    from_context: String,
    /// The context that gets them
    to_context: String,
    #[command(flatten)]
    what: What,
    /// Pass on this grant, of which the first digits of the hash will do [default: the
    /// first that it can be passed on from]
    #[arg(long, value_name = "HASH", value_parser = parse_hash, conflicts_with = "host_key")]
    parent: Option<String>,
    #[command(flatten)]
    signer: Signer,
}

/// Take back every grant on an object, or all that a context has passed on
///
/// The object's epoch is raised: what was granted in an earlier one is void, for good,
/// before this returns. To take back one grant, use 'twz cap rm'.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz revoke /ledger --key /keys/web")]
pub struct RevokeArgs {
    /// The object or the context
    object: String,
    /// The new epoch [default: one more than it is]
    #[arg(long)]
    epoch: Option<u64>,
    #[command(flatten)]
    signer: Signer,
}

fn parse_gate(text: &str) -> Result<Gate, String> {
    let mut parts = text.split(':').map(number);
    let gate = match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(Ok(offset)), Some(Ok(length)), Some(Ok(align)), None) => {
            Gate { offset, length, align }
        }
        _ => return Err("a gate is OFFSET:LENGTH:ALIGN, as in 0x1000:64:16".into()),
    };
    match gate.check() && !gate.is_none() {
        true => Ok(gate),
        false => Err("a gate lies in the object's data, from 0x1000 on, and is aligned to a \
                      power of two"
            .into()),
    }
}

fn number(text: &str) -> Result<u64, String> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).map_err(|error| error.to_string()),
        None => size::parse(text),
    }
}

impl What {
    /// The same for the daemon.
    fn asked(&self, pool: &dyn Backend) -> Outcome<twzd::Terms> {
        let terms = self.terms(pool)?;
        Ok(twzd::Terms {
            object: terms.target.to_string(),
            rights: terms.rights.to_string(),
            gate: self.gate.map(|gate| (gate.offset, gate.length, gate.align)),
            from: terms.not_before,
            until: terms.expires,
        })
    }

    fn terms(&self, pool: &dyn Backend) -> Outcome<Terms> {
        let target = find::object(pool, &self.object)?;
        if self.gate.is_some() && !self.rights.contains(Rights::EXEC) {
            return Err(Fail::usage(
                "a gate is for code: it takes the right 'x'",
                "add 'x' to the rights, or leave out --gate",
            ));
        }
        let (from, until) = (self.from.unwrap_or(0), self.until.unwrap_or(0));
        if until != 0 && until <= from {
            return Err(Fail::usage("it ends before it begins", "see --from and --until"));
        }
        let terms = Terms::new(target, self.rights).between(from, until);
        Ok(self.gate.map_or(terms, |gate| terms.through(gate)))
    }
}

impl GrantArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let space = Space::on(session.open()?)?;
        let pool = space.backend();
        let context = named(pool, &self.context)?;
        let grant = match self.signer.host()? {
            Some((key, mut client)) => {
                let (to, terms) = (context.id().to_string(), self.what.asked(pool)?);
                told(&context, &client.ask(Ask::Grant { context: to, terms, key })?)?
            }
            None => {
                let grant = context.grant(&self.what.terms(pool)?, &self.signer.key(pool)?)?;
                space.load(context.id())?;
                grant
            }
        };
        given(session, &grant, "granted")
    }
}

impl DelegateArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let space = Space::on(session.open()?)?;
        let pool = space.backend();
        let from = named(pool, &self.from_context)?;
        let to = named(pool, &self.to_context)?;
        let parent = match &self.parent {
            Some(digits) => Some(crate::cap::find(&from, digits)?.0),
            None => None,
        };
        let grant = match self.signer.host()? {
            Some((key, mut client)) => {
                let terms = self.what.asked(pool)?;
                let (from, of) = (from.id().to_string(), to.id().to_string());
                told(&to, &client.ask(Ask::Delegate { from, to: of, terms, key })?)?
            }
            None => {
                let key = self.signer.key(pool)?;
                let grant = from.delegate(&to, &self.what.terms(pool)?, parent, &key)?;
                space.load(to.id())?;
                grant
            }
        };
        given(session, &grant, "passed on")
    }
}

/// The grant that the daemon says it made.
fn told(context: &Context<'_>, answer: &serde_json::Value) -> Outcome<Grant> {
    crate::cap::find(context, &field(answer, "grant")).map(|(_, grant)| grant)
}

fn given(session: &mut Session, grant: &Grant, how: &str) -> Outcome {
    let document = describe(grant, None);
    let sentence = format!("{how}: {} on {}", document.rights, document.target);
    session.confirm(&document, &sentence)?;
    Ok(Exit::Done)
}

impl RevokeArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let space = Space::on(session.open()?)?;
        let pool = space.backend();
        let id = find::object(pool, &self.object)?;
        let now = pool.stat(id)?.epoch;
        let epoch = self.epoch.unwrap_or(now.saturating_add(1));
        if epoch <= now {
            return Err(Fail::usage(
                format!("it is in epoch {now} already"),
                "epochs only grow: leave --epoch out, or say a higher one",
            ));
        }
        match self.signer.host()? {
            Some((key, mut client)) => {
                if self.epoch.is_some_and(|epoch| epoch != now + 1) {
                    return Err(Fail::usage("twzd takes the next epoch", "leave --epoch out"));
                }
                client.ask(Ask::Revoke { object: id.to_string(), key })?;
            }
            None => space.revoke(id, epoch, &self.signer.key(pool)?)?,
        }
        let document = json::Revoked { object: id.to_string(), epoch };
        let sentence = format!("every grant on {id} before epoch {epoch} is void");
        session.confirm(&document, &sentence)?;
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gates_are_read() {
        let gate = Gate { offset: 0x1000, length: 64, align: 16 };
        assert_eq!(parse_gate("0x1000:64:16"), Ok(gate));
        assert_eq!(parse_gate("4K:64:16"), Ok(gate));
        for text in ["", "4096", "4096:64", "4096:64:3", "0:64:16", "4096:0:16", "4096:64:16:1"] {
            assert!(parse_gate(text).is_err(), "{text}");
        }
    }
}

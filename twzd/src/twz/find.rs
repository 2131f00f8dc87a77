// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which object is meant: an id, the first digits of one, or a name.

use twz::{Backend, Binding, ObjectId};

use crate::{
    exit::{Fail, Outcome},
    paths::NamePath,
};

/// Digits that a prefix must have, so that a slip of the finger finds nothing.
const MIN_PREFIX: usize = 4;

/// How many candidates an ambiguous prefix is explained with.
const SHOWN: usize = 4;

/// The object that `text` means. A whole id is taken as it is, whether or not
/// there is such an object: that is for the caller to find out.
pub fn object(pool: &dyn Backend, text: &str) -> Outcome<ObjectId> {
    let hex = !text.is_empty() && text.bytes().all(|c| c.is_ascii_hexdigit());
    if let Ok(id) = text.parse::<ObjectId>() {
        return Ok(id);
    }
    let path: NamePath = text.parse().map_err(|why: String| {
        Fail::usage(
            format!("'{text}' is no object: {why}"),
            "give an id, the first digits of one, or a name",
        )
    })?;
    if !hex {
        return match lookup(pool, &path)? {
            Some(id) => Ok(id),
            None => Err(twz::Error::NoName(path.to_string()).into()),
        };
    }
    let candidates = match text.len() >= MIN_PREFIX {
        true => with_prefix(pool, text)?,
        false => Vec::new(),
    };
    let named = lookup(pool, &path)?;
    match (candidates.as_slice(), named) {
        ([], Some(id)) => Ok(id),
        ([id], None) => Ok(*id),
        ([id], Some(same)) if *id == same => Ok(same),
        ([], None) if text.len() < MIN_PREFIX => Err(Fail::usage(
            format!("'{text}' is too short for an id, and no name"),
            format!("give at least {MIN_PREFIX} digits of the id; 'twz ls' shows the ids"),
        )),
        ([], None) => Err(Fail::missing(
            format!("no object's id begins with '{text}', and no name is '{path}'"),
            "'twz ls' lists the objects, 'twz name ls -R' the names",
        )),
        (_, Some(_)) => Err(Fail::usage(
            format!("'{text}' is a name, and the beginning of an id"),
            format!("write '{path}' for the name, or more digits of the id"),
        )),
        (several, None) => Err(Fail::usage(
            format!("'{text}' is ambiguous: {}", listed(several)),
            "give more digits of the id",
        )),
    }
}

/// What a name is bound to; nothing if there is no such name.
fn lookup(pool: &dyn Backend, path: &NamePath) -> Outcome<Option<ObjectId>> {
    match pool.lookup(path.as_str()) {
        Ok(Binding::Object(id)) => Ok(Some(id)),
        Ok(Binding::Directory) => Err(Fail::usage(
            format!("'{path}' is a directory of names, and no object"),
            format!("give a name in it; 'twz name ls {path}' lists them"),
        )),
        Err(twz::Error::NoName(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

fn with_prefix(pool: &dyn Backend, prefix: &str) -> Outcome<Vec<ObjectId>> {
    let prefix = prefix.to_ascii_lowercase();
    let mut found = Vec::new();
    pool.list(&mut |id| {
        if id.to_string().starts_with(&prefix) {
            found.push(id);
        }
        Ok(())
    })?;
    found.sort();
    Ok(found)
}

fn listed(ids: &[ObjectId]) -> String {
    let mut text: Vec<String> = ids.iter().take(SHOWN).map(ObjectId::to_string).collect();
    if ids.len() > SHOWN {
        text.push(format!("and {} more", ids.len() - SHOWN));
    }
    text.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn candidates_are_not_all_shown() {
        let ids: Vec<ObjectId> = (1..=6).map(|n| ObjectId::from_u128(1 << 64 | n)).collect();
        assert_eq!(listed(&ids[..2]).matches(", ").count(), 1);
        assert!(listed(&ids).ends_with("and 2 more"));
    }
}

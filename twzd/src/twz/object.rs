// SPDX-License-Identifier: MIT OR Apache-2.0
//! What an object is, in words.

use twz::{
    Backend, Joined, MAX_DATA, NewObject, ObjectId, ObjectStat, Rights, flags, kind,
    security::{DEFAULT, why},
};

use crate::{exit::Outcome, json, paths::NamePath};

/// The word for a kind.
pub fn kind_name(kind: u32) -> String {
    match kind {
        kind::BYTES => "bytes".into(),
        kind::TYPED => "typed".into(),
        kind::VIEW => "view".into(),
        kind::NAMES => "names".into(),
        kind::CONTEXT => "context".into(),
        kind::LOG => "log".into(),
        kind::THREAD => "thread".into(),
        kind::PROCESSES => "processes".into(),
        kind::KEY => "key".into(),
        kind::SECRET => "secret".into(),
        kind::PART => "part".into(),
        other => format!("kind-{other}"),
    }
}

/// Hex digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Bytes from hex digits, if they are so many.
pub fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.len() == 2 * N && text.bytes().all(|c| c.is_ascii_hexdigit());
    let mut bytes = [0; N];
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(text.get(at..at + 2).filter(|_| digits)?, 16).ok()?;
    }
    Some(bytes)
}

/// Reads rights from the command line.
pub fn parse_rights(text: &str) -> Result<Rights, String> {
    Rights::parse(text).ok_or_else(|| {
        "rights are letters out of rwxudg (read, write, execute, use, delete, delegate), and '-'"
            .into()
    })
}

/// The document for an object.
pub fn describe(stat: &ObjectStat, names: Option<Vec<NamePath>>) -> json::Object {
    let identity = &stat.identity;
    let immutable = identity.flags & flags::IMMUTABLE != 0;
    json::Object {
        id: stat.id.to_string(),
        kind: kind_name(stat.kind),
        size: stat.size,
        stored: stat.stored,
        rights: Rights(identity.default_rights).to_string(),
        flags: if immutable { vec!["immutable"] } else { Vec::new() },
        fingerprint: (stat.fingerprint != 0).then(|| format!("{:016x}", stat.fingerprint)),
        owner: (identity.owner != ObjectId::NULL).then(|| identity.owner.to_string()),
        nonce: hex(&identity.nonce),
        content: immutable.then(|| hex(&identity.content)),
        name_count: stat.names,
        length: None,
        parts: None,
        names: names.map(|names| names.iter().map(|name| name.as_str().into()).collect()),
    }
}

/// The document for an object, with what it is as a file where it is several.
pub fn describe_file(
    pool: &dyn Backend,
    stat: &ObjectStat,
    names: Option<Vec<NamePath>>,
) -> twz::Result<json::Object> {
    let mut object = describe(stat, names);
    if stat.size == MAX_DATA {
        let file = Joined::find(pool, stat.id)?;
        if file.is_joined() {
            object.length = Some(file.length);
            object.parts = Some(file.objects.iter().skip(1).map(|id| id.to_string()).collect());
        }
    }
    Ok(object)
}

/// Refuses to change what may not be changed in the context that this acts in,
/// whatever the file modes let this user do.
pub fn must_be_writable(pool: &dyn Backend, stat: &ObjectStat) -> Outcome<()> {
    let (id, identity) = (stat.id, &stat.identity);
    if identity.flags & flags::IMMUTABLE != 0 {
        return Err(twz::Error::Immutable(id).into());
    }
    let allowed = match pool.contexts() {
        Ok(state) if state.active != DEFAULT => why(pool, state.active, id)?.allowed,
        // Nobody acts in an image.
        _ => Rights(identity.default_rights),
    };
    match allowed.contains(Rights::WRITE) {
        true => Ok(()),
        false => Err(twz::Error::denied(id, Rights::WRITE).into()),
    }
}

/// What a copy of an object shall be: the same, or an immutable one. It is
/// nobody's: whoever copies an object is not its owner.
pub fn copy_of(stat: &ObjectStat, immutable: bool) -> NewObject {
    let rights = Rights(stat.identity.default_rights);
    NewObject {
        flags: if immutable { flags::IMMUTABLE } else { 0 },
        // Nobody can write to it, so it grants nobody to.
        default_rights: if immutable { rights.without(Rights::WRITE) } else { rights },
        kind: stat.kind,
        fingerprint: stat.fingerprint,
        size: stat.size,
        ..NewObject::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_have_words() {
        assert_eq!(kind_name(kind::TYPED), "typed");
        assert_eq!(kind_name(77), "kind-77");
    }

    #[test]
    fn rights_are_read() {
        assert_eq!(parse_rights("rw-ud-"), Ok(Rights::DEFAULT));
        assert_eq!(parse_rights("r"), Ok(Rights::READ));
        assert!(parse_rights("rwz").is_err());
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The configuration file: where the daemon listens, and which users may have it
//! use which of the host's keys. Without one, root and the daemon's own user may
//! do everything, and nobody else anything but ask how it is.

use std::{collections::BTreeSet, fs, io, path::Path};

use nix::unistd::{Gid, Group, Uid, User};
use serde::Deserialize;

/// What the file says.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default, rename_all = "kebab-case")]
pub struct Config {
    /// Bytes of the audit log after which it is put aside, and the one before it forgotten.
    pub audit_limit: Option<u64>,
    /// Who may do what.
    allow: Vec<Allow>,
}

/// One permission.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Allow {
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    groups: Vec<String>,
    /// The host's keys that may be used.
    #[serde(default)]
    keys: Vec<String>,
    /// The words of [`twzd::Ask::needs`], or "all".
    may: Vec<String>,
}

/// Every word that `may` can have.
const WORDS: [&str; 9] =
    ["new-key", "new-context", "grant", "delegate", "remove", "mask", "revoke", "attach", "all"];

/// Who is at the other end of a connection.
#[derive(Clone, Debug)]
pub struct Peer {
    pub uid: Uid,
    pub pid: i32,
    groups: BTreeSet<u32>,
    name: String,
}

impl Peer {
    /// The process with these credentials.
    pub fn new(uid: Uid, gid: Gid, pid: i32) -> Self {
        let user = User::from_uid(uid).ok().flatten();
        let mut groups = BTreeSet::from([gid.as_raw()]);
        if let Some(user) = &user {
            let name = std::ffi::CString::new(user.name.as_bytes()).unwrap_or_default();
            let more = nix::unistd::getgrouplist(&name, gid).unwrap_or_default();
            groups.extend(more.iter().map(|gid| gid.as_raw()));
        }
        let name = user.map_or_else(|| uid.to_string(), |user| user.name);
        Self { uid, pid, groups, name }
    }

    /// Its name, for people.
    pub fn name(&self) -> &str {
        &self.name
    }

    fn is(&self, allow: &Allow) -> bool {
        let in_group = |name: &String| {
            Group::from_name(name)
                .ok()
                .flatten()
                .is_some_and(|group| self.groups.contains(&group.gid.as_raw()))
        };
        allow.users.contains(&self.name) || allow.groups.iter().any(in_group)
    }
}

impl Config {
    /// Reads the file. That there is none is no error, unless it was asked for.
    pub fn read(path: &Path, asked: bool) -> Result<Self, String> {
        let text = match fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound && !asked => {
                return Ok(Self::default());
            }
            Err(error) => return Err(format!("cannot read {}: {error}", path.display())),
        };
        Self::parse(&text).map_err(|why| format!("{}: {why}", path.display()))
    }

    fn parse(text: &str) -> Result<Self, String> {
        let config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        for allow in &config.allow {
            if let Some(odd) = allow.may.iter().find(|word| !WORDS.contains(&word.as_str())) {
                return Err(format!("nobody may '{odd}': the words are {}", WORDS.join(", ")));
            }
            if allow.users.is_empty() && allow.groups.is_empty() {
                return Err("an [[allow]] names neither users nor groups".into());
            }
        }
        Ok(config)
    }

    /// Whether somebody may do this, with that key.
    pub fn allows(&self, peer: &Peer, word: &str, key: Option<&str>) -> bool {
        if peer.uid.is_root() || peer.uid == Uid::effective() {
            return true;
        }
        let its_key = |allow: &Allow| key.is_none_or(|key| allow.keys.iter().any(|own| own == key));
        let its_word = |allow: &Allow| allow.may.iter().any(|own| own == word || own == "all");
        matches!(word, "status" | "metrics" | "keys")
            || self.allow.iter().any(|allow| peer.is(allow) && its_word(allow) && its_key(allow))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn somebody() -> Peer {
        let groups = BTreeSet::from([61_000]);
        Peer { uid: Uid::from_raw(61_000), pid: 1, groups, name: "alice".into() }
    }

    #[test]
    fn nobody_may_anything_unless_it_is_said() {
        let peer = somebody();
        let none = Config::default();
        assert!(none.allows(&peer, "status", None));
        assert!(!none.allows(&peer, "new-key", None));
        assert!(!none.allows(&peer, "grant", Some("web")));
        let text = "[[allow]]\nusers = ['alice']\nkeys = ['web']\nmay = ['grant']\n";
        let some = Config::parse(text).unwrap();
        assert!(some.allows(&peer, "grant", Some("web")));
        assert!(!some.allows(&peer, "grant", Some("other")));
        assert!(!some.allows(&peer, "revoke", Some("web")));
        assert!(!some.allows(&Peer { name: "bob".into(), ..peer.clone() }, "grant", Some("web")));
        assert!(some.allows(&Peer { uid: Uid::from_raw(0), ..peer }, "revoke", Some("other")));
    }

    #[test]
    fn what_is_wrong_is_told() {
        for text in [
            "[[allow]]\nusers = ['a']\nmay = ['fly']",
            "[[allow]]\nmay = ['grant']",
            "[[allow]]\nusers = ['a']\nmay = ['grant']\ncolour = 'red'",
            "audit-limit = 'much'",
            "allow",
        ] {
            assert!(Config::parse(text).is_err(), "{text}");
        }
    }
}

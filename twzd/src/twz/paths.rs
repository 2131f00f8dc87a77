// SPDX-License-Identifier: MIT OR Apache-2.0
//! Paths of names: reading them from the command line, and walking the tree.

use std::{fmt, path::PathBuf, str::FromStr};

use twz::{Backend, Binding, ObjectId};

use crate::exit::{Fail, Outcome};

/// Longest component and longest path, in bytes, as the format has it.
const MAX_COMPONENT: usize = 255;
const MAX_PATH: usize = 4095;

/// A path of a name, from the root: `/lists/head`. The root itself is `/`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NamePath(String);

impl NamePath {
    /// The root.
    pub fn root() -> Self {
        Self("/".into())
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The path of `name` in this directory.
    pub fn join(&self, name: &str) -> Self {
        match self.0.as_str() {
            "/" => Self(format!("/{name}")),
            dir => Self(format!("{dir}/{name}")),
        }
    }

    /// The last component; none of the root.
    pub fn last(&self) -> Option<&str> {
        self.0.rsplit('/').next().filter(|last| !last.is_empty())
    }

    /// Every directory on the way, the topmost first, and the path itself.
    pub fn ancestors(&self) -> Vec<Self> {
        let mut at = Self::root();
        self.0
            .split('/')
            .filter(|part| !part.is_empty())
            .map(|part| {
                at = at.join(part);
                at.clone()
            })
            .collect()
    }

    /// Whether this lies below `other`.
    pub fn is_below(&self, other: &Self) -> bool {
        self.0.strip_prefix(&other.0).is_some_and(|rest| rest.starts_with('/'))
    }

    /// Whether a component of this begins with a dot that `dir`, above it, does not have.
    pub fn is_hidden_in(&self, dir: &Self) -> bool {
        let rest = self.0.strip_prefix(dir.0.trim_end_matches('/')).unwrap_or(&self.0);
        rest.split('/').any(|part| part.starts_with('.'))
    }
}

impl FromStr for NamePath {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("a name is empty; the root is /".into());
        }
        if text.len() > MAX_PATH {
            return Err(format!("a path has at most {MAX_PATH} bytes"));
        }
        let parts: Vec<&str> = text.split('/').filter(|part| !part.is_empty()).collect();
        for part in &parts {
            if matches!(*part, "." | "..") {
                return Err(
                    "'.' and '..' are not names; say the whole path, as in /lists/head".into()
                );
            }
            if part.len() > MAX_COMPONENT {
                return Err(format!(
                    "a name has at most {MAX_COMPONENT} bytes between two slashes"
                ));
            }
            if part.contains('\0') {
                return Err("a name cannot hold a NUL".into());
            }
        }
        Ok(Self(format!("/{}", parts.join("/"))))
    }
}

impl fmt::Display for NamePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&crate::term::printable(&self.0))
    }
}

/// The names in a directory, sorted; those below it too if `deep`.
pub fn list(pool: &dyn Backend, dir: &NamePath, deep: bool) -> Outcome<Vec<(NamePath, Binding)>> {
    let tree = real_tree(pool)?;
    let mut found = Vec::new();
    let mut todo = vec![dir.clone()];
    while let Some(dir) = todo.pop() {
        let from = found.len();
        pool.read_dir(dir.as_str(), &mut |name, binding| {
            found.push((dir.join(name), binding));
            Ok(())
        })?;
        // A symbolic link to a directory is a name, and not a way down: it may
        // lead back up.
        let is_link = |path: &NamePath| {
            tree.as_ref()
                .is_some_and(|tree| tree.join(path.as_str().trim_start_matches('/')).is_symlink())
        };
        let below = found
            .iter()
            .skip(from)
            .filter(|(path, binding)| deep && *binding == Binding::Directory && !is_link(path));
        todo.extend(below.map(|(path, _)| path.clone()));
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
    Ok(found)
}

/// Where the names are real directories, if they are.
fn real_tree(pool: &dyn Backend) -> Outcome<Option<PathBuf>> {
    let info = pool.info()?;
    Ok((info.home == "directory").then(|| info.path.join("names")))
}

/// The names that are bound to one object.
pub fn names_of(pool: &dyn Backend, id: ObjectId) -> Outcome<Vec<NamePath>> {
    let all = list(pool, &NamePath::root(), true)?;
    let own = all.into_iter().filter(|(_, binding)| *binding == Binding::Object(id));
    Ok(own.map(|(path, _)| path).collect())
}

/// Refuses a name that something is bound to, or that has no place, before any
/// work is done for it.
pub fn must_be_free(pool: &dyn Backend, path: &NamePath) -> Outcome<()> {
    if pool.lookup(path.as_str()).is_ok() {
        return Err(Fail::no(
            format!("the name '{path}' is taken"),
            "choose another, or rebind it afterwards with 'twz name bind --replace'",
        ));
    }
    let ancestors = path.ancestors();
    let dir = ancestors.len().checked_sub(2).and_then(|at| ancestors.get(at));
    match dir.map(|dir| pool.lookup(dir.as_str())) {
        Some(Err(twz::Error::NoName(missing))) => Err(no_place(twz::Error::NoName(missing), path)),
        _ => Ok(()),
    }
}

/// Where a name cannot be made because its directory is missing, says that.
pub fn no_place(error: twz::Error, path: &NamePath) -> Fail {
    match error {
        twz::Error::NoName(missing) => Fail::missing(
            format!("'{path}' has no place: there is no '{missing}'"),
            "'twz name mkdir -p' makes directories of names",
        ),
        other => other.into(),
    }
}

/// Binds a name to an object that was made for it, which goes again if that
/// cannot be done.
pub fn bind_or_delete(pool: &dyn Backend, path: &NamePath, id: ObjectId) -> Outcome<()> {
    pool.bind(path.as_str(), id, false).map_err(|error| {
        // What nobody may delete stays; why it has no name is what is told.
        let _ = pool.delete(id);
        no_place(error, path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> NamePath {
        text.parse().unwrap()
    }

    #[test]
    fn paths_are_read() {
        assert_eq!(path("lists/head").as_str(), "/lists/head");
        assert_eq!(path("//lists///head/").as_str(), "/lists/head");
        assert_eq!(path("/").as_str(), "/");
        assert_eq!(path("/a").join("b"), path("/a/b"));
        assert_eq!(path("/").join("b"), path("/b"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        let long = format!("/{}", "n".repeat(256));
        let deep = "/nn".repeat(1400);
        for bad in ["", "/a/../b", ".", "/a/./b", &long, &deep, "a\0b"] {
            assert!(bad.parse::<NamePath>().is_err(), "{bad}");
        }
        assert!("n".repeat(255).parse::<NamePath>().is_ok());
    }

    #[test]
    fn parts_of_a_path() {
        assert_eq!(path("/a/b").last(), Some("b"));
        assert_eq!(path("/").last(), None);
        assert_eq!(path("/a/b/c").ancestors(), [path("/a"), path("/a/b"), path("/a/b/c")]);
        assert_eq!(path("/").ancestors(), []);
        assert!(path("/a/b").is_below(&path("/a")));
        assert!(!path("/ab").is_below(&path("/a")));
        assert!(!path("/a").is_below(&path("/a")));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The namespace of a pool from its root down: [`each`] name once, directories
//! before what is in them.

use twz_abi::name::MAX_PATH;

use crate::{
    backend::{Backend, Binding},
    embedded,
    error::Result,
};

/// Visits every name. A symbolic link to a directory is no directory here: it
/// leads to names that have other paths, or round in a circle.
pub fn each(pool: &dyn Backend, visit: &mut dyn FnMut(&str, Binding) -> Result<()>) -> Result<()> {
    let info = pool.info()?;
    let is_link = |path: &str| info.home == "directory" && embedded::is_link(&info.path, path);
    let mut open = vec![String::new()];
    while let Some(dir) = open.pop() {
        // Visited after the listing: a visitor may use the pool.
        let mut found = Vec::new();
        pool.read_dir(&dir, &mut |name, binding| {
            let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
            found.push((path, binding));
            Ok(())
        })?;
        found.sort_by(|(a, _), (b, _)| a.cmp(b));
        for (path, binding) in found {
            if binding == Binding::Directory {
                if path.len() > MAX_PATH || is_link(&path) {
                    continue;
                }
                open.push(path.clone());
            }
            visit(&path, binding)?;
        }
    }
    Ok(())
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Unmodified programs, each in a short script that checks what it did: the functions
//! `quick_NAME` and `full_NAME` of `tests/posix/progs/*.sh`.

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::{Job, Scope};

pub fn jobs(scope: &Scope) -> Result<Vec<Job>, String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("progs");
    let fail = |error: std::io::Error| format!("{}: {error}", folder.display());
    let entries = fs::read_dir(&folder).map_err(fail)?;
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(fail)?;
    files.retain(|file| file.extension().is_some_and(|ext| ext == "sh"));
    files.sort();
    let mut jobs = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).map_err(fail)?;
        for function in functions(&text).filter(|name| !scope.quick || name.starts_with("quick_")) {
            let name = function.split_once('_').map_or(function, |(_, name)| name);
            let (file, function) = (file.clone(), function.to_owned());
            jobs.push(Job::single(name, move |room| {
                room.run("bash", [file.as_os_str(), function.as_ref()])
            }));
        }
    }
    Ok(jobs)
}

/// The programs that a script has.
fn functions(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter_map(|line| Some(line.split_once("() {")?.0))
        .filter(|name| name.starts_with("quick_") || name.starts_with("full_"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_are_found_by_their_names() {
        let text = "helper() {\n}\nquick_sed() {\n  x\n}\nfull_redis() { y; }\n";
        assert_eq!(functions(text).collect::<Vec<_>>(), ["quick_sed", "full_redis"]);
    }

    #[test]
    fn no_two_programs_have_one_name() {
        let scope = Scope { quick: false };
        let jobs = jobs(&scope).unwrap();
        let mut names: Vec<_> = jobs.iter().map(|job| &job.name).collect();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), jobs.len());
        assert!(names.len() > 50);
    }
}

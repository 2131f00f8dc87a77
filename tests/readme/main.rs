// SPDX-License-Identifier: MIT OR Apache-2.0
//! The README, taken at its word: its tour is typed into a shell, line by line.

use std::{env, fs, path::PathBuf, process::Command};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).parent().expect("tests/ is in the repository").into()
}

/// The blocks of the README that begin with ```LANGUAGE.
fn blocks(language: &str) -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).expect("there is a README");
    let fence = format!("```{language}\n");
    readme
        .split(&fence)
        .skip(1)
        .filter_map(|rest| rest.split("\n```").next())
        .map(String::from)
        .collect()
}

/// A folder with the binaries under the names that the README uses.
fn binaries() -> PathBuf {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "-p", "twzd", "-p", "twz-examples", "--bins"])
        .current_dir(root())
        .status()
        .expect("cargo runs");
    assert!(built.success());
    // tests run as target/PROFILE/deps/NAME; the binaries are one up, in debug.
    let here = env::current_exe().expect("this test is a file");
    here.ancestors().nth(3).expect("a target folder").join("debug")
}

#[test]
fn the_tour_works_as_typed() {
    let work = tempfile::tempdir().unwrap();
    // One about objects, and in the same shell one about rights.
    let tours: [String; 2] = blocks("sh").try_into().expect("the README has two tours");
    let mut script = String::from("set -euo pipefail\n");
    for line in tours.iter().flat_map(|tour| tour.lines()) {
        // The one line that says where the build put things.
        match line.starts_with("export PATH=") {
            true => script.push_str("export PATH=$BINARIES:$PATH"),
            false => script.push_str(line),
        }
        script.push('\n');
    }
    let output = Command::new("bash")
        .arg("-c")
        .arg(&script)
        .current_dir(work.path())
        .env("BINARIES", binaries())
        .env("TMPDIR", work.path())
        .output()
        .unwrap();
    let (out, err) =
        (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{out}\n{err}");
    assert_eq!(out.matches("data outlives programs").count(), 4, "{out}");
    assert_eq!(out.matches("and so do pointers").count(), 2, "{out}");
    assert!(out.contains("Saturn"), "{out}");
    let rights: Vec<_> = out.lines().skip_while(|line| *line != "refused").collect();
    assert!(rights.contains(&"for few eyes"), "{out}");
    assert!(rights.iter().any(|line| line.starts_with("allowed  r-----")), "{out}");
    assert_eq!(rights.last(), Some(&"nothing is left"), "{out}");
}

#[test]
fn the_rust_example_is_the_one_in_the_library() {
    let [example] = blocks("rust").try_into().expect("the README has one Rust example");
    let crate_docs = fs::read_to_string(root().join("libtwz/src/lib.rs")).unwrap();
    for line in example.lines().map(str::trim) {
        let line = line.split("//").next().unwrap_or("").trim();
        // What differs is how the pool is opened.
        if line.len() > 3 && !line.contains("open_default") && !line.starts_with("use ") {
            assert!(crate_docs.contains(line), "the doc test in lib.rs does not have: {line}");
        }
    }
}

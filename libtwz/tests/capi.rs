// SPDX-License-Identifier: MIT OR Apache-2.0
//! The C interface from outside: the header by itself, the symbols of the
//! shared library, and C programs that are compiled and run against both.
//! Structs and numbers are compared in `src/capi/layout.rs`.

mod common;

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use twz::{EmbeddedPool, Field, InitOptions, Persist, Ptr, Space};

const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// A list node; capi.c has the same struct.
#[derive(Persist)]
#[repr(C)]
struct Node {
    value: Field<u64>,
    next: Ptr<Node>,
}

/// The shared library, as it was built together with this test.
fn library() -> PathBuf {
    let deps = std::env::current_exe().unwrap().parent().unwrap().to_path_buf();
    let library = deps.join("libtwz.so");
    assert!(library.exists(), "{} is not there", library.display());
    library
}

fn header() -> String {
    fs::read_to_string(Path::new(HERE).join("include/twz.h")).unwrap()
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (String::from_utf8_lossy(out), String::from_utf8_lossy(err));
    assert!(output.status.success(), "{command:?}: {}\n{out}{err}", output.status);
    output
}

/// A compiler with every warning denied.
fn compiler(name: &str, standard: &str) -> Command {
    let mut cc = Command::new(name);
    cc.arg(format!("-std={standard}")).args(["-Wall", "-Wextra", "-Werror", "-pedantic"]);
    cc.args(["-Wshadow", "-Wconversion", "-Wundef"]);
    cc.arg("-I").arg(Path::new(HERE).join("include"));
    cc
}

/// A C program, compiled and linked.
fn program(source: &Path, into: &Path) -> PathBuf {
    let made = into.join(source.file_stem().unwrap());
    let mut cc = compiler("cc", "c11");
    cc.arg(source).arg("-o").arg(&made).arg("-pthread").arg(library());
    run(&mut cc);
    made
}

fn command(program: &Path) -> Command {
    let mut command = Command::new(program);
    command.env("LD_LIBRARY_PATH", library().parent().unwrap()).env_remove("TWZ_BACKEND");
    command
}

/// The functions that the header declares.
fn declared(header: &str) -> BTreeSet<String> {
    let mut code = String::new();
    for (i, part) in header.split("/*").enumerate() {
        code.push_str(if i == 0 { part } else { part.split_once("*/").unwrap().1 });
    }
    let code: Vec<&str> = code.lines().filter(|line| !line.starts_with('#')).collect();
    let code = code.join("\n");
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices('(') {
        let before = &code[..at];
        let start = before.rfind(|c: char| !c.is_alphanumeric() && c != '_').map_or(0, |i| i + 1);
        if before[start..].starts_with("twz_") {
            found.insert(before[start..].to_owned());
        }
    }
    found
}

/// The functions that the library exports.
fn exported() -> BTreeSet<String> {
    let output = run(Command::new("nm").args(["-D", "--defined-only"]).arg(library()));
    let text = String::from_utf8(output.stdout).unwrap();
    let symbols = text.lines().filter_map(|line| line.split_whitespace().last());
    symbols.filter(|symbol| symbol.starts_with("twz_")).map(str::to_owned).collect()
}

#[test]
fn what_is_declared_is_exported_and_the_other_way_round() {
    embedded_only!("it needs a compiler");
    let (declared, exported) = (declared(&header()), exported());
    assert!(declared.len() > 40, "{declared:?}");
    let missing: Vec<_> = declared.difference(&exported).collect();
    assert!(missing.is_empty(), "in twz.h, and not in the library: {missing:?}");
    let secret: Vec<_> = exported.difference(&declared).collect();
    assert!(secret.is_empty(), "in the library, and not in twz.h: {secret:?}");
}

#[test]
fn comments_and_macros_declare_nothing() {
    embedded_only!("it needs a compiler");
    let text = "/* twz_a() */\n#define twz_b(x) (x)\nint twz_c(int);\nint twz_d(int,\n  int);\n";
    assert_eq!(declared(text), BTreeSet::from(["twz_c".into(), "twz_d".into()]));
}

#[test]
fn the_header_compiles_without_a_warning() {
    embedded_only!("it needs a compiler");
    let dir = tempfile::tempdir().unwrap();
    // Twice, and the macros used as a user would.
    let text = "#include <twz.h>\n#include <twz.h>\n\
                int check(twz_id a, twz_ptr p);\n\
                int check(twz_id a, twz_ptr p)\n\
                { return twz_id_is_null(a) || twz_id_equal(a, a) || twz_ptr_is_null(p)\n\
                || TWZ_MAX_DATA < TWZ_DATA_START; }\n";
    for (name, compiler_name, standards) in
        [("a.c", "cc", ["c11", "gnu17"]), ("a.cc", "c++", ["c++17", "gnu++20"])]
    {
        let source = dir.path().join(name);
        fs::write(&source, text).unwrap();
        for standard in standards {
            run(compiler(compiler_name, standard).arg("-fsyntax-only").arg(&source));
        }
    }
}

#[test]
fn a_c_program_calls_everything() {
    // A machine without a compiler may be given the program.
    if let Some(suite) = std::env::var_os("TWZ_CAPI_SUITE") {
        let pool = common::TempPool::new();
        run(Command::new(suite).env("TWZ_POOL", pool.path()));
        return;
    }
    embedded_only!("it needs a compiler, or the program that TWZ_CAPI_SUITE names");
    let dir = tempfile::tempdir().unwrap();
    let suite = program(&Path::new(HERE).join("tests/capi.c"), dir.path());
    run(command(&suite).env("TWZ_POOL", dir.path().join("pool")));
}

#[test]
fn a_c_program_acts_in_contexts() {
    embedded_only!("it needs a compiler");
    let dir = tempfile::tempdir().unwrap();
    let suite = program(&Path::new(HERE).join("tests/capi_security.c"), dir.path());
    run(command(&suite).env("TWZ_POOL", dir.path().join("pool")).current_dir(dir.path()));
}

/// So that the tests above mean what its name says.
#[test]
fn the_c_program_leaves_no_function_out() {
    embedded_only!("it needs a compiler");
    let read = |name| fs::read_to_string(Path::new(HERE).join(name)).unwrap();
    let suite = read("tests/capi.c") + &read("tests/capi_security.c");
    for function in declared(&header()) {
        assert!(suite.contains(&format!("{function}(")), "no C program calls {function}");
    }
}

#[test]
fn c_walks_what_rust_built_and_rust_what_c_built() {
    embedded_only!("it needs a compiler");
    let dir = tempfile::tempdir().unwrap();
    let suite = program(&Path::new(HERE).join("tests/capi.c"), dir.path());
    let pool = dir.path().join("pool");
    EmbeddedPool::init(&pool, &InitOptions::default()).unwrap();
    let space = Space::open(&pool).unwrap();
    let node = |value| Node { value: Field::new(value), next: Ptr::null() };
    let objects: Vec<_> = [10, 20, 30].map(|value| space.create(node(value)).unwrap()).into();
    for pair in objects.windows(2) {
        pair[0].root().next.store(pair[1].root()).unwrap();
    }
    space.bind("from-rust", objects[0].id()).unwrap();
    let mut walk = command(&suite);
    walk.arg("walk").arg(&pool).args(["from-rust", &Node::FINGERPRINT.to_string()]);
    assert_eq!(run(&mut walk).stdout, b"10\n20\n30\n");

    let mut build = command(&suite);
    build.arg("build").arg(&pool).args(["from-c", &Node::FINGERPRINT.to_string()]);
    run(build.args(["1", "2", "3", "4"]));
    let head = space.open_name::<Node>("from-c").unwrap();
    let mut values = vec![head.root().value.get()];
    let mut at = head.root();
    while let Some(next) = at.next.get().unwrap() {
        values.push(next.value.get());
        at = next;
    }
    assert_eq!(values, [1, 2, 3, 4]);
    // The heap that C made is one that Rust allocates from.
    assert_eq!(head.alloc(node(5)).unwrap().value.get(), 5);
}

#[test]
fn no_money_is_lost_in_the_example() {
    embedded_only!("it needs a compiler");
    let dir = tempfile::tempdir().unwrap();
    let tx = program(&Path::new(HERE).join("../examples/c/tx.c"), dir.path());
    let told = run(command(&tx).env("TWZ_POOL", dir.path().join("pool"))).stdout;
    let told = String::from_utf8(told).unwrap();
    assert_eq!(told, "mine 70, yours 30\n500 more: refused\nafter a kill: mine 69, yours 31\n");
}

#[test]
fn the_example_tells_its_story() {
    embedded_only!("it needs a compiler");
    let dir = tempfile::tempdir().unwrap();
    let list = program(&Path::new(HERE).join("../examples/c/list.c"), dir.path());
    // Where an arena goes follows from the process id, so now and then both
    // processes have the objects at the same addresses after all.
    let differed = (0..8).any(|i| {
        let pool = dir.path().join(format!("pool{i}"));
        let told = run(command(&list).env("TWZ_POOL", pool)).stdout;
        let told = String::from_utf8(told).unwrap();
        assert!(told.contains("11080000 people in all"), "{told}");
        let address = |line: &str| {
            let line = told.lines().find(|told| told.contains(line)).unwrap();
            let address = line.split("at 0x").nth(1).unwrap();
            address.split([' ', ',']).next().unwrap().to_owned()
        };
        address("for Oslo, here") != address("  Oslo, here")
    });
    assert!(differed, "the two processes had the objects at the same addresses, 8 times");
}

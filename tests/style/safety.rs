// SPDX-License-Identifier: MIT OR Apache-2.0
//! Where `unsafe` may stand, and what has to stand above it.

use std::collections::BTreeSet;

use crate::{Problem, enforce, lex, problem, tree::File};

/// The only places for `unsafe`, and why each is one. A path that ends in `/`
/// is a folder with all below it.
const UNSAFE_PLACES: [(&str, &str); 13] = [
    ("libtwz/src/raw/", "the library's one window on memory and system calls"),
    ("libtwz/src/capi/", "C calls it, and hands it raw pointers"),
    ("libtwz/src/persist.rs", "states the promise that `Persist` is, and for which types it holds"),
    ("libtwz/posix/src/raw/", "takes libc's place, and copies what a program points to"),
    ("libtwz/derive/src/", "writes the `unsafe impl` that it has proven"),
    ("kmod/sys/", "the module's one window on the kernel"),
    ("examples/unixkvs/src/map.rs", "maps files, as POSIX has it"),
    ("tests/bench/", "races raw pointers and calls PMDK"),
    ("tests/crash/src/step.rs", "watches every store of a run, by faults and single steps"),
    ("tests/trace/plugin/", "is called by QEMU, and calls it"),
    ("tests/vm/", "attacks a kernel"),
    ("libtwz/tests/", "pokes at memory to see it refused"),
    ("tests/src/bin/worker.rs", "pokes at memory to see it refused, in a process that may die"),
];

fn may_be_unsafe(path: &str) -> bool {
    let within = |place: &str| path == place || place.ends_with('/') && path.starts_with(place);
    UNSAFE_PLACES.iter().any(|(place, _)| within(place))
}

fn placement(path: &str, text: &str) -> Vec<Problem> {
    if may_be_unsafe(path) {
        return Vec::new();
    }
    let code = lex::code(text);
    lex::words(&code, "unsafe")
        .map(|at| {
            let advice = "no `unsafe` here: use the safe layer, or extend the one in libtwz/src/raw \
                          or kmod/sys (the places are listed in tests/style/safety.rs)";
            problem(lex::line_of(&code, at), advice)
        })
        .collect()
}

/// What an `unsafe` opens, and so what has to be written above it.
enum Opens {
    /// A block, an impl, an extern block: a proof.
    Proof,
    /// A function or a trait: what the caller has to see to.
    Contract,
    /// An attribute or a type: nothing.
    Nothing,
}

fn opens(after: &str) -> Opens {
    let after = after.trim_start();
    if after.starts_with('{') {
        return Opens::Proof;
    }
    // The ABI's name is a string, and so already blank.
    let mut words = after.split_whitespace();
    match (words.next().unwrap_or_default(), words.next().unwrap_or_default()) {
        (word, _) if word.starts_with("impl") => Opens::Proof,
        ("trait", _) | ("fn", _) => Opens::Contract,
        ("extern", "fn") => Opens::Contract,
        ("extern", next) if next.starts_with("fn(") => Opens::Nothing,
        ("extern", _) => Opens::Proof,
        _ => Opens::Nothing,
    }
}

/// The lines (0-based) that an attribute takes up.
fn attribute_lines(code: &str) -> BTreeSet<usize> {
    code.match_indices("#[")
        .flat_map(|(at, _)| {
            lex::line_of(code, at) - 1..lex::line_of(code, lex::bracket_end(code, at))
        })
        .collect()
}

/// The comment above the statement that line `line` (0-based) belongs to, past
/// attributes and the statement's own lines.
fn comment_above(
    text: &[&str],
    code: &[&str],
    attributes: &BTreeSet<usize>,
    line: usize,
) -> String {
    let mut comment = text[line].split_once("unsafe").map_or("", |(before, _)| before).to_owned();
    for at in (0..line).rev() {
        let (plain, bare) = (text[at].trim(), code[at].trim());
        let continues = !bare.is_empty() && !bare.ends_with([';', '{', '}', ',']);
        if attributes.contains(&at) {
            continue;
        } else if bare.is_empty() && !plain.is_empty() {
            comment.push_str(plain);
        } else if !continues || comment.contains("//") {
            break;
        }
    }
    comment
}

fn justification(text: &str) -> Vec<Problem> {
    let code = lex::code(text);
    let (lines, bare): (Vec<&str>, Vec<&str>) = (text.lines().collect(), code.lines().collect());
    let attributes = attribute_lines(&code);
    lex::words(&code, "unsafe")
        .filter_map(|at| {
            let line = lex::line_of(&code, at);
            let above = || comment_above(&lines, &bare, &attributes, line - 1);
            let advice = match opens(&code[at + "unsafe".len()..]) {
                Opens::Proof if !above().contains("SAFETY") => {
                    "say why this is sound in a `// SAFETY:` comment directly above"
                }
                Opens::Contract
                    if !(above().contains("# Safety") || above().contains("SAFETY")) =>
                {
                    "say what the caller must see to under `# Safety` in its doc comment"
                }
                _ => return None,
            };
            Some(problem(line, advice))
        })
        .collect()
}

/// What decides may not even be given an exempt place.
fn forbids_unsafe(text: &str) -> Vec<Problem> {
    if lex::code(text).lines().any(|line| line.trim() == "#![forbid(unsafe_code)]") {
        return Vec::new();
    }
    vec![problem(1, "add `#![forbid(unsafe_code)]`")]
}

#[test]
fn unsafe_stays_in_its_places() {
    enforce(File::is_rust, |file| placement(&file.path, &file.text));
}

#[test]
fn every_unsafe_is_justified() {
    enforce(File::is_rust, |file| justification(&file.text));
}

#[test]
fn what_decides_forbids_unsafe() {
    enforce(|file| file.path == "kmod/core/src/lib.rs", |file| forbids_unsafe(&file.text));
}

#[test]
fn a_misplaced_unsafe_is_found() {
    let text = "// unsafe\nfn a() {\n    unsafe { b() }\n}\n#![deny(unsafe_code)]\n";
    assert_eq!(placement("libtwz/src/ptr.rs", text)[0].line, 3);
    assert_eq!(placement("libtwz/src/ptr.rs", text).len(), 1);
    assert_eq!(placement("libtwz/src/raw/map.rs", text), []);
}

#[test]
fn an_unjustified_unsafe_is_found() {
    let bad = [
        "fn a() {\n    unsafe { b() }\n}",
        "// SAFETY: of another line.\nlet x = 1;\nlet y = unsafe { b() };",
        "// Because.\nunsafe impl Send for A {}",
        "// SAFETY: of the first.\nunsafe impl Send for A {}\nunsafe impl Sync for A {}",
        "/// Does a thing.\npub unsafe fn a() {}",
        "unsafe extern \"C\" { fn a(); }",
        "pub unsafe extern \"C\" fn a() {}",
    ];
    for text in bad {
        assert_eq!(justification(text).len(), 1, "{text}");
    }
    let good = [
        "// SAFETY: checked\n// above.\nlet x = unsafe { b() };",
        "// SAFETY: checked.\nlet x =\n    unsafe { b() };",
        "// SAFETY: nothing in it.\n#[cfg(a)]\nunsafe impl Send for A {}",
        "/// Does.\n///\n/// # Safety\n/// Mind it.\n#[inline]\npub unsafe fn a() {}",
        "/// # Safety\n/// Mind it.\n#[note(\n    a = \"b\",\n)]\nunsafe trait A {}",
        "#[unsafe(no_mangle)]\npub extern \"C\" fn a() {}\ntype F = unsafe extern \"C\" fn(u8);",
    ];
    for text in good {
        assert_eq!(justification(text), [], "{text}");
    }
}

#[test]
fn a_missing_forbid_is_found() {
    assert_eq!(forbids_unsafe("#![no_std]\n#![forbid(unsafe_code)]\n"), []);
    assert_eq!(forbids_unsafe("// #![forbid(unsafe_code)]\n").len(), 1);
}

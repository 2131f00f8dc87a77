// SPDX-License-Identifier: MIT OR Apache-2.0
//! Test: the structs and constants here are those of `twz.h`. What Rust says of
//! them becomes a list of assertions that a C and a C++ compiler check against
//! the header.

use std::{fmt::Write as _, fs, mem::offset_of, process::Command};

use twz_abi::{DATA_START, MAX_DATA, pointer::OFFSET_BITS};

use super::{names, resume, security, types};
use crate::{
    ObjectId, PtrBits, Rights, flags, kind,
    security::{MAX_ATTACHED, attach_flags, context_flags},
};

/// Size, alignment, and the offset and size of each field.
macro_rules! same {
    ($c:ident, $rust:ident, $c_name:literal, { $($field:ident),* $(,)? }) => {
        let (size, align) = (size_of::<$rust>(), align_of::<$rust>());
        for (what, value) in [("sizeof", size), ("alignof", align)] {
            writeln!($c, "static_assert({what}({}) == {value}, \"{what}\");", $c_name).unwrap();
        }
        let mut end = 0;
        $(
            let at = offset_of!($rust, $field);
            let len = {
                fn of<T, F>(_: fn(&T) -> &F) -> usize {
                    size_of::<F>()
                }
                of(|s: &$rust| &s.$field)
            };
            let field = stringify!($field);
            assert_eq!(at, end, "{} has a hole before {field}", $c_name);
            end = at + len;
            for (what, value) in [
                (format!("offsetof({}, {field})", $c_name), at),
                (format!("sizeof((({} *)0)->{field})", $c_name), len),
            ] {
                writeln!($c, "static_assert({what} == {value}, \"{field}\");").unwrap();
            }
        )*
        assert_eq!(end, size, "{} has a hole at its end", $c_name);
    };
}

fn assertions() -> String {
    let mut c = String::from(
        "#include <assert.h>\n#include <stdalign.h>\n#include <stddef.h>\n#include <twz.h>\n",
    );
    use resume::Lost;
    use security::{AttachedTo, Granted};
    use types::{New, Stat};
    same!(c, ObjectId, "twz_id", { lo, hi });
    same!(c, New, "struct twz_new", { size, root_size, fingerprint, owner, rights, flags, reserved });
    same!(c, Stat, "struct twz_stat", {
        id, owner, size, stored, names, fingerprint, kind, flags, rights, reserved,
    });
    same!(c, Lost, "struct twz_lost", { generation, mark, cause, reserved });
    same!(c, Granted, "struct twz_terms", {
        target, accessor, grantor, not_before, expires, gate_offset, gate_length, gate_align,
        rights, reserved,
    });
    same!(c, AttachedTo, "struct twz_attached", { active, all, count, flags });
    let version =
        |i: usize| -> u64 { env!("CARGO_PKG_VERSION").split('.').nth(i).unwrap().parse().unwrap() };
    let numbers = [
        ("sizeof(twz_ptr)", size_of::<PtrBits>() as u64),
        ("alignof(twz_ptr)", align_of::<PtrBits>() as u64),
        ("TWZ_PTR_OFFSET_MASK", (1 << OFFSET_BITS) - 1),
        ("twz_ptr_is_null(TWZ_PTR_OFFSET_MASK + 1)", 1),
        ("twz_ptr_is_null(TWZ_DATA_START)", 0),
        ("TWZ_VERSION_MAJOR", version(0)),
        ("TWZ_VERSION_MINOR", version(1)),
        ("TWZ_VERSION_PATCH", version(2)),
        ("TWZ_ABI_VERSION", types::ABI_VERSION as u64),
        ("TWZ_ID_TEXT", types::ID_TEXT as u64),
        ("TWZ_PROCESS", crate::tx::durability_of(crate::Durability::Process) as u64),
        ("TWZ_POWER", crate::tx::durability_of(crate::Durability::Power) as u64),
        ("TWZ_READ", Rights::READ.0 as u64),
        ("TWZ_WRITE", Rights::WRITE.0 as u64),
        ("TWZ_EXEC", Rights::EXEC.0 as u64),
        ("TWZ_USE", Rights::USE.0 as u64),
        ("TWZ_DELETE", Rights::DELETE.0 as u64),
        ("TWZ_DELEGATE", Rights::DELEGATE.0 as u64),
        ("TWZ_RIGHTS_DEFAULT", Rights::DEFAULT.0 as u64),
        ("TWZ_DATA_START", DATA_START),
        ("TWZ_MAX_DATA", MAX_DATA),
        ("TWZ_IMMUTABLE", flags::IMMUTABLE as u64),
        ("TWZ_KIND_BYTES", kind::BYTES as u64),
        ("TWZ_KIND_TYPED", kind::TYPED as u64),
        ("TWZ_KIND_VIEW", kind::VIEW as u64),
        ("TWZ_KIND_NAMES", kind::NAMES as u64),
        ("TWZ_KIND_CONTEXT", kind::CONTEXT as u64),
        ("TWZ_KIND_LOG", kind::LOG as u64),
        ("TWZ_KIND_THREAD", kind::THREAD as u64),
        ("TWZ_KIND_KEY", kind::KEY as u64),
        ("TWZ_KIND_SECRET", kind::SECRET as u64),
        ("TWZ_KIND_PART", kind::PART as u64),
        ("TWZ_CTX_UNDETACHABLE", context_flags::UNDETACHABLE as u64),
        ("TWZ_CTX_CONFINED", context_flags::CONFINED as u64),
        ("TWZ_CTX_SWITCH", attach_flags::SWITCH as u64),
        ("TWZ_CTX_CLOEXEC", attach_flags::CLOEXEC as u64),
        ("TWZ_CTX_MOST", MAX_ATTACHED as u64),
        ("TWZ_KIND_PROCESSES", kind::PROCESSES as u64),
        ("TWZ_REPLACE", names::REPLACE as u64),
        ("TWZ_PROCESS", crate::Durability::Process as u64),
        ("TWZ_POWER", crate::Durability::Power as u64),
        ("TWZ_LOST_POWER", resume::POWER as u64),
        ("TWZ_LOST_KILLED", resume::KILLED as u64),
    ];
    for (name, value) in numbers {
        writeln!(c, "static_assert({name} == {value}u, \"{name}\");").unwrap();
    }
    c
}

/// What the compiler says of a source, or nothing.
fn compile(compiler: &str, standard: &str, source: &str) -> String {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join(if standard.contains("++") { "a.cc" } else { "a.c" });
    fs::write(&file, source).unwrap();
    let done = Command::new(compiler)
        .arg(format!("-std={standard}"))
        .args(["-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I"])
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/include"))
        .arg(file)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    if done.status.success() { String::new() } else { format!("{said}\n({})", done.status) }
}

#[test]
fn c_and_rust_agree_on_every_byte_and_number() {
    crate::embedded_only!("it needs a compiler");
    let source = assertions();
    assert_eq!(compile("cc", "c11", &source), "");
    assert_eq!(compile("c++", "c++17", &source), "");
}

#[test]
fn a_disagreement_is_found() {
    crate::embedded_only!("it needs a compiler");
    let source =
        assertions().replace("sizeof(struct twz_stat) == 80", "sizeof(struct twz_stat) == 88");
    assert!(compile("cc", "c11", &source).contains("static assertion failed"));
}

/// Every number the header defines is one of those compared above.
#[test]
fn no_number_is_left_out() {
    let header = include_str!("../../include/twz.h");
    let compared = assertions();
    for line in header.lines() {
        let Some(rest) = line.strip_prefix("#define ") else { continue };
        let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        let is_number = name.starts_with("TWZ_") && rest[name.len()..].starts_with(' ');
        assert!(!is_number || compared.contains(&format!("({name} ==")), "{name}");
    }
}

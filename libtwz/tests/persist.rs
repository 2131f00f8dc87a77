// SPDX-License-Identifier: MIT OR Apache-2.0
//! Typed objects' compile-time gate, from outside: which layouts have which fingerprint, and what
//! the compiler tells someone whose type is refused.
//!
//! What the derive itself refuses, and in which words, is tested in `libtwz/derive`; that the
//! compiler refuses what the derive leaves to it, by the doctests of `twz::persist::refused`.

mod common;

use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::process::Command;
use std::sync::atomic::AtomicU64;

use twz::Persist;

#[derive(Persist)]
#[repr(C)]
struct Account {
    owner: u64,
    cents: i64,
    flags: u32,
    reserved: [u8; 4],
}

#[derive(Persist)]
#[repr(transparent)]
struct Kind(u32);

#[derive(Persist)]
#[repr(C)]
struct Empty;

#[derive(Persist)]
#[repr(C)]
struct Ring<T, const N: usize> {
    head: AtomicU64,
    slots: [T; N],
}

#[derive(Persist)]
#[repr(C, align(64))]
struct Line([f64; 8]);

/// Shaped like a pointer to `T`.
#[derive(Persist)]
#[repr(transparent)]
struct To<T>(u64, PhantomData<T>);

/// Its fingerprint needs, through `To`, only its own name.
#[derive(Persist)]
#[repr(C)]
struct Node<T> {
    next: To<Node<T>>,
    value: T,
}

/// Objects on media hold these numbers. If one changes, existing objects no longer open: undo the
/// change, do not edit the table.
#[test]
fn fingerprints_never_change() {
    let golden = [
        ("u8", u8::FINGERPRINT, 0xfadb_0c7e_eec7_342a),
        ("u64", u64::FINGERPRINT, 0x2b03_1052_fed1_09bb),
        ("()", <()>::FINGERPRINT, 0xf09a_4a73_9716_245d),
        ("[u32; 4]", <[u32; 4]>::FINGERPRINT, 0xecfc_1573_965c_6d67),
        ("Account", Account::FINGERPRINT, 0xb8f3_f11c_c800_2cec),
        ("Kind", Kind::FINGERPRINT, 0x46c6_7443_0f63_2092),
        ("Empty", Empty::FINGERPRINT, 0xe494_ae3b_35e1_dd10),
        ("Ring<Account, 4>", Ring::<Account, 4>::FINGERPRINT, 0x9c0b_0b5a_94aa_e451),
        ("Line", Line::FINGERPRINT, 0xbd8e_4170_dcbf_0412),
        ("Node<u64>", Node::<u64>::FINGERPRINT, 0x2038_a46d_647e_2dbb),
    ];
    for (name, now, _) in golden {
        println!("(\"{name}\", 0x{now:016x})");
    }
    for (name, now, then) in golden {
        assert_eq!(now, then, "{name}: now 0x{now:016x}, and on media 0x{then:016x}");
    }
}

/// One change per module to the `Account` above.
mod changed {
    macro_rules! account {
        ($name:ident: $($(#[$attr:meta])* $field:ident: $ty:ty),+) => {
            pub mod $name {
                #[derive(twz::Persist)]
                #[repr(C)]
                #[allow(dead_code)]
                pub struct Account { $($(#[$attr])* $field: $ty),+ }
            }
        };
    }
    account!(nothing: owner: u64, cents: i64, flags: u32, reserved: [u8; 4]);
    account!(a_field_renamed: holder: u64, cents: i64, flags: u32, reserved: [u8; 4]);
    account!(two_fields_swapped: cents: i64, owner: u64, flags: u32, reserved: [u8; 4]);
    account!(a_type_changed: owner: u64, cents: u64, flags: u32, reserved: [u8; 4]);
    account!(an_inner_type_changed: owner: u64, cents: i64, flags: u32, reserved: [i8; 4]);
    account!(a_field_split: owner: u64, cents: i64, flags: u32, reserved: [u8; 2], rest: [u8; 2]);
    account!(a_field_removed: owner: u64, cents: i64);
    account!(a_field_added: owner: u64, cents: i64, flags: u32, reserved: [u8; 4], more: u64);
    account!(a_field_kept:
        #[persist(name = "owner")] holder: u64, cents: i64, flags: u32, reserved: [u8; 4]);
}

#[derive(Persist)]
#[persist(name = "Account")]
#[repr(C)]
struct Renamed {
    owner: u64,
    cents: i64,
    flags: u32,
    reserved: [u8; 4],
}

#[derive(Persist)]
#[repr(C)]
struct OtherName {
    owner: u64,
    cents: i64,
    flags: u32,
    reserved: [u8; 4],
}

#[derive(Persist)]
#[persist(name = "Account")]
#[repr(C, align(32))]
struct Aligned {
    owner: u64,
    cents: i64,
    flags: u32,
    reserved: [u8; 12],
}

#[test]
fn any_change_changes_the_fingerprint() {
    let all = [
        ("Account", Account::FINGERPRINT),
        ("a field renamed", changed::a_field_renamed::Account::FINGERPRINT),
        ("two fields swapped", changed::two_fields_swapped::Account::FINGERPRINT),
        ("a type changed", changed::a_type_changed::Account::FINGERPRINT),
        ("an inner type changed", changed::an_inner_type_changed::Account::FINGERPRINT),
        ("a field split", changed::a_field_split::Account::FINGERPRINT),
        ("a field removed", changed::a_field_removed::Account::FINGERPRINT),
        ("a field added", changed::a_field_added::Account::FINGERPRINT),
        ("the type renamed", OtherName::FINGERPRINT),
        ("the alignment changed", Aligned::FINGERPRINT),
        ("Ring<u8, 8>", Ring::<u8, 8>::FINGERPRINT),
        ("Ring<i8, 8>", Ring::<i8, 8>::FINGERPRINT),
        ("Ring<u8, 16>", Ring::<u8, 16>::FINGERPRINT),
        ("Ring<u16, 4>", Ring::<u16, 4>::FINGERPRINT),
        ("To<Account>", To::<Account>::FINGERPRINT),
        ("To<Kind>", To::<Kind>::FINGERPRINT),
        ("[u8; 0]", <[u8; 0]>::FINGERPRINT),
        ("[u16; 0]", <[u16; 0]>::FINGERPRINT),
        ("()", <()>::FINGERPRINT),
        ("u64", u64::FINGERPRINT),
        ("i64", i64::FINGERPRINT),
        ("f64", f64::FINGERPRINT),
        ("AtomicU64", AtomicU64::FINGERPRINT),
    ];
    let mut seen = BTreeMap::new();
    for (name, fingerprint) in all {
        assert_ne!(fingerprint, 0, "{name}: zero means untyped");
        if let Some(other) = seen.insert(fingerprint, name) {
            panic!("{name} and {other} have the same fingerprint");
        }
    }
}

#[test]
fn what_is_no_change_of_layout_keeps_the_fingerprint() {
    assert_eq!(Account::FINGERPRINT, changed::nothing::Account::FINGERPRINT);
    assert_eq!(Account::FINGERPRINT, changed::a_field_kept::Account::FINGERPRINT);
    assert_eq!(Account::FINGERPRINT, Renamed::FINGERPRINT);
    assert_eq!(Renamed::NAME, "Account");
}

#[test]
fn generic_code_sees_the_same_fingerprint() {
    fn of<T: Persist>(_: &T) -> u64 {
        T::FINGERPRINT
    }
    let ring = Ring { head: AtomicU64::new(0), slots: [Kind(1), Kind(2)] };
    assert_eq!(of(&ring), Ring::<Kind, 2>::FINGERPRINT);
    assert_eq!(Ring::<Kind, 2>::NAME, "Ring");
    assert_eq!(of(&Line([0.0; 8])), Line::FINGERPRINT);
}

/// `tests/refused/leaves.rs` depends on `core` and `src/persist.rs` alone, so the compiler that
/// built this test can be asked directly.
#[test]
fn the_compiler_says_what_to_use_instead() {
    embedded_only!("it needs a compiler");
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/refused/leaves.rs");
    let out = tempfile::tempdir().expect("a directory for the compiler's output");
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let compiler = Command::new(rustc)
        .args(["--edition=2024", "--crate-type=lib", "--emit=metadata", "--cap-lints=allow"])
        .args(["--color=never", "--out-dir"])
        .arg(out.path())
        .arg(source)
        .output()
        .expect("rustc runs: it built this test");
    let said = String::from_utf8_lossy(&compiler.stderr);
    assert!(!compiler.status.success(), "every line of {source} was accepted");

    let cases = std::fs::read_to_string(source).expect("the cases are beside this test");
    let mut marked = 0;
    for (number, line) in (1..).zip(cases.lines()) {
        let Some((_, words)) = line.split_once("//~ ") else { continue };
        marked += 1;
        let place = format!("leaves.rs:{number}:");
        let mut errors = said.split("\nerror");
        let error = errors.find(|error| error.contains(&place));
        let error = error.unwrap_or_else(|| panic!("line {number} was accepted: {line}\n{said}"));
        assert!(error.contains("[E0277]"), "line {number}: another error:\n{error}");
        for words in [words, "use `twz::Ptr`", "use a container of `twz`", "`#[derive(Persist)]`"] {
            assert!(error.contains(words), "line {number}: does not say {words:?}:\n{error}");
        }
    }
    assert!(marked > 0, "{source} marks no line");
    let errors = said.matches("error[").count();
    assert_eq!(errors, marked, "an error on a line that is not marked:\n{said}");
}

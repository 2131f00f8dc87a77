// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `expand.rs` emits, checked as text: the words a user reads when it refuses, and what it
//! leaves to the compiler when it does not. That the compiler then refuses is checked by the
//! doctests of `twz::persist`.

use super::*;

/// The one message with which `item` is refused.
fn refused(item: &str) -> String {
    let mut all = refusals(item);
    assert_eq!(all.len(), 1, "{item}: expected one message, got {all:#?}");
    all.remove(0)
}

fn refusals(item: &str) -> Vec<String> {
    let input = syn::parse_str(item).expect("the case is a struct, an enum or a union");
    match checked(&input) {
        Ok(_) => panic!("{item}: accepted"),
        Err(error) => error.into_iter().map(|one| one.to_string()).collect(),
    }
}

/// The expansion of `item`, without white space.
fn accepted(item: &str) -> String {
    let input = syn::parse_str(item).expect("the case is a struct");
    let text: String = expand(input).to_string().split_whitespace().collect();
    assert!(!text.contains("compile_error"), "{item}: {text}");
    text
}

#[track_caller]
fn assert_says(message: &str, words: &[&str]) {
    for part in words {
        assert!(message.contains(part), "{message:?} does not say {part:?}");
    }
}

#[test]
fn a_refusal_reaches_the_compiler() {
    let input = syn::parse_str("enum E { A }").unwrap();
    let text = expand(input).to_string();
    assert_says(&text, &["compile_error", "an enum cannot live in an object"]);
}

#[test]
fn an_enum_is_told_to_be_a_newtype() {
    let message = refused("#[repr(u8)] enum Kind { A, B }");
    assert_says(&message, &["enum", "#[repr(transparent)] struct Kind(u8)", "named constants"]);
}

#[test]
fn a_union_is_told_to_be_a_newtype() {
    let message = refused("#[repr(C)] union Word { a: u64, b: i64 }");
    assert_says(&message, &["union", "#[repr(transparent)] struct Word(u8)", "named constants"]);
}

#[test]
fn a_struct_without_a_fixed_layout_is_told_to_add_repr() {
    for item in [
        "struct S { a: u64 }",
        "#[repr(align(8))] struct S { a: u64 }",
        "#[repr(Rust)] struct S(u64);",
    ] {
        assert_says(&refused(item), &["`S`", "add `#[repr(C)]`", "`#[repr(transparent)]`"]);
    }
}

#[test]
fn a_packed_struct_is_told_to_reserve_fields() {
    for repr in ["#[repr(C, packed)]", "#[repr(packed(2), C)]", "#[repr(C)] #[repr(packed)]"] {
        let message = refused(&format!("{repr} struct S {{ a: u64 }}"));
        assert_says(&message, &["packed struct", "remove `packed`", "explicit reserved fields"]);
    }
}

#[test]
fn a_lifetime_is_told_to_be_a_pointer() {
    let message = refused("#[repr(C)] struct S<'a> { a: &'a u64 }");
    assert_says(&message, &["a borrow cannot live in an object", "use `twz::Ptr`"]);
}

#[test]
fn a_bad_attribute_is_refused_on_the_struct_and_on_a_field() {
    for (attr, words) in [
        ("#[persist(rename = \"a\")]", "expected `#[persist(name"),
        ("#[persist(name = \"\")]", "the name is empty"),
        ("#[persist(name = \"a\", name = \"b\")]", "given twice"),
        ("#[persist(name = \"a\")] #[persist(name = \"b\")]", "given twice"),
    ] {
        assert_says(&refused(&format!("{attr} #[repr(C)] struct S {{ a: u64 }}")), &[words]);
        assert_says(&refused(&format!("#[repr(C)] struct S {{ {attr} a: u64 }}")), &[words]);
    }
}

#[test]
fn every_reason_is_given_at_once() {
    let all = refusals("struct S<'a> { #[persist(name = \"\")] a: &'a u64 }");
    assert_eq!(all.len(), 3, "{all:#?}");
}

#[test]
fn every_field_must_be_persist_and_none_may_be_missed() {
    let text = accepted("#[repr(C)] struct S { a: &'static u8, r#type: [Node; 2] }");
    assert_says(
        &text,
        &[
            "(\"a\",<&'staticu8as::twz::persist::Persist>::FINGERPRINT,",
            "::core::mem::offset_of!(Self,a),)",
            "(\"type\",<[Node;2]as::twz::persist::Persist>::FINGERPRINT,",
            "::core::mem::offset_of!(Self,r#type),)",
        ],
    );
}

#[test]
fn padding_is_asserted_in_the_fingerprint() {
    let check = "::core::mem::size_of::<Self>()==0\
                 +::core::mem::size_of::<u64>()+::core::mem::size_of::<u32>()";
    let text = accepted("#[repr(C)] struct S(u64, u32);");
    let constant = text.split_once("constFINGERPRINT").expect("the constant is there").1;
    assert_says(constant, &[check, "\"Shaspadding:addexplicitreservedfields\""]);
}

#[test]
fn padding_is_looked_for_at_once_unless_the_type_is_generic() {
    let now = "const_:::core::primitive::u64=";
    assert!(accepted("#[repr(C)] struct S { a: u64 }").contains(now));
    assert!(!accepted("#[repr(C)] struct S<T> { a: T }").contains(now));
    assert!(!accepted("#[repr(C)] struct S<const N: usize> { a: [u8; N] }").contains(now));
}

#[test]
fn type_parameters_are_bound_and_bounds_are_kept() {
    let text = accepted(
        "#[repr(C)] struct S<T: Copy = u8, const N: usize = 1> where T: Send { a: [T; N] }",
    );
    assert_says(
        &text,
        &[
            "impl<T:Copy+::twz::persist::Persist,constN:usize>",
            "::twz::persist::PersistforS<T,N>whereT:Send{",
        ],
    );
}

#[test]
fn every_kind_of_struct_and_repr_is_accepted() {
    accepted("#[repr(C)] struct S;");
    accepted("#[repr(transparent)] struct S(u64);");
    accepted("#[repr(C, align(16))] struct S { a: u128 }");
    accepted("#[repr(align(16))] #[repr(C)] struct S { a: u128 }");
}

#[test]
fn a_given_name_replaces_the_identifier() {
    let text = accepted(
        "#[persist(name = \"Old\")] #[repr(C)] struct New { #[persist(name = \"old\")] new: u64 }",
    );
    assert_says(&text, &["PersistforNew", "=\"Old\";", "(\"old\",", "offset_of!(Self,new)"]);
}

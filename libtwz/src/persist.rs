// SPDX-License-Identifier: MIT OR Apache-2.0
//! [`Persist`]: the compile-time gate of typed objects.
//!
//! An object outlives the program that wrote it, and other programs map the same bytes at other
//! addresses. So a type may live in an object only if every bit pattern is a value of it, and that
//! value means the same in every process and after every restart. This file says which primitives
//! qualify; `#[derive(Persist)]` (crate `twz-derive`, next door) extends that to structs and
//! refuses the rest; whatever opens a typed object compares [`Persist::FINGERPRINT`].
//!
//! ```
//! use twz::Persist;
//!
//! #[derive(Persist)]
//! #[repr(C)]
//! struct Account {
//!     owner: u64,
//!     cents: i64,
//!     flags: u32,
//!     reserved: [u8; 4],
//! }
//!
//! const _: () = assert!(Account::FINGERPRINT != <[u64; 3]>::FINGERPRINT);
//! ```
//!
//! This file depends on `core` alone: `tests/persist.rs` compiles it by itself, to read the
//! messages a user gets.
// UNSAFETY: `unsafe trait` and `unsafe impl` only; no unsafe block or function.
#![allow(unsafe_code)]

use core::marker::PhantomData;
use core::sync::atomic::{
    AtomicI8, AtomicI16, AtomicI32, AtomicI64, AtomicU8, AtomicU16, AtomicU32, AtomicU64,
};

/// A type that may live in an object.
///
/// Implement it with `#[derive(Persist)]` on a `#[repr(C)]` or `#[repr(transparent)]` struct. When
/// you rename the struct or a field, give the derive the old name, and existing objects still open:
///
/// ```
/// # mod old {
/// # use twz::Persist;
/// #[derive(Persist)]
/// #[repr(C)]
/// pub struct Account {
///     cents: i64,
/// }
/// # }
/// # mod new {
/// # use twz::Persist;
/// #[derive(Persist)]
/// #[persist(name = "Account")]
/// #[repr(C)]
/// pub struct Ledger {
///     #[persist(name = "cents")]
///     balance: i64,
/// }
/// # }
/// # use twz::Persist;
/// assert_eq!(old::Account::FINGERPRINT, new::Ledger::FINGERPRINT);
/// ```
///
/// # Safety
///
/// 1. Every bit pattern of `size_of::<Self>()` bytes is a value of `Self`.
/// 2. No byte is padding.
/// 3. The value means the same in every process and after every restart: it holds no address, no
///    descriptor, and nothing whose layout a compiler or a dependency may choose.
/// 4. Shared mutation goes through atomics only: other processes see the same bytes.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot live in an object",
    label = "not a `Persist` type: other processes and later runs would misread it",
    note = "instead of a reference, a raw pointer, a function pointer or a `Box`, use `twz::Ptr`",
    note = "instead of a `Vec`, `String` or map of std, use a container of `twz` or an array",
    note = "instead of `bool`, `char` or an enum, use a `u8` or `u32`, \
            or a newtype of one with named constants",
    note = "instead of `usize` or `isize`, use `u64` or `i64`; \
            instead of `Option`, reserve a value or add a flag",
    note = "a struct of your own needs `#[derive(Persist)]` and `#[repr(C)]`"
)]
pub unsafe trait Persist: Sized + 'static {
    /// The name that enters the fingerprint: without a path, and without type arguments.
    ///
    /// Pointers hash the name of what they point to, not its fingerprint: a list node that points
    /// to list nodes would otherwise need its own fingerprint first.
    const NAME: &'static str;

    /// Identity of the layout, checked when an object is opened: see [`fingerprint`].
    ///
    /// To evaluate it is also what proves that a generic type has no padding, so whatever opens or
    /// makes a typed object must mention it.
    const FINGERPRINT: u64;
}

/// Declares that a type is [`Persist`] as it stands: `persist_leaf!(Type, "name")`.
///
/// A generic type lists its parameters first, and then the names of the types that its fingerprint
/// is to tell apart: `persist_leaf!([T: Persist] Ptr<T>, "Ptr", T)`. Whoever writes the line
/// answers for the four points of [`Persist`]'s contract.
macro_rules! persist_leaf {
    ([$($param:tt)*] $leaf:ty, $name:literal $(, $arg:ty)* $(,)?) => {
        // SAFETY: points 1 to 4 of `Persist` hold for this type; the line that lists it says why.
        #[allow(unsafe_code)]
        unsafe impl<$($param)*> $crate::persist::Persist for $leaf {
            const NAME: &'static str = $name;
            const FINGERPRINT: u64 = $crate::persist::fingerprint(
                $name,
                ::core::mem::size_of::<Self>(),
                ::core::mem::align_of::<Self>(),
                &[$((<$arg as $crate::persist::Persist>::NAME, 0, 0)),*],
            );
        }
    };
    ($leaf:ty, $name:literal $(,)?) => {
        $crate::persist::persist_leaf!([] $leaf, $name);
    };
}
pub(crate) use persist_leaf;

// Fixed width, no niche, no padding: every bit pattern is a number.
persist_leaf!(u8, "u8");
persist_leaf!(u16, "u16");
persist_leaf!(u32, "u32");
persist_leaf!(u64, "u64");
persist_leaf!(u128, "u128");
persist_leaf!(i8, "i8");
persist_leaf!(i16, "i16");
persist_leaf!(i32, "i32");
persist_leaf!(i64, "i64");
persist_leaf!(i128, "i128");

// IEEE 754: every bit pattern is a number, an infinity or a NaN.
persist_leaf!(f32, "f32");
persist_leaf!(f64, "f64");

// Documented to have the size and bit validity of the integer they hold.
persist_leaf!(AtomicU8, "AtomicU8");
persist_leaf!(AtomicU16, "AtomicU16");
persist_leaf!(AtomicU32, "AtomicU32");
persist_leaf!(AtomicU64, "AtomicU64");
persist_leaf!(AtomicI8, "AtomicI8");
persist_leaf!(AtomicI16, "AtomicI16");
persist_leaf!(AtomicI32, "AtomicI32");
persist_leaf!(AtomicI64, "AtomicI64");

// No bytes at all.
persist_leaf!((), "()");
persist_leaf!([T: Persist] PhantomData<T>, "PhantomData", T);

// ==== Types of `twz-abi` and of the rest of this crate get their `persist_leaf!` line elsewhere:
// ==== this file must go on compiling by itself.

// SAFETY: an array is its elements back to back, each of which holds to the contract.
unsafe impl<T: Persist, const N: usize> Persist for [T; N] {
    const NAME: &'static str = "[]";
    const FINGERPRINT: u64 =
        fingerprint(Self::NAME, size_of::<Self>(), align_of::<Self>(), &[("", T::FINGERPRINT, N)]);
}

/// The fingerprint of a layout: 64-bit FNV-1a over its name, size and alignment, and over the name,
/// fingerprint and offset of each field in order.
///
/// Strings are preceded by their length and numbers are eight little-endian bytes, so no two
/// layouts hash the same bytes. Objects on media hold the result: the algorithm cannot change.
/// Never zero, so that zero can mean "untyped".
#[must_use]
pub const fn fingerprint(
    name: &str,
    size: usize,
    align: usize,
    fields: &[(&str, u64, usize)],
) -> u64 {
    let mut hash = hash_str(FNV_OFFSET, name);
    hash = hash_u64(hash, size as u64);
    hash = hash_u64(hash, align as u64);
    hash = hash_u64(hash, fields.len() as u64);
    let mut i = 0;
    while i < fields.len() {
        let (field, inner, offset) = fields[i];
        hash = hash_str(hash, field);
        hash = hash_u64(hash, inner);
        hash = hash_u64(hash, offset as u64);
        i += 1;
    }
    if hash == 0 { FNV_OFFSET } else { hash }
}

const fn hash_str(hash: u64, s: &str) -> u64 {
    hash_bytes(hash_u64(hash, s.len() as u64), s.as_bytes())
}

const fn hash_u64(hash: u64, n: u64) -> u64 {
    hash_bytes(hash, &n.to_le_bytes())
}

const fn hash_bytes(mut hash: u64, bytes: &[u8]) -> u64 {
    let mut i = 0;
    while i < bytes.len() {
        hash = (hash ^ bytes[i] as u64).wrapping_mul(FNV_PRIME);
        i += 1;
    }
    hash
}

const FNV_OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
const FNV_PRIME: u64 = 0x0000_0100_0000_01b3;

/// What does not compile, one condition per case in otherwise valid code. The names of the error
/// codes are checked by a nightly rustdoc; their words by `tests/persist.rs` and by the unit tests
/// of `twz-derive`.
#[cfg(doctest)]
mod refused {
    macro_rules! case {
        ($name:ident, $fence:literal, $code:literal) => {
            #[doc = concat!("```", $fence, "\nuse twz::Persist;\n#[derive(Persist)]\n", $code)]
            #[doc = "```"]
            mod $name {}
        };
    }

    // The controls: what every case below would be without its one fault.
    case!(control, "", "#[repr(C)]\nstruct Good { f: u64 }");
    case!(
        control_generic,
        "",
        "#[repr(C)]\nstruct Good<T> { a: T, b: u32 }\nconst _: u64 = Good::<u32>::FINGERPRINT;"
    );
    case!(control_aligned, "", "#[repr(C, align(16))]\nstruct Good { a: u64, b: u64 }");

    case!(reference, "compile_fail,E0277", "#[repr(C)]\nstruct Bad { f: &'static u64 }");
    case!(raw_pointer, "compile_fail,E0277", "#[repr(C)]\nstruct Bad { f: *const u64 }");
    case!(fn_pointer, "compile_fail,E0277", "#[repr(C)]\nstruct Bad { f: fn() }");
    case!(boxed, "compile_fail,E0277", "#[repr(C)]\nstruct Bad { f: Box<u64> }");
    case!(string, "compile_fail,E0277", "#[repr(C)]\nstruct Bad { f: String }");
    case!(boolean, "compile_fail,E0277", "#[repr(C)]\nstruct Bad { f: bool }");
    case!(word, "compile_fail,E0277", "#[repr(C)]\nstruct Bad { f: usize }");
    case!(option, "compile_fail,E0277", "#[repr(C)]\nstruct Bad { f: Option<u64> }");
    case!(inner, "compile_fail,E0277", "#[repr(C)]\nstruct Bad { f: [(u64, u64); 2] }");
    case!(
        argument,
        "compile_fail,E0277",
        "#[repr(C)]\nstruct Bad<T> { f: T }\nconst _: u64 = <Bad<bool> as Persist>::FINGERPRINT;"
    );

    case!(padding, "compile_fail,E0080", "#[repr(C)]\nstruct Bad { a: u64, b: u32 }");
    case!(
        padding_generic,
        "compile_fail,E0080",
        "#[repr(C)]\nstruct Bad<T> { a: T, b: u32 }\nconst _: u64 = Bad::<u64>::FINGERPRINT;"
    );
    case!(padding_aligned, "compile_fail,E0080", "#[repr(C, align(16))]\nstruct Bad { f: u64 }");

    case!(no_repr, "compile_fail", "struct Bad { f: u64 }");
    case!(packed, "compile_fail", "#[repr(C, packed)]\nstruct Bad { f: u64 }");
    case!(enumeration, "compile_fail", "#[repr(u8)]\nenum Bad { A, B }");
    case!(union, "compile_fail", "#[repr(C)]\nunion Bad { a: u64, b: i64 }");
    case!(
        lifetime,
        "compile_fail",
        "#[repr(C)]\nstruct Bad<'a> { f: core::marker::PhantomData<&'a u64> }"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hash_is_fnv_1a() {
        assert_eq!(hash_bytes(FNV_OFFSET, b"a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(hash_bytes(FNV_OFFSET, b"foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn strings_do_not_run_into_each_other() {
        let ab = fingerprint("T", 2, 1, &[("a", 1, 0), ("b", 1, 1)]);
        assert_ne!(ab, fingerprint("T", 2, 1, &[("ab", 1, 0), ("", 1, 1)]));
        assert_ne!(ab, fingerprint("Ta", 2, 1, &[("", 1, 0), ("b", 1, 1)]));
    }
}

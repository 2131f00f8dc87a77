// SPDX-License-Identifier: MIT OR Apache-2.0
//! `#[derive(Persist)]`: refuses at compile time what cannot live in an object.
//!
//! The trait and its contract are in `twz::persist`, which also lists what does not compile; the
//! expansion is in `expand.rs`, a plain function that the unit tests call. This file is only the
//! door the compiler enters by.
#![forbid(unsafe_code)]

mod expand;

/// Implements `twz::Persist` for a struct.
///
/// The struct must be `#[repr(C)]` or `#[repr(transparent)]` and not packed, each field must be
/// `Persist`, and no byte may be padding. Type parameters get the bound `Persist`.
///
/// `#[persist(name = "...")]` on the struct or on a field is the name that enters the fingerprint.
/// Give it the old name when you rename one, and existing objects still open.
#[proc_macro_derive(Persist, attributes(persist))]
pub fn derive_persist(item: proc_macro::TokenStream) -> proc_macro::TokenStream {
    expand::expand(syn::parse_macro_input!(item)).into()
}

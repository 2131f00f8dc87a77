// SPDX-License-Identifier: MIT OR Apache-2.0
//! The library as C sees it: one function here for each one in
//! `include/twz.h`, which is where they are documented.
//!
//! A function here turns what C handed it into checked Rust values ([`args`]),
//! calls the public API, and turns the answer into an errno and a sentence
//! ([`status`]). What is decided here is only what C cannot be trusted with:
//! nulls, text that is not UTF-8, unknown bits, and addresses that may lie
//! anywhere.
//!
//! UNSAFETY: a C caller promises what `twz.h` says of arguments, and no
//! compiler checks it. That promise is taken down in the types of the
//! parameters, once each:
//!
//! 1. `Option<&T>` is a pointer that is null or to a valid `T`: a handle that
//!    was given out and not closed, or a struct of the caller's.
//! 2. [`args::Out`] is one that is null or to room for a result.
//! 3. [`args::Text`] is one that is null or to bytes that end in a NUL, and
//!    [`args::Owned`] one that is null or from `Box::into_raw` here.
//! 4. A raw pointer is an address that nothing is promised of. It is checked
//!    against the objects that are mapped ([`mod@pointer`]) before it is followed.
//!
//! All of them hold for the duration of the call. `#[unsafe(no_mangle)]` is
//! sound as the names all begin with `twz_`, which is ours.
#![allow(unsafe_code)]

mod args;
mod heap;
#[cfg(test)]
mod layout;
mod lock;
mod names;
mod object;
mod pointer;
mod resume;
mod security;
mod space;
mod status;
mod tx;
mod types;
mod view;

// SPDX-License-Identifier: GPL-2.0
//! What the `kernel` crate does not bind: generated from `bindings.h`, of which
//! `bindings.list` says what is wanted. To bind another function, add it there.
#![allow(missing_docs, non_camel_case_types, non_upper_case_globals, non_snake_case)]
#![allow(dead_code, unused_imports, unreachable_pub, improper_ctypes, unsafe_op_in_unsafe_fn)]

include!("bindings_generated.rs");

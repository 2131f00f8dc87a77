// SPDX-License-Identifier: GPL-2.0
//! The module's one window on the kernel: the only folder with `unsafe` in it.

pub(crate) mod bindings;

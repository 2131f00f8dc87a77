// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz mount` from outside: a real mount of each kind of pool, used by real programs
//! and by calls of the standard library. With `TWZ_BACKEND=kernel` it is the kernel
//! module's pool (`tests/mount/vm.sh` does that in the virtual machine). What each file
//! tests is its name; [`place`] mounts.

mod access;
mod attributes;
mod calls;
mod dirs;
mod fstab;
mod life;
mod long;
mod objects;
mod owners;
mod place;
mod programs;
#[path = "../cli/world.rs"]
#[allow(dead_code)]
mod world;

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The command `twz` from outside: the real binary, on pools in temporary
//! directories. What each file tests is its name; [`world`] runs the command.

mod bad_input;
mod contexts;
mod daemon;
mod data;
mod graph;
mod images;
mod json;
mod names;
mod objects;
mod pools;
mod shell;
mod world;

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles the C side of the peer that is written in C, and links its library.

fn main() {
    println!("cargo::rerun-if-changed=src/ptr/pmemobj.c");
    println!("cargo::rerun-if-changed=src/tx/pmemobj.c");
    println!("cargo::rustc-link-lib=pmemobj");
    // As in a C program: position independent as an executable, not as a
    // library, so that PMDK's thread-local cache is reached without a call.
    cc::Build::new()
        .file("src/ptr/pmemobj.c")
        .file("src/tx/pmemobj.c")
        .opt_level(2)
        .pic(false)
        .flag("-fPIE")
        .compile("bench_pmemobj");
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! Compiles the C side of the peers that are written in C, and looks which of
//! Debian's libraries are there: a peer without its library is named as missing
//! in the report (src/kvs/peers/mod.rs).

use std::path::Path;

/// Libraries that a peer of `kvs` is made of: what `cfg(have_...)` says, the
/// header to be there, and what is linked.
const LIBRARIES: [(&str, &str, &str); 3] = [
    ("have_lmdb", "/usr/include/lmdb.h", "lmdb"),
    ("have_sqlite", "/usr/include/sqlite3.h", "sqlite3"),
    ("have_rocksdb", "/usr/include/rocksdb/c.h", "rocksdb"),
];

const SOURCES: [&str; 3] = ["src/ptr/pmemobj.c", "src/tx/pmemobj.c", "src/kvs/peers/pmemobj_tx.c"];

fn main() {
    for (cfg, header, library) in LIBRARIES {
        println!("cargo::rustc-check-cfg=cfg({cfg})");
        println!("cargo::rerun-if-changed={header}");
        if Path::new(header).exists() {
            println!("cargo::rustc-cfg={cfg}");
            println!("cargo::rustc-link-lib={library}");
        }
    }
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    println!("cargo::rustc-link-lib=pmemobj");
    // As in a C program: position independent as an executable, not as a
    // library, so that PMDK's thread-local cache is reached without a call.
    cc::Build::new().files(SOURCES).opt_level(2).pic(false).flag("-fPIE").compile("bench_pmemobj");
}

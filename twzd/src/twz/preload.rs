// SPDX-License-Identifier: MIT OR Apache-2.0
//! The preload library, for `twz run`: where it is, what a program has to be told so that
//! it is loaded, and the counters that all of a run's processes share
//! (`libtwz/posix/README.md`).

use std::{
    ffi::OsString,
    fs::File,
    io,
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::FileExt as _, process::ExitStatusExt as _},
    },
    path::{Path, PathBuf},
    process::Command,
};

use nix::sys::memfd::{MFdFlags, memfd_create};
use serde::Serialize;

use crate::exit::{Fail, Outcome};

/// The file, beside `twz` or in the `lib` beside its directory.
const LIBRARY: &str = "libtwz_posix.so";

/// Has a program load the library, if the pool is one whose names are files. Whether it
/// will; says so if the library is missing, as the program runs without it as well.
pub fn add(command: &mut Command, pool: &Path) -> bool {
    let Ok(names) = pool.join("names").canonicalize() else { return false };
    let Some(library) = find() else {
        eprintln!("twz: {LIBRARY} is neither beside twz nor in ../lib from there");
        eprintln!("     the program runs without it: as well, and not as fast");
        return false;
    };
    let mut preload = std::env::var_os("LD_PRELOAD").unwrap_or_default();
    if !preload.is_empty() {
        preload.push(":");
    }
    preload.push(library);
    command.env("LD_PRELOAD", preload).env("TWZ_POSIX", names);
    true
}

/// Where the library is. A path with a space or a colon in it cannot be preloaded.
fn find() -> Option<PathBuf> {
    let own = std::env::current_exe().ok()?.canonicalize().ok()?;
    let beside = own.parent()?;
    let places = [beside.join(LIBRARY), beside.parent()?.join("lib").join(LIBRARY)];
    let loads = |path: &PathBuf| {
        path.is_file() && !path.as_os_str().as_bytes().iter().any(|b| matches!(b, b':' | b' '))
    };
    places.into_iter().find(loads)
}

/// The counters, in the order in which the library keeps them.
#[derive(Serialize)]
struct Counters {
    reads_by_memory: u64,
    read_bytes_by_memory: u64,
    writes_by_memory: u64,
    write_bytes_by_memory: u64,
    seeks_by_memory: u64,
    calls_by_kernel: u64,
    bytes_by_kernel: u64,
    mappings: u64,
    fixed_up: u64,
    stood_aside: u64,
    libcs_by_memory: u64,
    libcs_bytes_by_memory: u64,
    redirected: u64,
    not_redirected: u64,
}

/// Runs a program to its end, and says what was counted; its exit code, as a shell has it.
pub fn counted(mut command: Command, json: bool) -> Outcome<i32> {
    let program = PathBuf::from(command.get_program());
    let failed = |doing| Fail::file(doing, &program);
    // A file without a name, which is gone with the last one who has it. This process
    // outlives those that open it.
    let shared = memfd_create(c"twz-stats", MFdFlags::MFD_CLOEXEC);
    let shared: OwnedFd = shared.map_err(|errno| failed("count for")(errno.into()))?;
    let shared = File::from(shared);
    shared.set_len(4096).map_err(failed("count for"))?;
    let path = format!("/proc/{}/fd/{}", std::process::id(), shared.as_raw_fd());
    command.env("TWZ_POSIX_STATS", OsString::from(path));
    let status = command.status().map_err(failed("run"))?;
    let counters = read(&shared).map_err(failed("count for"))?;
    if json {
        // A document of numbers always serializes.
        eprintln!("{}", serde_json::to_string_pretty(&counters).unwrap_or_default());
    } else {
        print(&counters);
    }
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

fn read(shared: &File) -> io::Result<Counters> {
    let mut bytes = [0; 112];
    shared.read_exact_at(&mut bytes, 0)?;
    let mut words = bytes.chunks_exact(8).map(|word| word.try_into().map_or(0, u64::from_le_bytes));
    let mut next = || words.next().unwrap_or(0);
    Ok(Counters {
        reads_by_memory: next(),
        read_bytes_by_memory: next(),
        writes_by_memory: next(),
        write_bytes_by_memory: next(),
        seeks_by_memory: next(),
        calls_by_kernel: next(),
        bytes_by_kernel: next(),
        mappings: next(),
        fixed_up: next(),
        stood_aside: next(),
        libcs_by_memory: next(),
        libcs_bytes_by_memory: next(),
        redirected: next(),
        not_redirected: next(),
    })
}

fn print(counters: &Counters) {
    let Counters { reads_by_memory, read_bytes_by_memory, .. } = counters;
    let Counters { writes_by_memory, write_bytes_by_memory, seeks_by_memory, .. } = counters;
    let Counters { calls_by_kernel, bytes_by_kernel, mappings, fixed_up, .. } = counters;
    eprintln!("twz: by memory  {reads_by_memory} reads of {read_bytes_by_memory} bytes");
    eprintln!("                {writes_by_memory} writes of {write_bytes_by_memory} bytes");
    eprintln!("                {seeks_by_memory} seeks");
    let Counters { libcs_by_memory, libcs_bytes_by_memory, redirected, not_redirected, .. } =
        counters;
    eprintln!(
        "     of these   {libcs_by_memory} of {libcs_bytes_by_memory} bytes by libc's streams"
    );
    eprintln!("     by kernel  {calls_by_kernel} calls, {bytes_by_kernel} bytes");
    eprintln!("     mappings   {mappings}; copies that were fixed up: {fixed_up}");
    eprintln!("     processes that stood aside: {}", counters.stood_aside);
    eprintln!("     processes whose libc was patched: {redirected}; not: {not_redirected}");
}

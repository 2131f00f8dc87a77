// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the machine is: the facts without which ratios cannot be compared.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::error::Failed;

/// Prints the facts.
pub fn describe() -> Result<(), Failed> {
    let first = |path: &str, key: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key)).map(str::to_owned);
        line.map_or("unknown".into(), |line| {
            line.split_once(':').map_or(line.clone(), |(_, value)| value.trim().into())
        })
    };
    let chosen = |path: &str| {
        let text = fs::read_to_string(path).unwrap_or_default();
        text.split(['[', ']']).nth(1).unwrap_or("unknown").to_owned()
    };
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    println!("cpu      {} x {}", cores, first("/proc/cpuinfo", "model name"));
    println!("kernel   {}", first("/proc/sys/kernel/osrelease", ""));
    println!("memory   {} available", first("/proc/meminfo", "MemAvailable"));
    let home = home();
    let kind = if on_tmpfs(&home) { "tmpfs" } else { "page cache of its file system" };
    println!("pools    {} ({kind})", home.display());
    println!(
        "pages    transparent huge pages: {} for anonymous memory, {} for tmpfs",
        chosen("/sys/kernel/mm/transparent_hugepage/enabled"),
        chosen("/sys/kernel/mm/transparent_hugepage/shmem_enabled"),
    );
    Ok(())
}

/// Where pools are made: in memory if possible.
pub fn home() -> PathBuf {
    let shm = PathBuf::from("/dev/shm");
    if on_tmpfs(&shm) { shm } else { std::env::temp_dir() }
}

/// A directory there that goes when it is dropped.
pub fn scratch() -> Result<tempfile::TempDir, Failed> {
    Ok(tempfile::Builder::new().prefix("twz-bench-").tempdir_in(home())?)
}

fn on_tmpfs(path: &Path) -> bool {
    let mounts = fs::read_to_string("/proc/mounts").unwrap_or_default();
    mounts.lines().any(|line| {
        let mut words = line.split(' ').skip(1);
        words.next() == path.to_str() && words.next() == Some("tmpfs")
    })
}

/// Bytes of memory that can still be had.
pub fn available() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("MemAvailable:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) * 1024
}

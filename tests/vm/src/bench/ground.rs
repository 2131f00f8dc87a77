// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the race stands on: a pool on the first device, ext4 with DAX on the
//! second, tmpfs twice.

use std::{
    ffi::CString,
    os::unix::fs::{FileExt as _, OpenOptionsExt as _},
    path::PathBuf,
    process::Command,
};

use super::Case;
use crate::{module, options::Options};

/// The device of the peer.
const SECOND: &str = "/dev/pmem1";

/// Everything that is mounted and loaded.
pub struct Ground {
    /// ext4, mounted with DAX.
    pub ext4: PathBuf,
    small: PathBuf,
    huge: PathBuf,
    notes: Vec<String>,
}

fn run(program: &str, arguments: &[&str]) -> Result<(), String> {
    let output = Command::new(program).args(arguments).output();
    let output = output.map_err(|e| format!("{program}: {e}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

fn mount(what: &str, at: &str, kind: &str, options: &str) -> Result<PathBuf, String> {
    std::fs::create_dir_all(at).map_err(|e| format!("{at}: {e}"))?;
    let text = |text: &str| CString::new(text).expect("no NUL in it");
    let (source, target, kind_text, data) = (text(what), text(at), text(kind), text(options));
    // SAFETY: four strings that live until the call returns.
    let done = unsafe {
        let data = data.as_ptr().cast();
        libc::mount(source.as_ptr(), target.as_ptr(), kind_text.as_ptr(), 0, data)
    };
    match done {
        0 => Ok(at.into()),
        _ => Err(format!("mount -t {kind} -o {options} {what}: {:?}", crate::errno::Errno::last())),
    }
}

/// Writes zeros from end to end, so that the host has given all the memory.
fn warm(path: &str) -> Result<u64, String> {
    #[repr(align(4096))]
    struct Aligned([u8; 1 << 20]);
    let zeros = Box::new(Aligned([0; 1 << 20]));
    let mut open = std::fs::OpenOptions::new();
    let device = open.write(true).custom_flags(libc::O_DIRECT).open(path);
    let device = device.map_err(|e| format!("{path}: {e}"))?;
    let mut at = 0;
    while device.write_all_at(&zeros.0, at).is_ok() {
        at += 1 << 20;
    }
    Ok(at)
}

impl Ground {
    /// Makes it all anew. What was on the two devices is lost.
    pub fn prepare(options: &Options, objects: u64) -> Result<Self, String> {
        if module::is_loaded() {
            module::unload_soon().map_err(|e| format!("the module does not unload: {e:?}"))?;
        }
        if !std::path::Path::new(SECOND).exists() {
            return Err(format!("no {SECOND}: give the machine a second device"));
        }
        let sizes = [warm(&options.device)?, warm(SECOND)?];
        let records = (objects + 50_000).to_string();
        let pool = ["--pool", &options.device, "pool", "init", "--image", "--records", &records];
        run("twz", &pool)?;
        module::load().map_err(|e| format!("the module does not load: {e:?}"))?;
        let make = ["-q", "-F", "-b", "4096", "-E", "stride=512,stripe_width=512", SECOND];
        run("mkfs.ext4", &make)?;
        let ext4 = mount(SECOND, "/mnt/ext4", "ext4", "dax=always")?;
        let small = mount("tmpfs", "/mnt/tmpfs", "tmpfs", "huge=never,size=256M")?;
        let huge = mount("tmpfs", "/mnt/tmpfs-huge", "tmpfs", "huge=always,size=256M")?;
        let notes = vec![
            format!(
                "twz      {} of {} MiB, RESERVE where reserved",
                options.device,
                sizes[0] >> 20
            ),
            format!(
                "ext4dax  {SECOND} of {} MiB, dax=always, fallocate where reserved",
                sizes[1] >> 20
            ),
            "tmpfs    huge=never for 4 KiB, huge=always for 2 MiB; fallocate where reserved".into(),
        ];
        Ok(Self { ext4, small, huge, notes })
    }

    /// The tmpfs that is raced in a case.
    pub fn tmpfs(&self, case: Case) -> PathBuf {
        if case == Case::Large { self.huge.clone() } else { self.small.clone() }
    }

    /// What it is, for people.
    pub fn describe(&self) -> String {
        let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let thp = "/sys/kernel/mm/transparent_hugepage/enabled";
        let thp = std::fs::read_to_string(thp).unwrap_or_default();
        format!("kernel   {}\nthp      {}\n{}", release.trim(), thp.trim(), self.notes.join("\n"))
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the same costs on a pool that is mounted: a directory pool, whose files the kernel
//! reads and writes itself (`mount_dir`), an image, whose bytes it caches and writes when it
//! has to (`mount_image`), and one where it writes at once (`mount_thru`). Another process
//! does the work, so time is the clock's.

use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    Size, Turn, Values,
    calls::said,
    left_out,
    place::{Place, Tools},
    programs::speedtest1,
    turns,
};
use crate::{error::Failed, report::Record};

/// Each pool: the subject's name, how it is made, and how it is mounted.
const POOLS: [(&str, &[&str], &[&str]); 3] = [
    ("mount_dir", &["init"], &["--cache", "passthrough"]),
    ("mount_image", &["init", "--image", "--size", "512M"], &["--cache", "writeback"]),
    ("mount_thru", &["init", "--image", "--size", "512M"], &["--cache", "through"]),
];

/// Runs it.
pub fn run(tools: &Tools, place: &Place, size: Size) -> Result<Vec<Record>, Failed> {
    println!("posix: mounted pools ...");
    let mounts: Result<Vec<Mount>, Failed> =
        POOLS.iter().map(|pool| Mount::new(&tools.twz, place, pool)).collect();
    let (mounts, files) = (mounts?, place.below("files")?);
    let ops = |dir: &Path| {
        said(Command::new(&tools.ops).arg(dir).args([&size.divisor().to_string(), "mount"]))
    };
    let mut all: Vec<Turn<'_>> = Vec::new();
    for mount in &mounts {
        all.push((mount.name, Box::new(|| ops(&mount.dir))));
    }
    all.push((place.kind, Box::new(|| ops(&files))));
    let mut records = turns(size, 21, "ns", &mut all)?;
    let program = match &tools.speedtest1 {
        Ok(program) => program,
        Err(why) => {
            left_out("speedtest1", why);
            return Ok(records);
        }
    };
    let sqlite = |dir: &Path| -> Result<Values, Failed> {
        let time = speedtest1(&mut Command::new(program), dir, "delete", size)?;
        Ok(vec![("speedtest1_wall".into(), time)])
    };
    let mut all: Vec<Turn<'_>> = Vec::new();
    for mount in mounts.iter().filter(|mount| mount.name != "mount_thru") {
        all.push((mount.name, Box::new(|| sqlite(&mount.dir))));
    }
    all.push((place.kind, Box::new(|| sqlite(&files))));
    records.extend(turns(size, 3, "ns", &mut all)?);
    Ok(records)
}

/// A pool that is mounted, until it is dropped.
struct Mount {
    name: &'static str,
    twz: PathBuf,
    dir: PathBuf,
}

impl Mount {
    fn new(
        twz: &Path,
        place: &Place,
        &(name, make, how): &(&'static str, &[&str], &[&str]),
    ) -> Result<Self, Failed> {
        let pool = place.path().join(format!("{name}.pool"));
        let dir = place.below(name)?;
        let run = |words: &[&str], at: Option<&Path>| {
            let mut command = Command::new(twz);
            command.arg("--pool").arg(&pool).args(words).args(at).stdin(Stdio::null());
            let output = command.output()?;
            match output.status.success() {
                true => Ok(()),
                false => Err(Failed::new(String::from_utf8_lossy(&output.stderr))),
            }
        };
        run(&[&["pool"], make].concat(), None)?;
        run(&[&["mount"], how].concat(), Some(&dir))?;
        Ok(Self { name, twz: twz.into(), dir })
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Its files go with the place; what cannot be unmounted is said by that.
        let _ = Command::new(&self.twz).args(["umount", "--lazy"]).arg(&self.dir).output();
    }
}

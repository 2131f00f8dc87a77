// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the same costs on a pool that is mounted: a directory pool, whose files the kernel
//! reads and writes itself (`mount_dir`), an image, whose bytes it caches and writes when it
//! has to (`mount_image`), and one where it writes at once (`mount_thru`). Another process
//! does the work, so time is the clock's. On an idle machine most of it may be that of waking
//! that process on another processor; `dir_1cpu` and its like share one with it.

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

/// A directory pool once more, that nobody else makes names in: for a whole program that looks
/// for what is not there.
const ALONE: (&str, &[&str], &[&str]) =
    ("mount_alone", &["init"], &["--cache", "passthrough", "--alone"]);

/// The processor that a program and what serves it share.
const FIRST: &str = "0";

/// Runs it.
pub fn run(tools: &Tools, place: &Place, size: Size) -> Result<Vec<Record>, Failed> {
    println!("posix: mounted pools ...");
    let mounts: Result<Vec<Mount>, Failed> =
        POOLS.iter().map(|pool| Mount::new(&tools.twz, place, pool)).collect();
    let (mounts, files) = (mounts?, place.below("files")?);
    let places = |names: [&'static str; 3]| {
        let pools = names.into_iter().zip(mounts.iter().map(|mount| mount.dir.as_path()));
        pools.chain([(place.kind, files.as_path())]).collect::<Vec<_>>()
    };
    let mut records = calls(tools, size, 21, &["env"], &places(POOLS.map(|(name, ..)| name)))?;
    let alone = Mount::new(&tools.twz, place, &ALONE)?;
    let cached = mounts.iter().filter(|mount| mount.name != "mount_thru");
    let cached: Vec<&Mount> = cached.chain([&alone]).collect();
    records.extend(walls(tools, place, size, &cached, &files)?);
    for mount in &mounts {
        mount.daemon_on_first()?;
    }
    let (first, names) = (["taskset", "-c", FIRST], ["dir_1cpu", "image_1cpu", "thru_1cpu"]);
    records.extend(calls(tools, size, 11, &first, &places(names))?);
    Ok(records)
}

/// What calls cost in each of these, the last of which is the peer, by a program that is
/// started with these words.
fn calls(
    tools: &Tools,
    size: Size,
    rounds: usize,
    start: &[&str],
    places: &[(&'static str, &Path)],
) -> Result<Vec<Record>, Failed> {
    let ops = |dir: &Path| {
        let mut program = Command::new(start[0]);
        program.args(&start[1..]).arg(&tools.ops).arg(dir);
        said(program.args([&size.divisor().to_string(), "mount"]))
    };
    let turn = |&(name, dir)| -> Turn<'_> { (name, Box::new(move || ops(dir))) };
    turns(size, rounds, "ns", &mut places.iter().map(turn).collect::<Vec<_>>())
}

/// What a whole program takes there.
fn walls(
    tools: &Tools,
    place: &Place,
    size: Size,
    mounts: &[&Mount],
    files: &Path,
) -> Result<Vec<Record>, Failed> {
    let program = match &tools.speedtest1 {
        Ok(program) => program,
        Err(why) => {
            left_out("speedtest1", why);
            return Ok(Vec::new());
        }
    };
    let sqlite = |dir: &Path| -> Result<Values, Failed> {
        let time = speedtest1(&mut Command::new(program), dir, "delete", size)?;
        Ok(vec![("speedtest1_wall".into(), time)])
    };
    let mut all: Vec<Turn<'_>> = Vec::new();
    for mount in mounts {
        all.push((mount.name, Box::new(|| sqlite(&mount.dir))));
    }
    all.push((place.kind, Box::new(|| sqlite(files))));
    turns(size, 3, "ns", &mut all)
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

    /// Has the process that serves it run on that processor alone from now on.
    fn daemon_on_first(&self) -> Result<(), Failed> {
        let server = std::fs::read_link(self.dir.join(".mount"))?;
        let mut taskset = Command::new("taskset");
        taskset.args(["-a", "-c", "-p", FIRST]).arg(server).stdout(Stdio::null());
        match taskset.status()?.success() {
            true => Ok(()),
            false => Err(Failed::new("taskset: cannot say where a process runs")),
        }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // Its files go with the place; what cannot be unmounted is said by that.
        let _ = Command::new(&self.twz).args(["umount", "--lazy"]).arg(&self.dir).output();
    }
}

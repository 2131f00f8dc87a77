// SPDX-License-Identifier: MIT OR Apache-2.0
//! What programs that are used by others as a measure cost with the preload library: SQLite's
//! speedtest1 in CPU time, with a journal that is deleted and with one that is written ahead,
//! and dbench with one client.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
    time::Instant,
};

use super::{
    Size, Values,
    calls::race_ops,
    left_out,
    place::{Place, Tools},
};
use crate::{error::Failed, race, report::Record};

/// Where Debian has what dbench plays.
const LOAD: &str = "/usr/share/dbench/client.txt";

/// Runs all there are.
pub fn run(tools: &Tools, place: &Place, size: Size) -> Result<Vec<Record>, Failed> {
    println!("posix: programs on {} ...", place.kind);
    let files = place.below("files")?;
    let mut records = match &tools.speedtest1 {
        Err(why) => {
            left_out("speedtest1", why);
            Vec::new()
        }
        Ok(program) => race_ops(tools, place, (size, 5, "ns"), |with| {
            let mut values = Values::new();
            for (case, journal) in [("speedtest1_delete", "delete"), ("speedtest1_wal", "wal")] {
                let begin = race::children_cpu_ns();
                speedtest1(&mut with(program), &files, journal, size)?;
                values.push((case.into(), (race::children_cpu_ns() - begin) as f64));
            }
            Ok(values)
        })?,
    };
    if !Path::new(LOAD).exists() {
        left_out("dbench", "the package dbench is not installed");
        return Ok(records);
    }
    if place.kind == "tmpfs" {
        records.extend(race_ops(tools, place, (size, 5, "us/MB"), |with| {
            Ok(vec![("dbench".into(), dbench(&mut with(Path::new("dbench")), &files, size)?)])
        })?);
    }
    Ok(records)
}

/// Lets SQLite make, ask and change a new database; says how many nanoseconds that took.
pub fn speedtest1(
    command: &mut Command,
    dir: &Path,
    journal: &str,
    size: Size,
) -> Result<f64, Failed> {
    let database = dir.join("database");
    for end in ["", "-journal", "-wal", "-shm"] {
        match fs::remove_file(dir.join(format!("database{end}"))) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
            _ => {}
        }
    }
    let amount = if size.quick { "2" } else { "50" };
    command.args(["--size", amount, "--journal", journal]).arg(&database);
    let begin = Instant::now();
    let output = command.stdin(Stdio::null()).output()?;
    let time = begin.elapsed();
    match output.status.success() && fs::metadata(&database)?.len() != 0 {
        true => Ok(time.as_nanos() as f64),
        false => Err(Failed::new(String::from_utf8_lossy(&output.stderr))),
    }
}

/// Microseconds for what dbench counts as a megabyte.
fn dbench(command: &mut Command, dir: &Path, size: Size) -> Result<f64, Failed> {
    let seconds = if size.quick { "2" } else { "4" };
    command.args(["-t", seconds, "-c", LOAD, "-D"]).arg(dir).arg("1").stdin(Stdio::null());
    let output = command.output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let line = said.lines().find_map(|line| line.strip_prefix("Throughput "));
    let speed = line.and_then(|line| line.split(' ').next()?.parse::<f64>().ok());
    match speed.filter(|speed| output.status.success() && *speed > 0.0) {
        Some(speed) => Ok(1e6 / speed),
        None => Err(Failed::new(format!("dbench: {said}"))),
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! fio: writes through every engine, and reads back what a checksum has to agree with.

use super::Job;

/// Names, and what differs from the common options.
const JOBS: [(&str, &str); 14] = [
    ("sync_seq", "--ioengine=sync --rw=write --bs=4k"),
    ("sync_rand", "--ioengine=sync --rw=randwrite --bs=512-16k --bs_unaligned"),
    ("psync_seq", "--ioengine=psync --rw=write --bs=64k"),
    ("psync_rand", "--ioengine=psync --rw=randwrite --bs=4k --fsync=32"),
    ("psync_rw", "--ioengine=psync --rw=randrw --bs=4k"),
    ("vsync", "--ioengine=vsync --rw=write --bs=4k --iodepth=8"),
    ("pvsync", "--ioengine=pvsync --rw=randwrite --bs=8k"),
    ("pvsync2", "--ioengine=pvsync2 --rw=randwrite --bs=4k"),
    ("mmap_seq", "--ioengine=mmap --rw=write --bs=4k"),
    ("mmap_rand", "--ioengine=mmap --rw=randwrite --bs=4k"),
    ("posixaio", "--ioengine=posixaio --rw=randwrite --bs=4k --iodepth=8"),
    ("libaio", "--ioengine=libaio --rw=randwrite --bs=4k --iodepth=8"),
    ("splice", "--ioengine=splice --rw=write --bs=4k"),
    ("four_processes", "--ioengine=psync --rw=randwrite --bs=4k --numjobs=4"),
];

pub fn jobs() -> Vec<Job> {
    let common = "--size=4m --verify=crc32c --do_verify=1 --verify_fatal=1 --randseed=7";
    let job = |(name, options): (&str, &str)| {
        let words: Vec<String> = format!("--name={name} {common} {options}")
            .split_whitespace()
            .map(Into::into)
            .collect();
        Job::single(name, move |room| {
            let said = room.run("fio", &words)?;
            // It has written, read back, and says of no error.
            match said.contains("err= 0") && said.contains("WRITE:") {
                true => Ok(said),
                false => Err(said),
            }
        })
    };
    JOBS.into_iter().map(job).collect()
}

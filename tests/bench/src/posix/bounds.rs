// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the bench `posix` is to reach, row by row: [`BOUNDS`]. To another file system's own
//! files the same is measured, without a goal.

use crate::{
    goal::Goal::{self, Ratio, SecondMore, Value},
    report::Record,
};

/// A row: case, subject, peer, and what is to be reached.
type Bound = (&'static str, &'static str, &'static str, &'static [Goal]);

/// A throughput of 0.9, said as time.
const NINE_TENTHS: f64 = 1.0 / 0.9;

const BOUNDS: &[Bound] = &[
    ("pread_1", "preload", "tmpfs", &[Ratio(0.20)]),
    ("read_1_lseek", "preload", "tmpfs", &[Ratio(0.20)]),
    ("lseek", "preload", "tmpfs", &[Ratio(0.3)]),
    ("pread_4k", "preload", "tmpfs", &[Ratio(0.35)]),
    ("pread_64k", "preload", "tmpfs", &[Ratio(0.5)]),
    ("pread_1m", "preload", "tmpfs", &[Ratio(0.5)]),
    ("pwrite_4k", "preload", "tmpfs", &[Ratio(0.35)]),
    ("pwrite_64k", "preload", "tmpfs", &[Ratio(0.5)]),
    ("append_4k", "preload", "tmpfs", &[Ratio(1.15)]),
    ("open_close", "preload", "tmpfs", &[Ratio(1.25)]),
    ("open_read_close", "preload", "tmpfs", &[Ratio(1.25)]),
    ("create_unlink", "preload", "tmpfs", &[Ratio(1.3)]),
    ("create_write_unlink", "preload", "tmpfs", &[Ratio(1.3)]),
    ("fstat", "preload", "tmpfs", &[Ratio(1.2)]),
    ("stat", "preload", "tmpfs", &[Ratio(1.2)]),
    ("stat_enoent", "preload", "tmpfs", &[Ratio(1.2)]),
    ("pwrite_fsync", "preload", "tmpfs", &[Value(1500.0)]),
    ("foreign", "preload", "tmpfs", &[SecondMore(40.0)]),
    ("exec", "preload", "tmpfs", &[SecondMore(1e6)]),
    ("exec_listed", "preload", "tmpfs", &[SecondMore(1e6)]),
    ("exec_unlisted", "preload", "tmpfs", &[SecondMore(120e6)]),
    ("rss", "preload", "tmpfs", &[SecondMore(2048.0)]),
    ("speedtest1_delete", "preload", "tmpfs", &[Ratio(1.05)]),
    ("speedtest1_wal", "preload", "tmpfs", &[Ratio(1.05)]),
    ("dbench", "preload", "tmpfs", &[Ratio(NINE_TENTHS)]),
    ("pread_4k", "preload", "ext4", &[Ratio(0.45)]),
    ("pread_64k", "preload", "ext4", &[Ratio(1.0)]),
    ("pread_1m", "preload", "ext4", &[Ratio(1.25)]),
    ("pwrite_4k", "preload", "ext4", &[Ratio(0.15)]),
    ("pwrite_64k", "preload", "ext4", &[Ratio(0.4)]),
    ("pwrite_fsync", "preload", "ext4", &[Ratio(1.05)]),
    ("speedtest1_delete", "preload", "ext4", &[Ratio(1.05)]),
    ("speedtest1_wal", "preload", "ext4", &[Ratio(1.05)]),
    ("pread_4k", "mount_dir", "tmpfs", &[Ratio(1.7)]),
    ("pwrite_4k", "mount_dir", "tmpfs", &[Ratio(3.0)]),
    ("open_close", "mount_dir", "tmpfs", &[Value(60e3)]),
    ("create_unlink", "mount_dir", "tmpfs", &[Value(150e3)]),
    ("speedtest1_wall", "mount_dir", "tmpfs", &[Ratio(5.0)]),
    ("pread_4k", "mount_image", "tmpfs", &[Ratio(1.7)]),
    ("pwrite_4k", "mount_image", "tmpfs", &[Ratio(3.0)]),
    ("open_close", "mount_image", "tmpfs", &[Value(60e3)]),
    ("create_unlink", "mount_image", "tmpfs", &[Value(150e3)]),
    ("speedtest1_wall", "mount_image", "tmpfs", &[Ratio(5.0)]),
    ("speedtest1_wall", "mount_alone", "tmpfs", &[Ratio(5.0)]),
    ("pread_4k", "mount_thru", "tmpfs", &[Ratio(1.7)]),
    ("pwrite_4k", "mount_thru", "tmpfs", &[Value(25e3)]),
];

/// What a record is held to. What holds of ext4 holds of whatever else is on a disk.
pub fn goals(record: &Record) -> &'static [Goal] {
    let peer = if record.peer == "xfs" { "ext4" } else { &record.peer };
    let wanted = (record.case.as_str(), record.subject.as_str(), peer);
    BOUNDS.iter().find(|bound| (bound.0, bound.1, bound.2) == wanted).map_or(&[], |bound| bound.3)
}

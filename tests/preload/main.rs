// SPDX-License-Identifier: MIT OR Apache-2.0
//! The preload library from outside. `traps.c` is an ordinary program whose parts do what
//! would go wrong if the library copied carelessly, and check what they see; here they
//! are run with it, on each file system, and the counters prove that it was at work.

mod list;
mod parting;
mod run;
mod streams;

use std::{
    fs,
    io::Read as _,
    os::unix::fs::MetadataExt as _,
    process::{Command, Stdio},
    time::Duration,
};

use twz_preload_tests::{World, library, other, raw_traps, skip, static_traps, traps};

#[test]
fn an_outsider_truncates() {
    for world in World::each() {
        let counters = world.part("truncated", "");
        assert!(counters.reads() > 0 && counters.fixed_up() > 0, "{counters:?}");
    }
}

#[test]
fn a_file_is_cut_between_two_stores() {
    for world in World::each() {
        let counters = world.part("cut_at_once", "");
        assert!(counters.writes() > 0 && counters.fixed_up() > 0, "{counters:?}");
    }
}

#[test]
fn an_outsider_truncates_all_the_time() {
    for world in World::each() {
        let counters = world.part("truncating", "");
        assert!(counters.reads() > 0, "{counters:?}");
    }
}

#[test]
fn a_hole_on_a_full_file_system() {
    let world = World::beneath(&std::env::temp_dir());
    let mount = "mount -t tmpfs -o size=512k none \"$1\"";
    let inside = format!("{mount} && LD_PRELOAD=\"$2\" \"$3\" hole \"$1\"");
    let unshared = |script: &str| {
        let mut command = Command::new("unshare");
        command.args(["-rm", "sh", "-c", script, "sh"]).arg(world.names());
        command.arg(library()).arg(traps());
        for (name, value) in world.command(traps(), "").get_envs() {
            command.env(name, value.unwrap_or_default());
        }
        command.env_remove("LD_PRELOAD").output().expect("unshare runs")
    };
    if !unshared(mount).status.success() {
        return skip("a_hole_on_a_full_file_system: nothing can be mounted here");
    }
    world.ended(&unshared(&inside));
    let counters = world.counters();
    assert!(counters.writes() > 0 && counters.fixed_up() > 0, "{counters:?}");
}

#[test]
fn what_was_written_is_newer() {
    for world in World::each() {
        let counters = world.part("mtime", "");
        assert!(counters.writes() > 400, "{counters:?}");
    }
}

#[test]
fn what_is_on_a_disk_is_written_by_the_kernel() {
    for world in World::each() {
        let counters = world.part("synced", "");
        // A major number of 0 is that of no disk.
        let on_disk = world.names().metadata().expect("stat").dev() >> 8 & 0xfff != 0;
        assert!(counters.reads() > 150, "{counters:?}");
        assert_eq!(counters.writes() < 100, on_disk, "{:?}: {counters:?}", world.names());
    }
}

#[test]
fn a_bad_pointer_is_an_error() {
    for world in World::each() {
        let counters = world.part("efault", "");
        assert!(counters.reads() > 0 && counters.fixed_up() >= 5, "{counters:?}");
    }
}

#[test]
fn a_vfork_child_has_descriptors_of_its_own() {
    for world in World::each() {
        let counters = world.part("vforked", "");
        assert!(counters.reads() > 200, "{counters:?}");
    }
}

#[test]
fn a_number_means_another_file() {
    for world in World::each() {
        for how in ["close", "fclose", "syscall", "close_range", "closefrom", "dup2", "freopen"] {
            let counters = world.part("reused", how);
            assert!(counters.reads() > 0 && counters.stood_aside() == 0, "{how}: {counters:?}");
        }
    }
}

#[test]
fn code_that_calls_the_kernel_itself_is_left_alone() {
    for world in World::each() {
        let counters = world.part_of(raw_traps(), "reused", "raw");
        assert_eq!((counters.reads(), counters.stood_aside()), (0, 1), "{counters:?}");
    }
}

#[test]
fn an_offset_is_one_for_all() {
    for world in World::each() {
        for how in ["fork", "spawn", "exec", "dup", "pass", "sendfile", "fdopen"] {
            let before = world.counters();
            let after = world.part("offset", how);
            // Before it was shared it was the library's, and its bytes still are.
            assert!(after.seeks() > before.seeks(), "{how}: {after:?}");
            assert!(after.reads() > before.reads() + 100, "{how}: {after:?}");
        }
    }
}

#[test]
fn an_outsider_writes() {
    for world in World::each() {
        let counters = world.part("written", "");
        assert!(counters.reads() > 0 && counters.writes() > 0, "{counters:?}");
    }
}

#[test]
fn every_descriptor_is_closed() {
    for world in World::each() {
        let counters = world.part("closes_all", "");
        assert!(counters.reads() > 100, "{counters:?}");
    }
}

#[test]
fn one_thread_forks_while_another_writes() {
    for world in World::each() {
        let counters = world.part("forks", "");
        assert!(counters.reads() > 0, "{counters:?}");
    }
}

#[test]
fn threads_share_an_offset() {
    for world in World::each() {
        let counters = world.part("threads", "");
        assert!(counters.reads() > 1000, "{counters:?}");
    }
}

#[test]
fn random_calls_do_what_a_model_says() {
    for (seed, world) in World::each().enumerate() {
        let counters = world.part("model", &seed.to_string());
        let much = counters.reads() > 10_000 && counters.writes() > 1000;
        assert!(much && counters.seeks() > 1000, "{counters:?}");
    }
}

#[test]
fn one_with_it_and_one_without_share_a_file() {
    for world in World::each() {
        world.part("make", "mixed");
        let start = |program, preload: &str, half| {
            let mut command = world.command(program, preload);
            command.arg("mixed").arg(world.names()).arg(half);
            command.stdout(Stdio::piped()).spawn().expect("it runs")
        };
        let with = start(traps(), &library().display().to_string(), "0");
        // Static: there is no way to get into it.
        let without = start(static_traps(), "", "1");
        let halves = [with, without].map(|child| {
            let output = child.wait_with_output().expect("it ends");
            world.ended(&output);
            output.stdout
        });
        let file = fs::read(world.names().join("mixed")).unwrap();
        for (at, half) in file.chunks(2048).enumerate() {
            let want = halves[at % 2].chunks(2048).nth(at / 2).unwrap();
            assert!(half == want, "half a page, number {at}");
        }
        let counters = world.counters();
        assert!(counters.reads() > 10_000 && counters.writes() > 1000, "{counters:?}");
    }
}

#[test]
fn a_writer_is_killed() {
    for world in World::each() {
        for pause in [1, 3, 10, 30, 60] {
            let mut command = world.command(traps(), &library().display().to_string());
            command.arg("counts").arg(world.names()).stdout(Stdio::piped());
            let mut child = command.spawn().expect("it runs");
            let mut began = [0];
            child.stdout.take().unwrap().read_exact(&mut began).expect("it begins");
            std::thread::sleep(Duration::from_millis(pause));
            child.kill().unwrap();
            child.wait().unwrap();
            // What a program without the library sees: pages of one number, then at most
            // one that is of two, then pages of the number before.
            let file = fs::read(world.names().join("counts")).unwrap();
            assert_eq!(file.len(), 16 * 4096);
            let torn = file.chunks(4096).filter(|page| page.iter().any(|b| *b != page[0])).count();
            assert!(torn <= 1, "{torn} pages are torn");
        }
        let counters = world.counters();
        assert!(counters.writes() > 100, "{counters:?}");
    }
}

#[test]
fn another_library_is_preloaded_too() {
    for world in World::each() {
        let (ours, theirs) = (library().display(), other().display());
        for preload in [format!("{theirs}:{ours}"), format!("{ours} {theirs}")] {
            let before = world.counters().reads();
            let mut command = world.command(traps(), &preload);
            let output = command.arg("model").arg(world.names()).arg("3").output().unwrap();
            world.ended(&output);
            let seen: u64 = String::from_utf8_lossy(&output.stdout).trim().parse().unwrap();
            // If it is the second one, those that were no copy.
            assert!(seen > 1000, "{preload}: it saw {seen} calls");
            assert!(world.counters().reads() > before + 10_000, "{preload}");
        }
    }
}

#[test]
fn what_is_in_no_prefix_is_left_alone() {
    for world in World::each() {
        let mut command = world.command(traps(), &library().display().to_string());
        let output = command.arg("model").arg(world.outside()).arg("1").output().unwrap();
        world.ended(&output);
        let counters = world.counters();
        assert_eq!((counters.reads(), counters.writes(), counters.seeks()), (0, 0, 0));
        assert_eq!(counters.fixed_up() + counters.stood_aside(), 0);
    }
}

#[test]
fn without_the_library_it_is_the_same() {
    let world = World::beneath(&std::env::temp_dir());
    for part in ["truncated", "mtime", "efault", "vforked", "written", "threads"] {
        let mut command = world.command(traps(), "");
        let output = command.arg(part).arg(world.names()).output().unwrap();
        world.ended(&output);
    }
    assert_eq!(world.counters().reads(), 0);
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! What libc reads and writes within itself, for streams: `streams.c`, and programs as
//! Debian has them, with the library. The counters prove which calls were copies.

use std::{fs, process::Command};

use twz_preload_tests::{Counters, World, library, reader, streams};

/// Has a part run on each file system; libc's calls came to the library, and were copies.
#[track_caller]
fn comes(part: &str, argument: &str) -> Vec<Counters> {
    let run = |world: World| {
        let counters = world.part_of(streams(), part, argument);
        assert_eq!(counters.redirected(), (1, 0), "{part} {argument}: {counters:?}");
        assert!(counters.libcs() > 0 && counters.stood_aside() == 0, "{part}: {counters:?}");
        assert!(counters.libcs_bytes() >= 4096, "{part}: {counters:?}");
        counters
    };
    World::each().map(run).collect()
}

#[test]
fn lines_characters_and_blocks_are_read() {
    comes("reads", "");
}

#[test]
fn random_calls_on_a_stream_do_what_a_model_says() {
    for seed in ["1", "2", "3"] {
        for counters in comes("model", seed) {
            let much = counters.libcs() > 5000 && counters.libcs_bytes() > 10_000_000;
            assert!(much && counters.writes() > 1000, "{counters:?}");
        }
    }
}

#[test]
fn a_stream_and_its_number_have_one_offset() {
    for counters in comes("mixed", "") {
        assert!(counters.libcs() > 100 && counters.reads() > counters.libcs(), "{counters:?}");
    }
}

#[test]
fn a_child_goes_on_in_the_stream() {
    comes("forked", "");
    comes("vforked", "");
}

#[test]
fn a_stream_ends_where_its_file_was_cut() {
    comes("cut", "");
    for counters in comes("cut_here", "") {
        assert!(counters.fixed_up() > 0, "{counters:?}");
    }
}

#[test]
fn nowhere_to_read_to_is_an_error_of_the_stream() {
    comes("efault", "");
}

#[test]
fn what_a_stream_holds_is_written_where_it_is() {
    for how in ["fclose", "freopen", "exit"] {
        comes("closing", how);
    }
    for world in World::each() {
        for how in ["fcloseall", "leaves"] {
            let counters = world.part_of(streams(), "closing", how);
            assert!(counters.libcs() > 0, "{counters:?}");
            let file = fs::read(world.names().join("closing")).unwrap();
            let want = |at: usize| match at {
                12288..12388 => 100,
                _ => at / 4096 + 1,
            };
            assert!(file.len() == 65536 && (0..65536).all(|at| file[at] as usize == want(at)));
        }
    }
}

#[test]
fn a_stream_is_made_of_a_number() {
    for counters in comes("wrapped", "") {
        assert!(counters.libcs() > 30, "{counters:?}");
    }
}

#[test]
fn modes_in_which_libc_goes_other_ways_are_left_alone() {
    for world in World::each() {
        let counters = world.part_of(streams(), "modes", "");
        assert_eq!(counters.libcs(), 0, "{counters:?}");
    }
}

#[test]
fn threads_share_a_stream() {
    comes("threads", "");
}

#[test]
fn with_other_threads_about_libc_is_left_as_it_is() {
    for world in World::each() {
        let counters = world.part_of(streams(), "late", "");
        assert_eq!((counters.redirected(), counters.libcs()), ((0, 1), 0), "{counters:?}");
    }
}

#[test]
fn who_waits_in_a_read_can_be_cancelled() {
    comes("cancelled", "");
}

#[test]
fn a_read_that_was_interrupted_goes_on() {
    comes("interrupted", "restart");
    comes("interrupted", "ends");
}

#[test]
fn who_has_a_stream_does_not_wait_for_the_loader() {
    for counters in comes("locked", "") {
        assert!(counters.libcs() > 50, "{counters:?}");
    }
}

#[test]
fn code_is_loaded_while_streams_are_open() {
    comes("loads", "libm.so.6");
}

#[test]
fn switched_off_libc_is_left_as_it_is() {
    let world = World::beneath(&std::env::temp_dir());
    for (part, argument) in [("reads", ""), ("model", "4"), ("mixed", ""), ("wrapped", "")] {
        let mut command = world.command(streams(), &library().display().to_string());
        command.env("TWZ_POSIX_SITES", "no").arg(part).arg(world.names()).arg(argument);
        world.ended(&command.output().unwrap());
    }
    let counters = world.counters();
    assert_eq!((counters.redirected(), counters.libcs()), ((0, 0), 0), "{counters:?}");
    assert!(counters.reads() > 0, "{counters:?}");
}

#[test]
fn with_another_library_before_libc_it_is_left_as_it_is() {
    let world = World::beneath(&std::env::temp_dir());
    let (ours, theirs) = (library().display(), reader().display());
    for (preload, redirected) in
        [(format!("{ours}:{theirs}"), (0, 1)), (format!("{theirs}:{ours}"), (1, 1))]
    {
        let mut command = world.command(streams(), &preload);
        let output = command.arg("model").arg(world.names()).arg("5").output().unwrap();
        world.ended(&output);
        assert_eq!(world.counters().redirected(), redirected, "{preload}");
    }
}

#[test]
fn programs_that_read_by_streams_are_faster_unchanged() {
    let world = World::beneath(&std::env::temp_dir());
    let lines: String = (0..200_000).map(|line| format!("{}\n", line * 7919 % 200_003)).collect();
    fs::write(world.names().join("numbers"), lines).unwrap();
    let programs: [&[&str]; 4] = [
        &["sed", "-n", "s/99/x/p", "numbers"],
        &["cut", "-c1-3", "numbers"],
        &["od", "numbers"],
        &["comm", "--nocheck-order", "numbers", "numbers"],
    ];
    for program in programs {
        let before = world.counters().libcs_bytes();
        let mut with = world.command(program[0].as_ref(), &library().display().to_string());
        let with = with.args(&program[1..]).current_dir(world.names()).output().unwrap();
        world.ended(&with);
        let mut plain = Command::new(program[0]);
        let plain = plain.args(&program[1..]).current_dir(world.names()).output().unwrap();
        assert!(with.stdout == plain.stdout && !with.stdout.is_empty(), "{program:?}");
        let copied = world.counters().libcs_bytes() - before;
        assert!(copied > 1_000_000, "{program:?}: {copied} bytes");
    }
}

#[test]
fn streams_are_the_same_without_the_library() {
    let world = World::beneath(&std::env::temp_dir());
    for (part, argument) in [
        ("reads", ""),
        ("model", "6"),
        ("mixed", ""),
        ("forked", ""),
        ("vforked", ""),
        ("cut", ""),
        ("cut_here", ""),
        ("efault", ""),
        ("closing", "fclose"),
        ("wrapped", ""),
        ("modes", ""),
        ("cancelled", ""),
        ("interrupted", "restart"),
        ("locked", ""),
    ] {
        let mut command = world.command(streams(), "");
        let output = command.arg(part).arg(world.names()).arg(argument).output().unwrap();
        world.ended(&output);
    }
    assert_eq!(world.counters().reads(), 0);
}

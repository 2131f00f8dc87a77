// SPDX-License-Identifier: MIT OR Apache-2.0
//! The preload library where memory or descriptors are shared with others: `parting.c`
//! starts, becomes and loads them, and checks that all see one offset and one file.
//! What one process does alone, and against outsiders, is in `main.rs`.

use std::process::Output;

use twz_preload_tests::{Counters, World, library, opener, parting, raw_library, skip};

/// Has a part run that needs to catch a thread in the middle of a copy.
fn in_the_middle(world: &World, part: &str, argument: &str) -> Option<Counters> {
    let mut command = world.command(parting(), &library().display().to_string());
    let output: Output = command.arg(part).arg(world.names()).arg(argument).output().unwrap();
    if output.status.code() == Some(77) {
        skip(&format!("{part}: this kernel lets nobody watch faults"));
        return None;
    }
    world.ended(&output);
    Some(world.counters())
}

#[test]
fn a_child_that_stays_has_the_same_offset_for_good() {
    for world in World::each() {
        for how in ["fork", "_Fork", "vfork", "spawn"] {
            let before = world.counters().seeks();
            let counters = world.part_of(parting(), "stays", how);
            // Until then it was the library's, and it still is at work.
            assert!(counters.seeks() > before, "{how}: {counters:?}");
            assert_eq!(counters.stood_aside(), 0, "{how}: {counters:?}");
        }
    }
}

#[test]
fn the_program_that_takes_its_place_goes_on_where_it_was() {
    let ways = [
        "execl", "execle", "execlp", "execv", "execve", "execvp", "execvpe", "execveat", "fexecve",
    ];
    for world in World::each() {
        for how in ways {
            let before = world.counters().seeks();
            let counters = world.part_of(parting(), "becomes", how);
            assert!(counters.seeks() > before, "{how}: {counters:?}");
        }
    }
}

#[test]
fn a_command_goes_on_where_it_was() {
    for world in World::each() {
        for how in ["system", "popen"] {
            let before = world.counters().seeks();
            let counters = world.part_of(parting(), "commands", how);
            assert!(counters.seeks() > before, "{how}: {counters:?}");
        }
    }
}

#[test]
fn a_file_is_cut_in_the_middle_of_a_read() {
    for world in World::each() {
        // With a page behind it, and the last one.
        for page in ["1", "15"] {
            if let Some(counters) = in_the_middle(&world, "cut_inside", page) {
                assert!(counters.reads() > 0, "{counters:?}");
            }
        }
    }
}

#[test]
fn a_child_does_not_have_the_copies_of_other_threads() {
    for world in World::each() {
        if let Some(counters) = in_the_middle(&world, "copied_at_birth", "") {
            assert!(counters.reads() > 0, "{counters:?}");
        }
    }
}

#[test]
fn a_child_of_many_threads_waits_for_none_of_them() {
    for world in World::each() {
        let counters = world.part_of(parting(), "opened_at_birth", "");
        assert_eq!(counters.stood_aside(), 200, "{counters:?}");
    }
}

#[test]
fn a_child_is_born_before_a_descriptor_is_noted() {
    for world in World::each() {
        let both = format!("{}:{}", library().display(), opener().display());
        let mut command = world.command(parting(), &both);
        world.ended(&command.arg("born_while_opened").arg(world.names()).output().unwrap());
    }
}

#[test]
fn code_that_is_loaded_later_is_searched_too() {
    for world in World::each() {
        let library = raw_library().display().to_string();
        let counters = world.part_of(parting(), "loads", &library);
        assert!(counters.reads() > 0 && counters.stood_aside() == 1, "{counters:?}");
    }
}

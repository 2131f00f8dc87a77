// SPDX-License-Identifier: MIT OR Apache-2.0
//! System calls by the place of the instruction, with the kernel's own filter.
#![cfg(target_arch = "x86_64")]

use std::{
    ops::Range,
    sync::atomic::{AtomicBool, Ordering},
};

use twz::security::{Elsewhere, seal_calls};

/// `mov eax, SYS_getppid; syscall; ret`, of which the call ends 7 bytes in.
const CODE: [u8; 8] = [0xb8, libc::SYS_getppid as u8, 0, 0, 0, 0x0f, 0x05, 0xc3];
const BEHIND: usize = 7;

/// Two pages that can be run, with the code at the start of each.
fn code() -> usize {
    let prot = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new mapping, which is written before it is run.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), 8192, prot, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        for page in [0, 4096] {
            at.cast::<[u8; 8]>().byte_add(page).write(CODE);
        }
        at as usize
    }
}

fn call(at: usize) -> i64 {
    // SAFETY: `code` put a function of this type there.
    unsafe { std::mem::transmute::<usize, extern "C" fn() -> i64>(at)() }
}

/// All code of this process that comes from files, and the kernel's.
fn own() -> Vec<Range<usize>> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let code = maps.lines().filter(|line| line.contains("r-xp"));
    code.map(|line| {
        let (range, _) = line.split_once(' ').unwrap();
        let (from, to) = range.split_once('-').unwrap();
        let number = |digits| usize::from_str_radix(digits, 16).unwrap();
        number(from)..number(to)
    })
    .collect()
}

/// What a sealed child comes to that does this: its signal, or its word.
fn sealed(ranges: &[Range<usize>], elsewhere: Elsewhere, act: impl FnOnce() -> i32) -> (i32, i32) {
    let all = [&own(), ranges].concat();
    // SAFETY: the child seals itself, does a few system calls, and ends.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let word = seal_calls(&all, elsewhere).map_or(99, |()| act());
        // SAFETY: no preconditions.
        unsafe { libc::_exit(word) };
    }
    let mut status = 0;
    // SAFETY: `status` is ours to be written.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    match libc::WIFSIGNALED(status) {
        true => (libc::WTERMSIG(status), 0),
        false => (0, libc::WEXITSTATUS(status)),
    }
}

#[test]
fn calls_from_elsewhere_are_refused() {
    let at = code();
    // SAFETY: no preconditions.
    assert_eq!(call(at), unsafe { libc::getppid() } as i64);
    let parent = std::process::id() as i64;
    let works = || i32::from(call(at) == parent) | i32::from(call(at + 4096) == parent) << 1;
    assert_eq!(sealed(std::slice::from_ref(&(at..at + 8192)), Elsewhere::Refuse, works), (0, 3));
    assert_eq!(sealed(&[], Elsewhere::Refuse, works), (0, 0));
    assert_eq!(sealed(&[], Elsewhere::Refuse, || -call(at) as i32), (0, libc::EPERM));
    assert_eq!(sealed(&[], Elsewhere::Kill, works), (libc::SIGSYS, 0));
}

#[test]
fn a_range_ends_where_it_ends() {
    let at = code();
    let parent = std::process::id() as i64;
    let works = || i32::from(call(at) == parent) | i32::from(call(at + 4096) == parent) << 1;
    let with = |range: Range<usize>| sealed(&[range], Elsewhere::Refuse, works).1;
    // The first page's call is the last instruction of the range, or just beyond it.
    assert_eq!(with(at..at + BEHIND), 1);
    assert_eq!(with(at..at + BEHIND - 1), 0);
    // The second page's call is in the range, or just before it.
    assert_eq!(with(at + 4096 + BEHIND - 2..at + 8192), 2);
    assert_eq!(with(at + 4096 + BEHIND..at + 8192), 0);
}

#[test]
fn all_threads_are_sealed_and_for_good() {
    let at = code();
    let both = at..at + 8192;
    let act = || {
        let (sealed, refused) = (AtomicBool::new(false), -libc::EPERM as i64);
        let seal = |more: &[Range<usize>]| {
            seal_calls(&[&own(), more].concat(), Elsewhere::Refuse).unwrap();
        };
        std::thread::scope(|scope| {
            let before = call(at) != refused;
            // It is there before the seal.
            let there = scope.spawn(|| {
                while !sealed.load(Ordering::Acquire) {
                    std::thread::yield_now();
                }
                call(at) == refused
            });
            seal(&[]);
            // Nothing is allowed again by a wider seal.
            seal(std::slice::from_ref(&both));
            sealed.store(true, Ordering::Release);
            let all = [before, there.join().unwrap(), call(at) == refused];
            all.iter().filter(|one| **one).count() as i32
        })
    };
    assert_eq!(sealed(std::slice::from_ref(&both), Elsewhere::Refuse, act), (0, 3));
}

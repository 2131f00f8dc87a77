// SPDX-License-Identifier: MIT OR Apache-2.0
//! The filter of system calls by the place of the instruction: a program of the
//! kernel's packet filter, made here and given to it.

use std::ops::Range;

use crate::error::{Error, Result};

/// What happens to a call from elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Elsewhere {
    /// It is refused with EPERM.
    Refuse,
    /// The process ends.
    Kill,
}

/// Most ranges, each within 4 GiB.
const MOST: usize = 256;

const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
const IF_EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
const IF_AT_LEAST: u16 = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
const IF_ABOVE: u16 = (libc::BPF_JMP | libc::BPF_JGT | libc::BPF_K) as u16;
const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;

/// Offsets in what the filter sees: `struct seccomp_data`.
const ARCH: u32 = 4;
const POINTER_LOW: u32 = 8;
const POINTER_HIGH: u32 = 12;
/// AUDIT_ARCH_X86_64.
const X86_64: u32 = 0xc000_003e;

fn step(code: u16, jt: u8, jf: u8, k: u32) -> libc::sock_filter {
    libc::sock_filter { code, jt, jf, k }
}

/// Bytes of the instruction.
const CALL: u64 = 2;

/// The filter. The kernel shows it the address behind the instruction, all of which
/// has to be in a range.
fn program(ranges: &[Range<usize>], elsewhere: Elsewhere) -> Result<Vec<libc::sock_filter>> {
    let no = match elsewhere {
        Elsewhere::Refuse => libc::SECCOMP_RET_ERRNO | libc::EPERM as u32,
        Elsewhere::Kill => libc::SECCOMP_RET_KILL_PROCESS,
    };
    // Calls of another architecture's numbers come by other instructions.
    let mut steps =
        vec![step(LOAD, 0, 0, ARCH), step(IF_EQUAL, 1, 0, X86_64), step(RETURN, 0, 0, no)];
    let mut parts = 0;
    for range in ranges {
        let (mut first, last) = (range.start as u64 + CALL, range.end as u64);
        while first <= last {
            let end = last.min(first | 0xffff_ffff);
            parts += 1;
            steps.extend([
                step(LOAD, 0, 0, POINTER_HIGH),
                step(IF_EQUAL, 0, 4, (first >> 32) as u32),
                step(LOAD, 0, 0, POINTER_LOW),
                step(IF_AT_LEAST, 0, 2, first as u32),
                step(IF_ABOVE, 1, 0, end as u32),
                step(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW),
            ]);
            if parts > MOST {
                return Err(Error::Unsupported("too many or too large ranges of code"));
            }
            first = end + 1;
        }
    }
    steps.push(step(RETURN, 0, 0, no));
    Ok(steps)
}

/// Installs it, for every thread of the process and for good.
pub fn seal(ranges: &[Range<usize>], elsewhere: Elsewhere) -> Result<()> {
    if !cfg!(target_arch = "x86_64") {
        return Err(Error::Unsupported("system calls are sealed on x86-64 only"));
    }
    let mut steps = program(ranges, elsewhere)?;
    let filter = libc::sock_fprog { len: steps.len() as u16, filter: steps.as_mut_ptr() };
    // SAFETY: takes numbers only.
    if unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) } != 0 {
        return Err(Error::os("forswear new privileges"));
    }
    let (mode, flags) = (libc::SECCOMP_SET_MODE_FILTER, libc::SECCOMP_FILTER_FLAG_TSYNC);
    // SAFETY: the program is `len` steps long, and is copied before the call returns.
    match unsafe { libc::syscall(libc::SYS_seccomp, mode, flags, &raw const filter) } {
        0 => Ok(()),
        -1 => Err(Error::os("seal system calls")),
        _ => Err(Error::Busy { what: "a thread has a filter of system calls of its own" }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs a filter as the kernel does: whether a call is allowed.
    fn allows(steps: &[libc::sock_filter], arch: u32, behind: u64) -> bool {
        let (mut at, mut loaded) = (0, 0);
        loop {
            let step = steps[at];
            let jump = |yes: bool| at + 1 + if yes { step.jt } else { step.jf } as usize;
            at = match step.code {
                LOAD => {
                    loaded = match step.k {
                        ARCH => arch,
                        POINTER_LOW => behind as u32,
                        POINTER_HIGH => (behind >> 32) as u32,
                        other => panic!("offset {other}"),
                    };
                    at + 1
                }
                IF_EQUAL => jump(loaded == step.k),
                IF_AT_LEAST => jump(loaded >= step.k),
                IF_ABOVE => jump(loaded > step.k),
                RETURN => return step.k == libc::SECCOMP_RET_ALLOW,
                other => panic!("code {other}"),
            };
        }
    }

    #[test]
    fn calls_are_told_apart_by_where_they_are() {
        let (four, page) = (1usize << 32, 4096usize);
        // One within 4 GiB, one across two of its borders, and an empty one.
        let ranges = [5 * page..7 * page, 3 * four - page..5 * four + page, 9 * page..9 * page];
        let steps = program(&ranges, Elsewhere::Refuse).unwrap();
        let inside = |behind: u64| {
            ranges.iter().any(|r| behind >= r.start as u64 + 2 && behind <= r.end as u64)
        };
        for range in &ranges {
            for at in [range.start, range.end] {
                for behind in at as u64 - 2..=at as u64 + 2 {
                    assert_eq!(allows(&steps, X86_64, behind), inside(behind), "{behind:#x}");
                    assert!(!allows(&steps, 0x4000_0003, behind));
                }
            }
        }
        for behind in [0, 1, 4 * four as u64, 4 * four as u64 - 1, u64::MAX, 6 * page as u64] {
            assert_eq!(allows(&steps, X86_64, behind), inside(behind), "{behind:#x}");
        }
        let half = 0..usize::MAX / 2;
        assert!(program(std::slice::from_ref(&half), Elsewhere::Kill).is_err());
    }
}

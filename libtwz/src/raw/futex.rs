// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sleeping on a word of mapped memory, among all processes that map it.
//!
//! A futex compares 4 bytes, and a word has 8. So a sleeper waits for both
//! halves at once (`futex_waitv`), the low one first, and who wakes it wakes the
//! low half. Nothing is missed: a store that comes before the low half is
//! queued is seen when the halves are compared, and one that comes after is
//! followed by a wake that finds the sleeper in the queue. Every sleeper is
//! queued once on the low half, so that counting them there counts them all.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::{Duration, Instant},
};

use crate::{
    backend::Waited,
    error::{Error, Result},
};

/// Where the kernel cannot wait for two words, nobody sleeps longer than this
/// without looking.
const LOOK: Duration = Duration::from_millis(10);

/// `struct futex_waitv`, and `FUTEX_32`.
#[repr(C)]
struct Half {
    value: u64,
    address: u64,
    flags: u32,
    reserved: u32,
}
const FUTEX_32: u32 = 2;

/// The halves of a word, low addresses first, as they hold `value`.
fn halves(word: &AtomicU64, value: u64) -> [(u64, u32); 2] {
    let [a, b, c, d, e, f, g, h] = value.to_ne_bytes();
    let first = word.as_ptr() as u64;
    [(first, u32::from_ne_bytes([a, b, c, d])), (first + 4, u32::from_ne_bytes([e, f, g, h]))]
}

/// Sleeps while `word` holds `value`.
pub fn wait(word: &AtomicU64, value: u64, timeout: Option<Duration>) -> Result<Waited> {
    if word.load(Ordering::SeqCst) != value {
        return Ok(Waited::Changed);
    }
    let halves = halves(word, value);
    let waiters = halves.map(|(address, value)| Half {
        value: value as u64,
        address,
        flags: FUTEX_32,
        reserved: 0,
    });
    let end = timeout.and_then(|timeout| now().checked_add(timeout)).map(timespec);
    // SAFETY: two waiters, whose words lie in memory that `word` keeps mapped;
    // the time is null or a timespec. Nothing is written.
    let done = unsafe {
        libc::syscall(
            libc::SYS_futex_waitv,
            waiters.as_ptr(),
            waiters.len(),
            0,
            end.as_ref().map_or(std::ptr::null(), std::ptr::from_ref),
            libc::CLOCK_MONOTONIC,
        )
    };
    match ended(done) {
        Some(outcome) => outcome,
        None => wait_and_look(word, value, timeout),
    }
}

/// What a call came to; `None` if there is no such call.
fn ended(done: i64) -> Option<Result<Waited>> {
    if done >= 0 {
        return Some(Ok(Waited::Woken));
    }
    match std::io::Error::last_os_error().raw_os_error() {
        Some(libc::ENOSYS) => None,
        Some(libc::EAGAIN) => Some(Ok(Waited::Changed)),
        Some(libc::ETIMEDOUT) => Some(Ok(Waited::TimedOut)),
        Some(libc::EINTR) => Some(Ok(Waited::Woken)),
        _ => Some(Err(Error::os("wait for a word of an object"))),
    }
}

/// Waits for the low half, and looks at the whole word now and then.
fn wait_and_look(word: &AtomicU64, value: u64, timeout: Option<Duration>) -> Result<Waited> {
    let start = Instant::now();
    let [(address, low), _] = halves(word, value);
    loop {
        let left = timeout.map_or(LOOK, |timeout| timeout.saturating_sub(start.elapsed()));
        let until = timespec(left.min(LOOK));
        // SAFETY: a word in mapped memory, and a time.
        let done = unsafe {
            libc::syscall(libc::SYS_futex, address, libc::FUTEX_WAIT, low, &raw const until)
        };
        let outcome = ended(done).unwrap_or(Ok(Waited::TimedOut));
        let over = timeout.is_some_and(|timeout| start.elapsed() >= timeout);
        match outcome {
            Ok(Waited::TimedOut) if word.load(Ordering::SeqCst) != value => {
                return Ok(Waited::Changed);
            }
            Ok(Waited::TimedOut) if !over => {}
            other => return other,
        }
    }
}

/// Wakes at most `count` of those who wait for `word`; says how many.
pub fn wake(word: &AtomicU64, count: u64) -> Result<u64> {
    let count = count.min(i32::MAX as u64) as i32;
    let low = word.as_ptr() as *const AtomicU32;
    // SAFETY: only the address is used.
    let woken = unsafe { libc::syscall(libc::SYS_futex, low, libc::FUTEX_WAKE, count) };
    if woken < 0 { Err(Error::os("wake who waits for a word")) } else { Ok(woken as u64) }
}

fn now() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is ours to be written.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn timespec(time: Duration) -> libc::timespec {
    libc::timespec {
        tv_sec: time.as_secs().min(i64::MAX as u64) as i64,
        tv_nsec: time.subsec_nanos() as i64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Waiting = fn(&AtomicU64, u64, Option<Duration>) -> Result<Waited>;
    const WAYS: [Waiting; 2] = [wait, wait_and_look];

    #[test]
    fn either_half_counts_and_time_runs_out() {
        for wait in WAYS {
            let word = AtomicU64::new(5 << 32 | 7);
            let short = Some(Duration::from_millis(20));
            assert_eq!(wait(&word, 5 << 32 | 8, short).unwrap(), Waited::Changed);
            assert_eq!(wait(&word, 6 << 32 | 7, short).unwrap(), Waited::Changed);
            assert_eq!(wait(&word, 5 << 32 | 7, short).unwrap(), Waited::TimedOut);
            assert_eq!(wake(&word, 1).unwrap(), 0);
        }
    }

    #[test]
    fn nothing_is_missed_whichever_half_changes() {
        for (wait, step) in WAYS.into_iter().zip([1, 1 << 32]) {
            let word = AtomicU64::new(0);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    for _ in 0..200 {
                        word.fetch_add(step, Ordering::SeqCst);
                        wake(&word, u64::MAX).unwrap();
                    }
                });
                loop {
                    let seen = word.load(Ordering::SeqCst);
                    if seen == 200 * step {
                        break;
                    }
                    wait(&word, seen, None).unwrap();
                }
            });
        }
    }
}

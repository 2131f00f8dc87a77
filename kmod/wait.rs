// SPDX-License-Identifier: GPL-2.0
//! Sleeping on a word of an object until somebody wakes: what futexes cannot do
//! here, since they look for a page that the kernel manages.
//!
//! Sleepers are kept in buckets by what they sleep on, an object and an offset,
//! so that it does not matter which process maps it where. A sleeper is in its
//! bucket before it looks at the word: who stores first and then wakes finds it
//! there, or it finds the new value.

use crate::{error::Result, space::Space, stats::Event};
use kernel::{
    prelude::*,
    sync::{new_condvar, new_mutex, CondVar, CondVarTimeoutResult, Mutex},
    time::{msecs_to_jiffies, Instant, Monotonic},
};
use twz_core::RecordNo;

const BUCKETS: usize = 64;

/// What is slept on.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Word {
    pub record: RecordNo,
    /// In the object's slot.
    pub offset: u64,
}

/// One thread that sleeps.
struct Sleeper {
    word: Word,
    ticket: u64,
    woken: bool,
}

struct Queue {
    sleepers: KVec<Sleeper>,
    /// The next ticket.
    next: u64,
}

#[pin_data]
struct Bucket {
    #[pin]
    queue: Mutex<Queue>,
    #[pin]
    changed: CondVar,
}

/// All who sleep.
#[pin_data]
pub(crate) struct Sleepers {
    #[pin]
    buckets: [Bucket; BUCKETS],
}

impl Bucket {
    fn new() -> impl PinInit<Self> {
        pin_init!(Self {
            queue <- new_mutex!(Queue { sleepers: KVec::new(), next: 0 }),
            changed <- new_condvar!(),
        })
    }
}

impl Sleepers {
    pub(crate) fn new() -> impl PinInit<Self> {
        pin_init!(Self { buckets <- pin_init::pin_init_array_from_fn(|_| Bucket::new()) })
    }

    fn bucket(&self, word: Word) -> Option<&Bucket> {
        let mixed = (word.record.0 as u64 ^ word.offset.rotate_left(29))
            .wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.buckets.get((mixed >> 58) as usize % BUCKETS)
    }

    /// Sleeps while `still` says so, at most `timeout` nanoseconds. The caller
    /// holds the object.
    pub(crate) fn wait(
        &self,
        space: &Space,
        word: Word,
        timeout: u64,
        still: impl FnOnce() -> Result<bool>,
    ) -> Result {
        let Some(bucket) = self.bucket(word) else { return Ok(()) };
        let mut queue = bucket.queue.lock();
        let ticket = queue.next;
        queue.next += 1;
        queue.sleepers.push(Sleeper { word, ticket, woken: false }, GFP_KERNEL)?;
        let looked = match still() {
            Ok(true) => None,
            Ok(false) => Some(Err(EAGAIN.into())),
            Err(error) => Some(Err(error)),
        };
        space.counters.count(Event::Wait);
        let begun = Instant::<Monotonic>::now();
        let result = loop {
            if let Some(result) = looked {
                break result;
            }
            if queue.sleepers.iter().any(|s| s.ticket == ticket && s.woken) {
                break Ok(());
            }
            if timeout == u64::MAX {
                if bucket.changed.wait_interruptible(&mut queue) {
                    break Err(ERESTARTSYS.into());
                }
                continue;
            }
            // By the clock and not by ticks, which may come late and then all at once.
            let left = timeout.saturating_sub(begun.elapsed().as_nanos() as u64);
            if left == 0 {
                break Err(ETIMEDOUT.into());
            }
            // A tick more: the one that runs has begun already.
            let ticks = 1 + msecs_to_jiffies(left.div_ceil(1_000_000).min(u32::MAX as u64) as u32);
            let waited = bucket.changed.wait_interruptible_timeout(&mut queue, ticks);
            if let CondVarTimeoutResult::Signal { .. } = waited {
                break Err(EINTR.into());
            }
        };
        let woken = queue.sleepers.iter().position(|s| s.ticket == ticket);
        let was_woken = match woken {
            Some(at) => queue.sleepers.remove(at).is_ok_and(|sleeper| sleeper.woken),
            None => false,
        };
        // Woken and interrupted at once: the wake-up counts, it was spent on us.
        if was_woken {
            Ok(())
        } else {
            result
        }
    }

    /// Wakes everybody, to see what has become of what they wait for.
    pub(crate) fn wake_all(&self) {
        for bucket in &self.buckets {
            bucket.queue.lock().sleepers.iter_mut().for_each(|sleeper| sleeper.woken = true);
            bucket.changed.notify_all();
        }
    }

    /// Wakes up to `count` who sleep on a word; returns how many there were.
    pub(crate) fn wake(&self, space: &Space, word: Word, count: u64) -> u64 {
        let Some(bucket) = self.bucket(word) else { return 0 };
        let mut queue = bucket.queue.lock();
        let asleep = queue.sleepers.iter_mut().filter(|s| s.word == word && !s.woken);
        let mut woken = 0;
        for sleeper in asleep.take(count.min(usize::MAX as u64) as usize) {
            sleeper.woken = true;
            woken += 1;
        }
        if woken != 0 {
            bucket.changed.notify_all();
        }
        space.counters.add(Event::Woken, woken);
        woken
    }
}

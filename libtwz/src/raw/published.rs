// SPDX-License-Identifier: MIT OR Apache-2.0
//! A value that is replaced now and then and read all the time, in the fault
//! handler too: reading takes no lock and waits for nobody.

use std::{
    ptr,
    sync::{
        Mutex,
        atomic::{AtomicPtr, AtomicUsize, Ordering},
    },
};

/// A place for a value, or none.
///
/// # Invariants
///
/// `now` is null or from `Box::into_raw`, and nobody else frees it. What is in
/// `old` was such a pointer, is in no other place, and is freed only when `readers`
/// was seen to be 0 after it had been taken out of `now`.
pub struct Published<T> {
    now: AtomicPtr<T>,
    readers: AtomicUsize,
    old: Mutex<Vec<AtomicPtr<T>>>,
}

impl<T: Send + Sync> Published<T> {
    /// A place with nothing in it.
    pub const fn empty() -> Self {
        Self {
            now: AtomicPtr::new(ptr::null_mut()),
            readers: AtomicUsize::new(0),
            old: Mutex::new(Vec::new()),
        }
    }

    /// Looks at the value.
    pub fn with<R>(&self, look: impl FnOnce(Option<&T>) -> R) -> R {
        // A `look` that panics leaves the count too high: then nothing is freed.
        self.readers.fetch_add(1, Ordering::SeqCst);
        let now = self.now.load(Ordering::SeqCst);
        // SAFETY: null, or a value that is not freed: whoever takes it out of `now`
        // frees it only after it has seen `readers` at 0 after that, and this one
        // was counted before it loaded the pointer (all of it sequentially
        // consistent). References to it are shared only.
        let seen = look(unsafe { now.as_ref() });
        self.readers.fetch_sub(1, Ordering::SeqCst);
        seen
    }

    /// Puts another value in its place. Who looks at the old one now goes on doing so.
    pub fn replace(&self, new: Option<T>) {
        let new = new.map_or(ptr::null_mut(), |new| Box::into_raw(Box::new(new)));
        let old = self.now.swap(new, Ordering::SeqCst);
        let mut all = self.old.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if !old.is_null() {
            all.push(AtomicPtr::new(old));
        }
        if self.readers.load(Ordering::SeqCst) == 0 {
            all.drain(..).for_each(free);
        }
    }
}

fn free<T>(old: AtomicPtr<T>) {
    // SAFETY: from `Box::into_raw`, in no other place (type invariant), and nobody
    // looks at it: the callers have seen to that.
    drop(unsafe { Box::from_raw(old.into_inner()) });
}

impl<T> Drop for Published<T> {
    fn drop(&mut self) {
        // Nobody looks: this is the last reference.
        let now = std::mem::replace(&mut self.now, AtomicPtr::new(ptr::null_mut()));
        if !now.load(Ordering::SeqCst).is_null() {
            free(now);
        }
        let old = self.old.get_mut().unwrap_or_else(|poisoned| poisoned.into_inner());
        old.drain(..).for_each(free);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    #[test]
    fn what_is_seen_is_whole_and_what_is_replaced_is_freed() {
        let place = Published::empty();
        let values: Vec<_> = (0..200u64).map(|i| Arc::new([i; 8])).collect();
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for _ in 0..2000 {
                        place.with(|now: Option<&Arc<[u64; 8]>>| {
                            let Some(now) = now else { return };
                            assert!(now.iter().all(|word| *word == now[0]));
                        });
                    }
                });
            }
            values.iter().for_each(|value| place.replace(Some(value.clone())));
        });
        place.replace(None);
        assert!(place.with(|now| now.is_none()));
        assert!(values.iter().all(|value| Arc::strong_count(value) == 1));
    }
}

// SPDX-License-Identifier: GPL-2.0
//! Why each thread was last refused something: [`Refusals`], what `LAST_ERROR`
//! asks. A thread's refusals are told to that thread alone, whichever of its
//! descriptors it asks; of threads that share a place, the last one's is kept.

use crate::{error::Result, sys::Caller};
use kernel::{
    prelude::*,
    sync::{new_spinlock, SpinLock},
};
use twz_abi::ioctl::LastError;

/// Threads whose refusals are kept, at most.
const PLACES: usize = 256;

/// The last refusals.
#[pin_data]
pub(crate) struct Refusals {
    #[pin]
    kept: SpinLock<KVec<(Caller, LastError)>>,
}

impl Refusals {
    pub(crate) fn new() -> Result<impl PinInit<Self>> {
        let mut kept = KVec::with_capacity(PLACES, GFP_KERNEL)?;
        kept.extend_with(PLACES, (Caller::NOBODY, LastError::default()), GFP_KERNEL)?;
        Ok(pin_init!(Self { kept <- new_spinlock!(kept) }))
    }

    /// Keeps what the calling thread was refused.
    pub(crate) fn keep(&self, told: LastError) {
        let caller = Caller::now();
        if let Some(place) = self.kept.lock().get_mut(caller.thread as usize % PLACES) {
            *place = (caller, told);
        }
    }

    /// What the calling thread was last refused.
    pub(crate) fn last(&self) -> LastError {
        let caller = Caller::now();
        match self.kept.lock().get(caller.thread as usize % PLACES) {
            Some((of, told)) if *of == caller => *told,
            _ => LastError::default(),
        }
    }
}

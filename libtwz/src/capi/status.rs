// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a call answers: 0, or a negative errno and a sentence for the thread.

use std::{
    cell::RefCell,
    ffi::{CString, c_char, c_int},
    panic::{AssertUnwindSafe, catch_unwind},
};

use crate::error::Error;

/// Why a call failed.
#[derive(Debug)]
pub struct Fail {
    errno: c_int,
    text: String,
}

/// What the body of an entry point comes to.
pub type Answer<T = ()> = Result<T, Fail>;

impl Fail {
    /// A failure that is the caller's, or that C has another errno for.
    pub fn new(errno: c_int, text: impl Into<String>) -> Self {
        Self { errno, text: text.into() }
    }
}

impl From<Error> for Fail {
    fn from(error: Error) -> Self {
        Self { errno: error.errno(), text: error.to_string() }
    }
}

thread_local! {
    static LAST: RefCell<CString> = RefCell::default();
}

/// Runs the body of an entry point. Nothing it does unwinds into C: a panic
/// leaves no lock of ours poisoned, as all of them are taken over when they
/// are, and the caller gets nothing back that was half made.
pub fn answer(body: impl FnOnce() -> Answer) -> c_int {
    let fail = match catch_unwind(AssertUnwindSafe(body)) {
        Ok(Ok(())) => return 0,
        Ok(Err(fail)) => fail,
        Err(payload) => {
            let said = payload
                .downcast_ref::<String>()
                .map(String::as_str)
                .or_else(|| payload.downcast_ref::<&str>().copied())
                .unwrap_or("it did not say why")
                .to_owned();
            // Its drop could panic again.
            std::mem::forget(payload);
            Fail::new(libc::EIO, format!("the library failed, which is a bug in it: {said}"))
        }
    };
    remember(fail.text);
    if fail.errno > 0 { -fail.errno } else { -libc::EIO }
}

fn remember(text: String) {
    let text = CString::new(text.replace('\0', " ")).unwrap_or_default();
    // A thread that is ending may have lost the place: then there is no text.
    let _ = LAST.try_with(|last| last.replace(text));
}

#[unsafe(no_mangle)]
pub extern "C" fn twz_last_error() -> *const c_char {
    LAST.try_with(|last| last.borrow().as_ptr()).unwrap_or(c"".as_ptr())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn last() -> String {
        LAST.with(|last| last.borrow().to_str().unwrap().to_owned())
    }

    #[test]
    fn a_panic_is_an_answer() {
        assert_eq!(answer(|| panic!("on {}", "purpose")), -libc::EIO);
        assert!(last().ends_with("on purpose"), "{}", last());
        assert_eq!(answer(|| std::panic::panic_any(5)), -libc::EIO);
    }

    #[test]
    fn each_thread_has_its_own_last_error() {
        assert_eq!(answer(|| Err(Fail::new(libc::EPERM, "mine\0"))), -libc::EPERM);
        std::thread::spawn(|| assert_eq!(last(), "")).join().unwrap();
        assert_eq!(answer(|| Ok(())), 0);
        assert_eq!(last(), "mine ");
        assert_eq!(answer(|| Err(Fail::new(0, ""))), -libc::EIO);
    }
}

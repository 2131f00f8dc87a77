// SPDX-License-Identifier: MIT OR Apache-2.0
//! Why a benchmark could not be finished.

use std::fmt;

/// What went wrong, for people.
#[derive(Debug)]
pub struct Failed(String);

impl Failed {
    /// With this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

// `Failed` itself is no `Error`, so that any error becomes one by `?`.
impl<E: std::error::Error> From<E> for Failed {
    fn from(error: E) -> Self {
        Self(error.to_string())
    }
}

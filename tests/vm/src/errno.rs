// SPDX-License-Identifier: MIT OR Apache-2.0
//! Error numbers that print as their names, so that a failed test says which.

use std::fmt;

/// What a system call failed with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Errno(pub i32);

/// What system calls return here.
pub type Result<T = (), E = Errno> = core::result::Result<T, E>;

/// Writes constants and names.
macro_rules! errnos {
    ($($name:ident),*) => {
        impl Errno {
            $(pub const $name: Self = Self(libc::$name);)*
        }
        const NAMES: &[(i32, &str)] = &[$((libc::$name, stringify!($name))),*];
    };
}

errnos! {
    EACCES, EAGAIN, EBADF, EBUSY, EEXIST, EFAULT, EFBIG, EINTR, EINVAL, EIO, EISDIR, ENOENT,
    ENOSPC, ENOTDIR, ENOTEMPTY, ENOTTY, ENXIO, EOPNOTSUPP, EPERM, EPROTO, EROFS, ETIMEDOUT
}

impl Errno {
    /// What the last system call of this thread failed with.
    pub fn last() -> Self {
        Self(std::io::Error::last_os_error().raw_os_error().unwrap_or(0))
    }

    /// Turns what a C function returned into a result: -1 is a failure.
    pub fn check(returned: libc::c_long) -> Result<usize> {
        if returned == -1 { Err(Self::last()) } else { Ok(returned as usize) }
    }
}

impl fmt::Debug for Errno {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "errno {}", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_numbers() {
        assert_eq!(format!("{:?}", Errno(libc::EPROTO)), "EPROTO");
        assert_eq!(format!("{:?}", Errno(4000)), "errno 4000");
    }
}

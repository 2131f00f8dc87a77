// SPDX-License-Identifier: MIT OR Apache-2.0
//! How the command ends: the one table of exit codes, what goes wrong
//! ([`Fail`]), and which of the codes that is.

use std::io;

use crate::{json, term::Style};

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Done = 0,
    No = 1,
    Usage = 2,
    NotFound = 3,
    Denied = 4,
    NoSpace = 5,
    Damaged = 6,
}

/// What the exit codes mean; `twz help` and every manual page show it.
pub const EXIT_CODES: &str = "\
EXIT CODES
  0  done
  1  what was asked about is not so, or could not be done
  2  the command line is wrong
  3  there is no such object, name or pool
  4  a right is missing, or the pool can only be read
  5  no space: the pool, the file system or the object is full
  6  damaged: bytes are not what they should be";

impl Exit {
    /// The code that an errno comes to.
    fn of(errno: i32) -> Self {
        match errno {
            libc::ENOENT => Self::NotFound,
            libc::EACCES | libc::EPERM | libc::EROFS => Self::Denied,
            libc::ENOSPC | libc::EDQUOT => Self::NoSpace,
            libc::EUCLEAN | libc::EIO => Self::Damaged,
            _ => Self::No,
        }
    }

    /// What to do about it, where the error itself does not say.
    fn hint(self) -> Option<&'static str> {
        match self {
            Self::NotFound => Some("'twz ls' and 'twz name ls' show what there is"),
            Self::Denied => {
                Some("see the rights with 'twz info', and the modes of the pool's files")
            }
            Self::NoSpace => Some("delete what is not needed ('twz rm'), or use a larger pool"),
            Self::Damaged => Some("'twz pool check' shows what is damaged and what can be done"),
            _ => None,
        }
    }
}

/// How every command ends.
pub type Outcome<T = Exit> = Result<T, Fail>;

/// Why a command was not done.
#[derive(Debug)]
pub struct Fail {
    message: String,
    hint: Option<String>,
    errno: i32,
    pub exit: Exit,
    /// Nobody reads the output any more, so nobody wants to hear of it.
    pub silent: bool,
}

impl Fail {
    /// The command line asks for something that cannot be meant.
    pub fn usage(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::Usage, libc::EINVAL, message, hint)
    }

    /// It could not be done.
    pub fn no(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::No, libc::EINVAL, message, hint)
    }

    /// There is no such thing.
    pub fn missing(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::NotFound, libc::ENOENT, message, hint)
    }

    /// This kind of pool cannot do it.
    pub fn unsupported(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::new(Exit::No, libc::EOPNOTSUPP, message, hint)
    }

    /// What the daemon says.
    pub fn told(message: String, errno: i32) -> Self {
        let exit = Exit::of(errno);
        let (message, hint) = match message.split_once("; ") {
            Some((message, hint)) => (message.into(), Some(hint.into())),
            None => (message, None),
        };
        Self { message, hint, errno, exit, silent: false }
    }

    fn new(exit: Exit, errno: i32, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { message: message.into(), hint: Some(hint.into()), errno, exit, silent: false }
    }

    /// For `map_err` behind reading or writing a file that is no part of a pool.
    pub fn file(doing: &str, path: &std::path::Path) -> impl FnOnce(io::Error) -> Self {
        let what = format!("cannot {doing} {}", path.display());
        move |error| Self::os(what, &error)
    }

    /// For `map_err` behind writing to the standard output.
    pub fn stdout(error: io::Error) -> Self {
        let silent = error.kind() == io::ErrorKind::BrokenPipe;
        Self { silent, ..Self::os("cannot write to the standard output".into(), &error) }
    }

    fn os(what: String, error: &io::Error) -> Self {
        let errno = error.raw_os_error().unwrap_or(libc::EINVAL);
        let hint = match Exit::of(errno) {
            Exit::NotFound => Some("see that the path is right"),
            Exit::Denied => Some("see the modes of the file and its directory"),
            Exit::NoSpace => Some("make room in that file system, or choose another place"),
            _ => None,
        };
        Self {
            message: format!("{what}: {error}"),
            hint: hint.map(Into::into),
            errno,
            // A file that the medium cannot read is not a damaged pool.
            exit: if errno == libc::EIO { Exit::No } else { Exit::of(errno) },
            silent: false,
        }
    }

    /// What clap says of a command line.
    pub fn command_line(error: &clap::Error) -> Self {
        let text = error.render().to_string();
        let message = text.lines().next().unwrap_or_default().trim_start_matches("error: ");
        Self::usage(message, "'twz help COMMAND' explains a command, with examples")
    }

    /// Says it on the standard error.
    pub fn report(&self, json: bool, style: Style) {
        if self.silent {
            return;
        }
        if json {
            let error = json::ErrorBody {
                message: &self.message,
                errno: self.errno,
                hint: self.hint.as_deref(),
            };
            // A document of two strings and a number always serializes.
            if let Ok(text) = serde_json::to_string(&json::ErrorDocument { error }) {
                eprintln!("{text}");
            }
            return;
        }
        eprintln!("{} {}", style.bad("twz:"), self.message);
        if let Some(hint) = &self.hint {
            eprintln!("     {hint}");
        }
    }
}

impl From<twz::Error> for Fail {
    fn from(error: twz::Error) -> Self {
        let errno = errno_of(&error);
        let exit = match &error {
            twz::Error::BadSize(_) => Exit::Usage,
            _ => Exit::of(errno),
        };
        // The library says what is wrong, then "; " and what to do about it.
        // A version of the format says it after ": ".
        let text = error.to_string().replace(": use a newer twz", "; use a newer twz");
        let own = match &error {
            twz::Error::Secret(_) => Some("see --passphrase-file and --key-file"),
            twz::Error::NotOwner { .. } => Some("'twz why' and 'twz key ls' show who owns what"),
            twz::Error::Context { .. } => Some("'twz ctx show' and 'twz why' say what it allows"),
            _ => exit.hint(),
        };
        let (message, hint) = match text.split_once("; ") {
            Some((message, hint)) => (message.into(), Some(hint.into())),
            None => (text, own.map(Into::into)),
        };
        // The library writes to the standard output too, where it draws.
        let silent = errno == libc::EPIPE;
        Self { message, hint, errno, exit, silent }
    }
}

/// The errno that says it best; of a store, by what it ran into.
fn errno_of(error: &twz::Error) -> i32 {
    use twz::{Error, StoreError};
    match error {
        Error::Store(StoreError::Full { .. }) => libc::ENOSPC,
        Error::Store(StoreError::Format(_) | StoreError::Damaged { .. }) => libc::EUCLEAN,
        // Whoever makes an image too small is told before it comes to this.
        Error::Store(StoreError::Corrupt { .. } | StoreError::TooSmall { .. }) => libc::EUCLEAN,
        Error::Store(StoreError::Unfinished) => libc::EROFS,
        Error::Store(StoreError::Media(_) | StoreError::Stopped) => libc::EIO,
        Error::Store(_) => libc::EINVAL,
        other => other.errno(),
    }
}

#[cfg(test)]
mod tests {
    use twz::StoreError;

    use super::*;

    #[test]
    fn the_table_names_every_code() {
        for exit in [
            Exit::Done,
            Exit::No,
            Exit::Usage,
            Exit::NotFound,
            Exit::Denied,
            Exit::NoSpace,
            Exit::Damaged,
        ] {
            let line = format!("\n  {}  ", exit as u8);
            assert_eq!(EXIT_CODES.matches(&line).count(), 1, "{exit:?}");
        }
    }

    #[test]
    fn errors_of_the_library_have_their_codes() {
        let id = twz::ObjectId::from_u128(1 << 64 | 1);
        let cases = [
            (twz::Error::NoObject(id), Exit::NotFound),
            (twz::Error::NoName("a".into()), Exit::NotFound),
            (twz::Error::NoPool("a".into()), Exit::NotFound),
            (twz::Error::NameTaken("a".into()), Exit::No),
            (twz::Error::BadSize(1 << 40), Exit::Usage),
            (twz::Error::Immutable(id), Exit::Denied),
            (twz::Error::ReadOnly, Exit::Denied),
            (twz::Error::denied(id, twz::Rights::WRITE), Exit::Denied),
            (twz::Error::ObjectFull { id, what: "its FOT" }, Exit::NoSpace),
            (twz::Error::BadId(id), Exit::Damaged),
            (StoreError::TooSmall { need: 2, have: 1 }.into(), Exit::Damaged),
            (StoreError::Nonce.into(), Exit::No),
            (StoreError::Corrupt { what: "a map", at: 0 }.into(), Exit::Damaged),
            (StoreError::Directory { id }.into(), Exit::No),
        ];
        for (error, exit) in cases {
            let text = error.to_string();
            assert_eq!(Fail::from(error).exit, exit, "{text}");
        }
    }

    #[test]
    fn what_to_do_is_told_apart() {
        let fail = Fail::from(twz::Error::NoName("a".into()));
        assert_eq!(fail.message, "no name 'a'");
        assert!(fail.hint.is_some_and(|hint| hint.contains("twz name ls")));
        let fail = Fail::from(twz::Error::BadId(twz::ObjectId::from_u128(1 << 64 | 1)));
        assert!(fail.hint.is_some_and(|hint| hint.contains("pool check")));
    }
}

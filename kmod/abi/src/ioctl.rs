// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The one table of commands that `/dev/twz` answers.
//!
//! Numbers are computed from type, size and place in the table, never typed.
//! Structures have fixed-width fields, natural alignment, explicit padding, a
//! size that is a multiple of 8, addresses as `u64`, no enums. The first
//! command is the handshake. An unknown command is `ENOTTY`; a nonzero
//! reserved field or an unknown flag is `EINVAL`. A command is extended by a
//! new one, never by giving a field another meaning.

mod context;
mod name;
mod object;
mod session;
mod view;

pub use context::*;
pub use name::*;
pub use object::*;
pub use session::*;
pub use view::*;

/// The type byte. `'Z'` is taken by others at 14 and 15 only, so the table
/// begins at [`FIRST`].
pub const TYPE: u8 = b'Z';

/// Number of the first command.
pub const FIRST: u8 = 0x80;

/// Version of this table. The kernel and the library must agree on it.
pub const ABI_VERSION: u32 = 2;

/// A command: its name, number and argument size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Command {
    /// For messages and the golden file.
    pub name: &'static str,
    /// What `ioctl(2)` is given.
    pub number: u32,
    /// Bytes of the argument.
    pub size: usize,
}

/// The number of a command whose argument is read and written back.
pub const fn iowr(nr: u8, size: usize) -> u32 {
    3 << 30 | (size as u32) << 16 | (TYPE as u32) << 8 | nr as u32
}

/// Writes the table: constants by name, and [`COMMANDS`] in order.
macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $nr:literal: $type:ident;)*) => {
        $(
            $(#[$doc])*
            pub const $name: u32 = iowr(FIRST + $nr, core::mem::size_of::<$type>());
        )*
        /// Every command, in order of number.
        pub const COMMANDS: &[Command] = &[$(Command {
            name: stringify!($name),
            number: $name,
            size: core::mem::size_of::<$type>(),
        }),*];
    };
}

table! {
    /// First of all: versions and features of both sides.
    HANDSHAKE = 0: Handshake;
    /// What the pool is.
    INFO = 1: Info;
    /// Why the last command or fault of this thread was refused.
    LAST_ERROR = 2: LastError;
    /// Lets go of a page that forbids what was tried, so that it is asked anew:
    /// for a fetch from a page that is mapped without execution, which the
    /// processor refuses without asking the module.
    FAULT = 3: Fault;

    /// Makes an object.
    CREATE = 4: Create;
    /// Puts in place an object that was made elsewhere, under the id it has.
    ADOPT = 5: Adopt;
    /// Tells of an object.
    STAT = 6: Stat;
    /// Lists ids, of directories too.
    LIST = 7: List;
    /// Changes the size of an object's data.
    RESIZE = 8: Resize;
    /// Makes sure that bytes of a slot have storage behind them: data, to which the
    /// object grows, or FOT that the meta record's bounds claim.
    RESERVE = 9: Reserve;
    /// Deletes an object; it is gone with its last mapping.
    DELETE = 10: Delete;
    /// Returns once all that was done to an object is durable.
    SYNC = 11: Sync;
    /// Makes an object that shares another's pages until either writes.
    COPY = 12: Copy;
    /// Copies bytes out of an object's slot; holes are zeros.
    READ = 13: Transfer;
    /// Copies bytes into an object's slot, within its data or its tail.
    WRITE = 14: Transfer;
    /// A file descriptor of an object's data.
    OPEN_FD = 15: OpenFd;
    /// Sleeps while a word of an object holds a value.
    WAIT = 16: Wait;
    /// Wakes sleepers on a word of an object.
    WAKE = 17: Wake;

    /// A descriptor to map the address space that a view object describes.
    SET_VIEW = 18: SetView;
    /// Tells that entries of a view have changed, for all who have it mapped.
    INVALIDATE_VIEW = 19: InvalidateView;
    /// What a fault on an object would be granted.
    RESOLVE = 20: Resolve;

    /// What a path is bound to.
    LOOKUP = 21: Lookup;
    /// Binds a path to an object.
    BIND = 22: Bind;
    /// Takes a name away; the object stays.
    UNBIND = 23: PathOnly;
    /// Renames, replacing what the new name was bound to.
    RENAME = 24: Rename;
    /// Makes a directory of names.
    MKDIR = 25: PathOnly;
    /// Removes an empty directory of names.
    RMDIR = 26: PathOnly;
    /// Lists the names in a directory.
    READ_DIR = 27: ReadDir;

    /// Which contexts this memory map is attached to, and a nonce for a proof.
    CONTEXTS = 28: ContextState;
    /// Attaches to a context.
    ATTACH = 29: Attach;
    /// Detaches from a context.
    DETACH = 30: ContextOnly;
    /// Makes a context the active one.
    SWITCH = 31: ContextOnly;
    /// Reads a context's object anew, for all who are attached to it.
    LOAD = 32: ContextOnly;
    /// Raises an object's epoch: grants of earlier ones are void.
    REVOKE = 33: Revoke;
}

/// Where the control page is in the offsets of a view's descriptor: in slot 0,
/// which shows no object. It can be mapped for reading only.
pub const CONTROL_OFFSET: u64 = crate::PAGE;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense_and_unique() {
        for (i, command) in COMMANDS.iter().enumerate() {
            assert_eq!(command.number & 0xff, FIRST as u32 + i as u32, "{}", command.name);
            assert_eq!(command.number >> 16 & 0x3fff, command.size as u32);
            assert_eq!(command.size % 8, 0, "{}", command.name);
        }
    }
}

// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Why the kernel refused something, as stable numbers with a sentence each:
//! what [`crate::ioctl::LAST_ERROR`] tells, what the module's counters count
//! and what its log lines say.

/// Writes the table: constants by name, and [`ALL`] in order.
macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $nr:literal: $text:literal;)*) => {
        $($(#[$doc])* pub const $name: u32 = $nr;)*
        /// Every reason: number and sentence, in order of number.
        pub const ALL: &[(u32, &str)] = &[$(($nr, $text)),*];
    };
}

table! {
    /// Nothing was refused.
    NONE = 0: "nothing was refused";
    /// The slot shows no object.
    NO_VIEW = 1: "the view shows no object there";
    /// The entry of the view is not one.
    BAD_VIEW = 2: "the view's entry for this slot is damaged";
    /// No object has the id that the view names.
    NO_OBJECT = 3: "no object has the id that the view names";
    /// The id was not earned by what the object says it is made from.
    BAD_ID = 4: "the object's id is not the one its identity makes";
    /// The view's protection does not include the access.
    VIEW_DENIES = 5: "the view's protection does not include this access";
    /// The active context does not grant the access.
    CONTEXT_DENIES = 6: "the active security context does not grant this access";
    /// Neither data nor FOT is there.
    OUTSIDE = 7: "the object has neither data nor FOT there";
    /// The pool has no page left.
    FULL = 8: "the pool is full";
    /// The medium is gone or failed.
    DEAD = 9: "the pool's medium is gone or has failed";
    /// The store found damage.
    DAMAGED = 10: "the pool is damaged; take it offline and run 'twz pool check'";
    /// Another process's session.
    FOREIGN = 11: "this descriptor belongs to another process";
    /// The mapping itself was made without the right.
    MAPPING_DENIES = 12: "the memory was mapped without the protection for this access";
    /// A mapping that the module does not make.
    BAD_MAPPING = 13: "a mapping must be shared, and cannot be moved or given other protection";
    /// The pool is read-only.
    READ_ONLY = 14: "the pool is read-only";
    /// An argument of a command is not one.
    BAD_ARGUMENT = 15: "an argument is out of range or a reserved field is not zero";
    /// A context that is not one (SECURITY.md, C1 to C4).
    BAD_CONTEXT = 16: "the security context's object is not a whole context";
    /// Neither the right to attach, nor a proof of the owner's key.
    NO_USE = 17: "attaching takes the right to use the context, or a proof by its owner's key";
    /// Detached, or never attached.
    NOT_ATTACHED = 18: "this process is not attached to that security context";
    /// Attached to as many as can be.
    TOO_MANY = 19: "no more security contexts can be attached or loaded";
    /// The context cannot be left by call.
    CONFINED = 20: "the active security context is left through a gate only";
    /// The context cannot be detached.
    UNDETACHABLE = 21: "the security context cannot be detached while it is active, or at all";
    /// Entered past the gate.
    NO_GATE = 22: "another attached context would allow it, but not be entered here: no gate";
    /// Another thread would gain.
    THREADS = 23: "another attached context would allow it, but other threads would gain by the switch";
    /// Traced.
    TRACED = 24: "a process that is traced cannot gain rights";
    /// A statement without the owner's signature, or of an earlier epoch.
    BAD_STATEMENT = 25: "the statement does not bear the owner's signature, or lowers the epoch";
    /// The code that runs may not be in the context that would allow it.
    CODE_DENIES = 26: "another attached context would allow it, but not the code that runs";
}

/// The sentence for a reason.
pub fn text(reason: u32) -> &'static str {
    ALL.iter().find(|(n, _)| *n == reason).map_or("an unknown reason", |(_, text)| text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_dense() {
        for (i, (n, text)) in ALL.iter().enumerate() {
            assert_eq!(i as u32, *n);
            assert!(!text.is_empty());
        }
        assert_eq!(text(NO_VIEW), "the view shows no object there");
        assert_eq!(text(999), "an unknown reason");
    }
}

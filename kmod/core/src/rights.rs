// SPDX-License-Identifier: GPL-2.0 OR MIT
//! The rights arithmetic: what a fault may map.
//!
//! Two levels, kept in two separate tables and never multiplied out: what the
//! view's slot allows, and what the active context allows. An access is done
//! only if both allow it. [`decide`] says so, [`resolve`] does it for a view
//! entry as it was read from an object.

use twz_abi::{FormatError, ObjectId, Rights, ViewEntry};

/// What a program tries to do with memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Load.
    Read,
    /// Store.
    Write,
    /// Fetch an instruction.
    Execute,
}

impl Access {
    /// The right it takes.
    pub const fn right(self) -> Rights {
        match self {
            Self::Read => Rights::READ,
            Self::Write => Rights::WRITE,
            Self::Execute => Rights::EXEC,
        }
    }
}

/// Why an access is refused. The order is that in which the levels are asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The slot shows no object.
    NoView,
    /// The slot's protection does not include the access.
    ViewDenies,
    /// The active context does not grant it. Another context may: this is the
    /// one that a switch can cure.
    ContextDenies,
}

/// What to do about an access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Map the page with these rights, which include the access.
    Allow(Rights),
    /// Do not map it.
    Refuse(Refusal),
}

/// Rights that a page can be mapped with.
pub const MAPPABLE: Rights = Rights(Rights::READ.0 | Rights::WRITE.0 | Rights::EXEC.0);

/// The two-level rule.
pub const fn effective(view: Rights, context: Rights) -> Rights {
    view.and(context)
}

/// Decides one access: the view's protection AND the context's rights, as far
/// as a page table can say them, never writable and executable at once.
pub const fn decide(access: Access, view: Rights, context: Rights) -> Decision {
    let wanted = access.right();
    if !view.contains(wanted) {
        return Decision::Refuse(Refusal::ViewDenies);
    }
    if !context.contains(wanted) {
        return Decision::Refuse(Refusal::ContextDenies);
    }
    Decision::Allow(write_xor_execute(access, effective(view, context).and(MAPPABLE)))
}

/// Rights for a page that was touched with `access`: where both WRITE and EXEC
/// are there, only the one that the access asked for stays, and a read keeps
/// neither.
pub const fn write_xor_execute(access: Access, rights: Rights) -> Rights {
    let both = Rights(Rights::WRITE.0 | Rights::EXEC.0);
    if !rights.contains(both) {
        return rights;
    }
    match access {
        Access::Read => rights.without(both),
        Access::Write => rights.without(Rights::EXEC),
        Access::Execute => rights.without(Rights::WRITE),
    }
}

/// What a slot is to show, as far as the view says: the object to ask the
/// context about, and the protection to pass to [`decide`].
pub fn resolve(
    access: Access,
    entry: &ViewEntry,
) -> Result<Result<(ObjectId, Rights), Refusal>, FormatError> {
    Ok(match entry.check()? {
        None => Err(Refusal::NoView),
        Some(slot) if !slot.protection.contains(access.right()) => Err(Refusal::ViewDenies),
        Some(slot) => Ok((slot.id, slot.protection)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACCESSES: [(Access, u32); 3] =
        [(Access::Read, 1), (Access::Write, 2), (Access::Execute, 4)];

    /// The model: bit by bit, in words of its own.
    fn model(bit: u32, view: u32, context: u32) -> Result<u32, Refusal> {
        if view & bit == 0 {
            return Err(Refusal::ViewDenies);
        }
        if context & bit == 0 {
            return Err(Refusal::ContextDenies);
        }
        let both = view & context & 7;
        Ok(match (both & 6 == 6, bit) {
            (true, 1) => 1,
            (true, 2) => both & 3,
            (true, _) => both & 5,
            (false, _) => both,
        })
    }

    #[test]
    fn every_combination_agrees_with_the_model() {
        for view in 0..64 {
            for context in 0..64 {
                for (access, bit) in ACCESSES {
                    let expected = match model(bit, view, context) {
                        Ok(rights) => Decision::Allow(Rights(rights)),
                        Err(why) => Decision::Refuse(why),
                    };
                    let got = decide(access, Rights(view), Rights(context));
                    assert_eq!(got, expected, "{access:?} view {view} context {context}");
                    if let Decision::Allow(rights) = got {
                        assert!(Rights(view).contains(rights));
                        assert!(Rights(context).contains(rights));
                        assert!(rights.contains(access.right()));
                        assert!(rights.0 & 6 != 6, "writable and executable");
                    }
                }
            }
        }
    }

    #[test]
    fn fewer_rights_never_allow_more() {
        for view in 0..64 {
            for context in 0..64 {
                // Under Miri, which takes minutes for all, one in seven.
                for less in (0..64).step_by(if cfg!(miri) { 7 } else { 1 }) {
                    for (access, _) in ACCESSES {
                        let some = decide(access, Rights(view), Rights(context & less));
                        if let Decision::Allow(_) = some {
                            let all = decide(access, Rights(view), Rights(context));
                            assert!(matches!(all, Decision::Allow(_)));
                        }
                    }
                }
            }
        }
    }

    #[test]
    fn slots() {
        let id = ObjectId::from_u128(1 << 64 | 1);
        let entry = ViewEntry::new(id, Rights::READ);
        assert_eq!(resolve(Access::Read, &ViewEntry::default()), Ok(Err(Refusal::NoView)));
        assert_eq!(resolve(Access::Write, &entry), Ok(Err(Refusal::ViewDenies)));
        assert_eq!(resolve(Access::Read, &entry), Ok(Ok((id, Rights::READ))));
        assert!(resolve(Access::Read, &ViewEntry { reserved: 1, ..entry }).is_err());
    }
}

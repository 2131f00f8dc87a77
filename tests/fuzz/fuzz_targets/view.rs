// SPDX-License-Identifier: MIT OR Apache-2.0
//! View entries, and the decision of a fault on what they say.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twz_abi::{Rights, ViewEntry};
use twz_core::rights::{Access, Decision, decide, effective};
use zerocopy::FromBytes as _;

fuzz_target!(|data: &[u8]| {
    let Ok((entry, rest)) = ViewEntry::read_from_prefix(data) else { return };
    let context = Rights(rest.first().map_or(0, |&b| b as u32));
    if let Ok(Some(slot)) = entry.check() {
        assert!(slot.protection.check() && slot.id.is_valid());
        for access in [Access::Read, Access::Write, Access::Execute] {
            let decision = decide(access, slot.protection, context);
            let granted = effective(slot.protection, context).contains(access.right());
            assert_eq!(matches!(decision, Decision::Allow(_)), granted);
        }
    }
});

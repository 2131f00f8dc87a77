// SPDX-License-Identifier: MIT OR Apache-2.0
//! What contexts grant and what was revoked, beyond a power cut (rules R5 and S1 of
//! SECURITY.md): a part of what `persist.rs` writes, and finds after the next boot.

use twz_abi::{ObjectId, PAGE, Rights, ioctl::attach_flags::SWITCH, security::Gate};

use crate::{
    ktap::{Suite, Test},
    security::{Owner, context, put},
    sys::Session,
    tests,
    world::RW,
};

/// Makes a context that grants two objects, and takes one of them back.
pub fn write(session: &Session) {
    let owner = Owner::new(session, 1);
    let web = context(session, owner.id, Rights::ALL, 0);
    let [kept, lost] = [0, 1].map(|n| {
        let target = owner.object(session, PAGE, Rights::NONE);
        put(session, web, n, &owner.grant(target, web, RW, Gate::NONE));
        target
    });
    for id in [owner.id, web] {
        session.sync(id).expect("SYNC");
    }
    session.mkdir(b"/granted").expect("MKDIR");
    for (name, id) in [("web", web), ("kept", kept), ("lost", lost)] {
        session.bind(format!("/granted/{name}").as_bytes(), id, false).expect("BIND");
    }
    assert_eq!(session.load(web), Ok((2, 0)));
    // The last of all: nothing is made durable after it.
    assert_eq!(session.revoke(&owner, lost, 1), Ok(()));
}

/// Finds it.
pub const VERIFY: Suite = Suite { name: "granted", tests: TESTS, tidy: false };

const TESTS: &[Test] = tests![the_same_is_allowed_and_what_was_revoked_stays_so];

fn the_same_is_allowed_and_what_was_revoked_stays_so() {
    let session = Session::open();
    let named = |name: &str| -> ObjectId {
        session.lookup(format!("/granted/{name}").as_bytes()).expect("LOOKUP").1
    };
    let [web, kept, lost] = ["web", "kept", "lost"].map(named);
    assert_eq!(session.stat(lost).expect("STAT").epoch, 1);
    assert_eq!(session.attach(web, SWITCH), Ok(()), "and it is loaded");
    let allowed = |id| Rights(session.resolve(id, Rights::ALL).expect("RESOLVE").granted);
    assert_eq!(allowed(kept), RW.or(Rights::DELETE));
    assert_eq!(allowed(lost), Rights::DELETE);
    assert_eq!(session.load(web), Ok((1, 1)));
}

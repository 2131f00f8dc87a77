// SPDX-License-Identifier: MIT OR Apache-2.0
//! What a program finds that is resumed: its transactions undone or finished
//! before its handler is called, whoever would have come upon them later.

use std::process::Command;

use twz::{DATA_START, Field, Space, resume};
use twz_tests::{TempPool, embedded_only};

const POOL: &str = "TWZ_TEST_RESUME_POOL";

/// A process of the test below: it dies with a transaction open, having stored in
/// place.
#[test]
fn child_dies_in_a_transaction() {
    let Some(pool) = std::env::var_os(POOL) else { return };
    let space = Space::open(pool).unwrap();
    let thread = resume::register(&space, "t", |_| Ok(())).unwrap();
    thread.set_mark(4).unwrap();
    let object = space.open_name::<Field<u64>>("it").unwrap();
    let _ = space.transaction(|tx| {
        tx.record(object.root())?;
        object.root().set(2)?;
        std::process::abort();
        #[allow(unreachable_code)]
        Ok(())
    });
}

#[test]
fn open_transactions_are_undone_before_the_handler_is_called() {
    embedded_only!("it reads what another process stored, without opening it");
    let pool = TempPool::new();
    let space = pool.open();
    let id = space.create(Field::new(1u64)).unwrap().id();
    space.bind("it", id).unwrap();
    let value = || {
        // Past everything that would settle it.
        let mut bytes = [0; 8];
        space.backend().read(id, DATA_START, &mut bytes).unwrap();
        u64::from_le_bytes(bytes)
    };
    let status = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "recovery::child_dies_in_a_transaction"])
        .env(POOL, pool.path())
        .output()
        .unwrap()
        .status;
    assert!(!status.success());
    assert_eq!(value(), 2, "it was stored in place");
    let mut seen = None;
    let thread = resume::register(&space, "t", |lost| {
        seen = Some((value(), lost.mark, lost.cause));
        Ok(())
    });
    assert_eq!(seen, Some((1, 4, resume::Cause::Killed)));
    thread.unwrap().finish().unwrap();
}

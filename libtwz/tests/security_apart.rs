// SPDX-License-Identifier: MIT OR Apache-2.0
//! Code in objects that is run in a child: how it ends, and what it may touch. What it
//! takes a kernel for, switching at a fault, is in examples/sandbox and tests/vm.
#![cfg(target_arch = "x86_64")]

mod common;

use common::TempPool;
use twz::{
    DATA_START, NewObject, Object, ObjectId, Rights, Space,
    security::{Ended, KeyPair},
};

const ALL: Rights = Rights(Rights::READ.0 | Rights::WRITE.0 | Rights::EXEC.0);

/// Runs something in a child of the harness, which has one thread.
fn alone(act: impl FnOnce()) {
    // SAFETY: the child does what `act` does, which takes no lock of the harness, and ends.
    let pid = unsafe { libc::fork() };
    assert!(pid >= 0);
    if pid == 0 {
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act));
        // SAFETY: no preconditions.
        unsafe { libc::_exit(if done.is_ok() { 0 } else { 99 }) };
    }
    let mut status = 0;
    // SAFETY: `status` is ours to be written.
    assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
    assert!(libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0, "{status:#x}");
}

/// An object of this code, to be run by everybody.
fn code(space: &Space, bytes: &[u8]) -> Object<()> {
    let new = NewObject { default_rights: ALL, size: 4096, ..NewObject::default() };
    let id = space.backend().create(&new).unwrap();
    space.backend().write(id, DATA_START, bytes).unwrap();
    space.open_code(id).unwrap()
}

fn begin(object: &Object<()>) -> usize {
    object.address() + DATA_START as usize
}

/// `mov rax, address; mov rax, [rax]; ret`
fn load(address: usize) -> Vec<u8> {
    [&[0x48, 0xb8][..], &address.to_le_bytes(), &[0x48, 0x8b, 0, 0xc3]].concat()
}

/// `mov eax, SYS_exit_group; mov edi, 7; syscall; ret`
const EXIT: [u8; 13] = [0xb8, 0xe7, 0, 0, 0, 0xbf, 7, 0, 0, 0, 0x0f, 0x05, 0xc3];

#[test]
fn it_ends_as_the_code_says() {
    let pool = TempPool::new();
    alone(|| {
        let space = pool.open();
        let (back, exit) = (code(&space, &[0xc3]), code(&space, &EXIT));
        assert_eq!(space.run_apart(begin(&back), &[]).unwrap(), Ended::Exited(0));
        assert_eq!(space.run_apart(begin(&exit), &[]).unwrap(), Ended::Exited(7));
        let trap = code(&space, &[0x0f, 0x0b]);
        assert_eq!(space.run_apart(begin(&trap), &[]).unwrap(), Ended::Killed(libc::SIGILL));
    });
}

#[test]
fn what_it_may_not_touch_is_told() {
    let pool = TempPool::new();
    alone(|| {
        let space = pool.open();
        let owner = KeyPair::generate().unwrap().publish(space.backend()).unwrap();
        let new = |default_rights| NewObject { owner, default_rights, size: 8, ..<_>::default() };
        let open = space.backend().create(&new(Rights::READ)).unwrap();
        let open = space.open_object_read::<()>(open).unwrap();
        let fine = code(&space, &load(begin(&open)));
        assert_eq!(space.run_apart(begin(&fine), &[]).unwrap(), Ended::Exited(0));
        // `mov rax, address; mov [rax], rax; ret`: it may be read, and no more.
        let address = begin(&open);
        let store = [&[0x48, 0xb8][..], &address.to_le_bytes(), &[0x48, 0x89, 0, 0xc3]].concat();
        let bad = code(&space, &store);
        let Ended::Refused(touched) = space.run_apart(begin(&bad), &[]).unwrap() else {
            panic!("it was done")
        };
        assert_eq!((touched.address, touched.wanted), (address, Rights::WRITE));
        // Code that everybody may read is not run for that.
        let text = NewObject { default_rights: Rights::READ, size: 8, ..<_>::default() };
        let text = space.open_code(space.backend().create(&text).unwrap()).unwrap();
        let Ended::Refused(touched) = space.run_apart(begin(&text), &[]).unwrap() else {
            panic!("it was run")
        };
        assert_eq!((touched.address, touched.wanted), (begin(&text), Rights::EXEC));
        assert!(touched.said.is_none_or(|(id, _)| id == text.id() || id == ObjectId::NULL));
    });
}

#[test]
fn sealed_it_calls_from_its_place_alone() {
    let pool = TempPool::new();
    alone(|| {
        let space = pool.open();
        let exit = code(&space, &EXIT);
        let (from, size) = (begin(&exit), EXIT.len());
        let (own, before) = (from..from + size, from - 4096..from);
        let sealed = |range| space.run_apart(from, std::slice::from_ref(range)).unwrap();
        assert_eq!(sealed(&own), Ended::Exited(7));
        // Refused, it returns; and then there is nobody left who may end the child by a call.
        assert_eq!(sealed(&before), Ended::Killed(libc::SIGILL));
    });
}

#[test]
fn who_has_threads_has_no_child() {
    let pool = TempPool::new();
    alone(|| {
        let space = pool.open();
        let back = code(&space, &[0xc3]);
        let (told, wait) = std::sync::mpsc::channel::<()>();
        std::thread::scope(|scope| {
            scope.spawn(move || wait.recv());
            assert!(space.run_apart(begin(&back), &[]).is_err());
            drop(told);
        });
    });
}

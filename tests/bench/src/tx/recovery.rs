// SPDX-License-Identifier: MIT OR Apache-2.0
//! How long it takes to come upon an object whose last transaction was cut off,
//! in a pool of many objects and in one of few.

use std::path::PathBuf;

use twz::{EmbeddedPool, Field, InitOptions, NewObject, Object, ObjectId, Space};

use crate::{
    error::Failed,
    machine,
    race::{Contender, Race, race},
    report::Record,
};

const FEW: usize = 1000;
/// Objects that the transaction changed.
const CHANGED: usize = 8;
const ROUNDS: usize = 21;
/// Bytes of memory that an object takes.
const EACH: u64 = 10 << 10;

/// Measures it.
pub fn measure(many: usize) -> Result<Vec<Record>, Failed> {
    if many as u64 * EACH > machine::available() {
        println!("tx: recovery_1m left out: too little memory (TWZ_BENCH_OBJECTS takes fewer)");
        return Ok(Vec::new());
    }
    println!("tx: a pool of {many} objects ...");
    let directory = machine::scratch()?;
    let many = Cut::make("twz", directory.path().join("many"), many)?;
    let few = Cut::make("self_1k", directory.path().join("few"), FEW)?;
    let case = Race { bench: "tx", case: "recovery_1m", rounds: ROUNDS, operations: 1, warm: 0 };
    race(&case, &mut [Box::new(many), Box::new(few)])
}

struct Cut {
    name: &'static str,
    path: PathBuf,
    ids: Vec<ObjectId>,
    space: Option<(Space, Object<Field<u64>>)>,
}

impl Cut {
    fn make(name: &'static str, path: PathBuf, count: usize) -> Result<Self, Failed> {
        EmbeddedPool::init(&path, &InitOptions::default())?;
        let space = Space::open(&path)?;
        for _ in CHANGED..count {
            space.backend().create(&NewObject::default())?;
        }
        let ids: Result<Vec<_>, _> = (0..CHANGED)
            .map(|_| Ok::<_, twz::Error>(space.create(Field::new(7u64))?.id()))
            .collect();
        Ok(Self { name, path, ids: ids?, space: None })
    }

    /// Changes all of them in place, and dies.
    fn die_within(&self) -> twz::Result<()> {
        let space = Space::open(&self.path)?;
        let objects: Result<Vec<_>, _> =
            self.ids.iter().map(|&id| space.open_object::<Field<u64>>(id)).collect();
        let objects = objects?;
        space.transaction(|tx| {
            for object in &objects {
                tx.record(object.root())?;
                object.root().set(8)?;
            }
            // SAFETY: ends this process, which is what this is about.
            unsafe { libc::raise(libc::SIGKILL) };
            Ok(())
        })
    }
}

impl Contender for Cut {
    fn name(&self) -> &'static str {
        self.name
    }

    fn prepare(&mut self) -> Result<(), Failed> {
        self.space = None;
        // SAFETY: this process has one thread, so that the child can go on as it.
        match unsafe { libc::fork() } {
            0 => {
                if let Err(error) = self.die_within() {
                    eprintln!("twz-bench: {error}");
                }
                // SAFETY: it should not have come here.
                unsafe { libc::_exit(1) }
            }
            child => {
                let mut status = 0;
                // SAFETY: waits for our own child.
                unsafe { libc::waitpid(child, &mut status, 0) };
                match libc::WIFSIGNALED(status) {
                    true => Ok(()),
                    false => Err(Failed::new("the child that was to be killed ended by itself")),
                }
            }
        }
    }

    fn run(&mut self, _: u64) -> Result<(), Failed> {
        let space = Space::open(&self.path)?;
        let object = space.open_object::<Field<u64>>(self.ids[0])?;
        let found = object.root().get();
        self.space = Some((space, object));
        if found == 7 { Ok(()) } else { Err(Failed::new("the transaction was not rolled back")) }
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The subject: transactions of libtwz in a pool directory.

use twz::{Durability, EmbeddedPool, Field, InitOptions, Object, Persist, Ptr, Space, collections};

use super::{Case, key};
use crate::{error::Failed, machine, race::Contender};

#[derive(Persist)]
#[repr(C)]
pub struct Root {
    first: Field<u64>,
    apart: [Field<u64>; 15],
    second: Field<u64>,
    more: [Field<u64>; 15],
    bytes: [Field<u64>; 16],
    block: Ptr<[u64; 8]>,
    map: collections::HashMap<u64, u64>,
}

/// Where `bytes` begins.
const BYTES: u64 = 32 * 8;

/// A pool of libtwz's.
pub struct Twz {
    space: Space,
    object: Object<Root>,
    case: Case,
    inserted: u64,
    _directory: tempfile::TempDir,
}

fn fields<const N: usize>() -> [Field<u64>; N] {
    [const { Field::new(0) }; N]
}

impl Twz {
    /// Makes one.
    pub fn new(case: Case) -> Result<Self, Failed> {
        let directory = machine::scratch()?;
        let path = directory.path().join("pool");
        EmbeddedPool::init(&path, &InitOptions::default())?;
        let space = Space::open(&path)?;
        space.set_durability(Durability::Power);
        let object = space.create(Root {
            first: Field::new(0),
            apart: fields(),
            second: Field::new(0),
            more: fields(),
            bytes: fields(),
            block: Ptr::null(),
            map: collections::HashMap::new(),
        })?;
        Ok(Self { space, object, case, inserted: 0, _directory: directory })
    }

    fn two_words(&self, times: u64) -> Result<bool, Failed> {
        let root = self.object.root();
        for _ in 0..times {
            self.space.transaction(|tx| {
                tx.set(&root.first, root.first.get() + 1)?;
                tx.set(&root.second, root.second.get() + 1)
            })?;
        }
        Ok(root.first.get() == root.second.get())
    }

    fn hundred_bytes(&self, times: u64) -> Result<bool, Failed> {
        let mut bytes = [0; 100];
        for i in 0..times {
            bytes.fill(i as u8);
            self.space.transaction(|tx| tx.write_bytes(&self.object, BYTES, &bytes))?;
        }
        let mut now = [0; 100];
        self.object.read(BYTES, &mut now)?;
        Ok(now == bytes)
    }

    fn alloc_free(&self, times: u64) -> Result<bool, Failed> {
        let (object, root) = (&self.object, self.object.root());
        for i in 0..times {
            self.space.transaction(|tx| {
                let block = tx.alloc(object, [i; 8])?;
                tx.store(&root.block, block)
            })?;
            self.space.transaction(|tx| {
                tx.free(object, root.block.lea()?)?;
                tx.clear(&root.block)
            })?;
        }
        Ok(root.block.is_null())
    }

    fn insert(&mut self, times: u64) -> Result<bool, Failed> {
        let map = &self.object.root().map;
        for i in self.inserted..self.inserted + times {
            let writer = self.object.lock()?;
            map.insert(&writer, key(i), i)?;
        }
        self.inserted += times;
        Ok(map.get(&key(self.inserted - 1))? == Some(self.inserted - 1))
    }
}

impl Contender for Twz {
    fn name(&self) -> &'static str {
        "twz"
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        let right = match self.case {
            Case::TwoWords => self.two_words(operations)?,
            Case::HundredBytes => self.hundred_bytes(operations)?,
            Case::AllocFree => self.alloc_free(operations)?,
            Case::HashMapInsert => self.insert(operations)?,
        };
        if right { Ok(()) } else { Err(Failed::new("libtwz's answer is wrong")) }
    }
}

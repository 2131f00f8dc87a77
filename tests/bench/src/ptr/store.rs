// SPDX-License-Identifier: MIT OR Apache-2.0
//! The case `store`: making a pointer point to a value in an object that its
//! own object already has an FOT entry for. The peer stores an address.

use twz::{Field, Ptr};

use super::{chase::Random, nodes::Pool};
use crate::{
    error::Failed,
    race::{Contender, Race, race},
    report::Record,
};

const POINTERS: usize = 1024;
const OBJECTS: usize = 4;
const PASSES: u64 = 512;

/// Runs it.
pub fn run(rounds: usize) -> Result<Vec<Record>, Failed> {
    let operations = POINTERS as u64 * PASSES;
    let case = Race { bench: "ptr", case: "store", rounds, operations, warm: 0 };
    with_peers(|contenders| race(&case, contenders))
}

/// Makes what is stored to, and those who store: the subject first.
pub fn with_peers<R>(
    act: impl FnOnce(&mut [Box<dyn Contender + '_>]) -> Result<R, Failed>,
) -> Result<R, Failed> {
    let pool = Pool::new()?;
    let objects = pool.objects(OBJECTS + 1)?;
    let (holder, others) = objects.split_at(1);
    let mut targets = Vec::new();
    for other in others {
        let values = other.alloc_slice((POINTERS / OBJECTS) as u64, |i| Field::new(i + 1))?;
        targets.extend(values.iter());
    }
    let mut random = Random(1);
    for i in (1..targets.len()).rev() {
        targets.swap(i, (random.next() % (i as u64 + 1)) as usize);
    }
    let pointers = holder[0].alloc_slice(POINTERS as u64, |_| Ptr::<Field<u64>>::null())?;
    let words = holder[0].alloc_slice(POINTERS as u64, |_| Field::new(0u64))?;
    act(&mut [
        Box::new(Store { pointers, targets: &targets }),
        Box::new(Raw { words, targets: &targets }),
    ])
}

struct Store<'a> {
    pointers: &'a [Ptr<Field<u64>>],
    targets: &'a [&'a Field<u64>],
}

impl Contender for Store<'_> {
    fn name(&self) -> &'static str {
        "twz"
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        let n = self.targets.len();
        for pass in 0..operations as usize / n {
            store_twz(self.pointers, &self.targets[pass % n..])?;
            store_twz(&self.pointers[n - pass % n..], self.targets)?;
        }
        // The last pass left pointer i at target i + the pass's number.
        let last = (operations as usize / n - 1) % n;
        let right = (0..n).all(|i| {
            let led = self.pointers[i].lea();
            led.is_ok_and(|led| std::ptr::eq(led, self.targets[(i + last) % n]))
        });
        if right { Ok(()) } else { Err(Failed::new("store: a pointer leads elsewhere")) }
    }
}

#[inline(never)]
fn store_twz(pointers: &[Ptr<Field<u64>>], targets: &[&Field<u64>]) -> twz::Result<()> {
    for (pointer, target) in pointers.iter().zip(targets) {
        pointer.store(target)?;
    }
    Ok(())
}

struct Raw<'a> {
    words: &'a [Field<u64>],
    targets: &'a [&'a Field<u64>],
}

impl Contender for Raw<'_> {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        let n = self.targets.len();
        for pass in 0..operations as usize / n {
            store_raw(self.words, &self.targets[pass % n..]);
            store_raw(&self.words[n - pass % n..], self.targets);
        }
        let last = (operations as usize / n - 1) % n;
        let address = |i: usize| self.targets[(i + last) % n] as *const Field<u64> as u64;
        let right = (0..n).all(|i| self.words[i].get() == address(i));
        if right { Ok(()) } else { Err(Failed::new("store: a word holds something else")) }
    }
}

#[inline(never)]
fn store_raw(words: &[Field<u64>], targets: &[&Field<u64>]) {
    for (word, &target) in words.iter().zip(targets) {
        let to = (word as *const Field<u64>).cast_mut().cast::<u64>();
        // SAFETY: a `Field` may change behind a shared reference, and this one
        // lies in an object that is open for writing; nobody else looks at it.
        unsafe { to.write_volatile(target as *const Field<u64> as u64) };
    }
}

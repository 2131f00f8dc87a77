// SPDX-License-Identifier: MIT OR Apache-2.0
//! The case `first_use`: following a pointer through an FOT entry that names an
//! object by id and was not used before in this process. The target is mapped,
//! but that this entry leads there is not known in this process yet.

use twz::{Field, Object, Ptr};

use super::nodes::{Pool, Root};
use crate::{
    error::Failed,
    race::{Contender, Race, race},
    report::Record,
};

/// Entries of a table that are used for the first time in a round.
const TARGETS: usize = 500;

/// Runs it.
pub fn run(rounds: usize) -> Result<Vec<Record>, Failed> {
    let pool = Pool::new()?;
    let objects = pool.objects(TARGETS)?;
    let targets: Result<Vec<&Field<u64>>, _> =
        objects.iter().zip(1..).map(|(object, i)| object.alloc(Field::new(i))).collect();
    let targets = targets?;
    let case =
        Race { bench: "ptr", case: "first_use", rounds, operations: TARGETS as u64, warm: 0 };
    let first = First { pool: &pool, targets: &targets, holder: None };
    let addresses = targets.iter().map(|&target| target as *const Field<u64>).collect();
    race(&case, &mut [Box::new(first), Box::new(Raw { addresses })])
}

const SUM: u64 = (TARGETS * (TARGETS + 1) / 2) as u64;

fn check(sum: u64) -> Result<(), Failed> {
    if sum == SUM { Ok(()) } else { Err(Failed::new(format!("first_use: a wrong sum: {sum}"))) }
}

struct First<'a> {
    pool: &'a Pool,
    targets: &'a [&'a Field<u64>],
    holder: Option<(Object<Root>, u64)>,
}

impl Contender for First<'_> {
    fn name(&self) -> &'static str {
        "twz"
    }

    /// A new object with a pointer to each target, none of them followed.
    fn prepare(&mut self) -> Result<(), Failed> {
        if let Some((old, _)) = self.holder.take() {
            self.pool.space.backend().delete(old.id())?;
        }
        let holder = self.pool.objects(1)?.remove(0);
        let pointers = holder.alloc_slice(TARGETS as u64, |_| Ptr::<Field<u64>>::null())?;
        for (pointer, target) in pointers.iter().zip(self.targets) {
            pointer.store(target)?;
        }
        // The new table has made the pool's generation move, and with it went
        // what was known of the targets themselves: that is another cost.
        self.targets.iter().try_for_each(|target| target.set(target.get()))?;
        let at = pointers.as_ptr() as u64;
        self.holder = Some((holder, at));
        Ok(())
    }

    fn run(&mut self, operations: u64) -> Result<(), Failed> {
        let Some((_, at)) = &self.holder else { return Err(Failed::new("not prepared")) };
        let at = *at as *const Ptr<Field<u64>>;
        // SAFETY: where `prepare` put that many, in an object that is still open.
        let pointers = unsafe { std::slice::from_raw_parts(at, operations as usize) };
        let mut sum = 0;
        for pointer in pointers {
            sum += pointer.lea()?.get();
        }
        check(sum)
    }
}

struct Raw {
    addresses: Vec<*const Field<u64>>,
}

impl Contender for Raw {
    fn name(&self) -> &'static str {
        "raw"
    }

    fn run(&mut self, _operations: u64) -> Result<(), Failed> {
        let mut sum = 0;
        for &address in &self.addresses {
            // SAFETY: the targets outlive the race.
            sum += unsafe { &*address }.get();
        }
        check(sum)
    }
}

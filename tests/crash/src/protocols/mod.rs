// SPDX-License-Identifier: MIT OR Apache-2.0
//! Small protocols as they are published, each right, and each with the
//! mistakes that are published with them.
//!
//! They prove the model, not the store: the right ones must come through every
//! image without a violation, and every mistake must be caught. A protocol
//! works on 8-byte cells ([`Cells`]) of the same media that the store works on;
//! its images are gone through by the same code, recovery cut twice included.
//! Mistake 0 is none.

mod directory;
mod lists;
mod logs;
mod roots;

use twz_core::Media;

use crate::{
    drive::{Broken, Subject},
    enumerate::Position,
    image::{Image, Through},
    trace::Recorder,
};

/// 8-byte cells of a medium.
pub struct Cells<'m>(pub &'m mut dyn Media);

impl Cells<'_> {
    fn get(&self, cell: u64) -> u64 {
        let mut bytes = [0; 8];
        self.0.read(cell * 8, &mut bytes).expect("a cell of the medium");
        u64::from_le_bytes(bytes)
    }

    fn put(&mut self, cell: u64, value: u64) {
        self.0.write(cell * 8, &value.to_le_bytes()).expect("a cell of the medium");
    }

    fn flush(&mut self, cell: u64, count: u64) {
        self.0.flush(cell * 8, count * 8).expect("cells of the medium");
    }

    fn fence(&mut self) {
        self.0.fence().expect("a memory does not fail");
    }

    /// Stores one cell and makes it durable.
    fn set(&mut self, cell: u64, value: u64) {
        self.put(cell, value);
        self.persist(cell, 1);
    }

    fn persist(&mut self, cell: u64, count: u64) {
        self.flush(cell, count);
        self.fence();
    }
}

/// A protocol.
pub struct Protocol {
    /// Its name.
    pub name: &'static str,
    /// How many cells it has.
    cells: u64,
    /// What its operations work on at first.
    init: fn(&mut Cells<'_>),
    /// Operation `n`, with this mistake.
    op: fn(&mut Cells<'_>, n: u64, bug: usize),
    /// How many operations there are.
    ops: u64,
    /// Recovers, with this mistake.
    recover: fn(&mut Cells<'_>, bug: usize),
    /// What it shows, or what is wrong with it.
    view: fn(&Cells<'_>) -> Result<Vec<u64>, &'static str>,
    /// The mistakes, from 1, each with its class.
    pub bugs: &'static [(&'static str, &'static str)],
}

/// All of them.
pub const ALL: [&Protocol; 9] = [
    &logs::UNDO,
    &logs::REDO,
    &lists::APPEND,
    &lists::STACK,
    &directory::TABLE,
    &roots::COPY,
    &roots::TWINS,
    &directory::RENAME,
    &directory::DIRTY,
];

impl Protocol {
    /// Records all operations, with this mistake; returns the cells before.
    pub fn record(&self, bug: usize) -> (Vec<u64>, Recorder) {
        let mut medium = Recorder::new(vec![0; self.cells as usize]);
        (self.init)(&mut Cells(&mut medium));
        let before = medium.words().to_vec();
        medium.events.clear();
        for n in 0..self.ops {
            (self.op)(&mut Cells(&mut medium), n, bug);
            medium.done();
        }
        (before, medium)
    }

    /// What judges it.
    pub fn subject(&'static self, bug: usize) -> Judge {
        let mut medium = Recorder::new(vec![0; self.cells as usize]);
        (self.init)(&mut Cells(&mut medium));
        let mut states = Vec::new();
        for n in 0..=self.ops {
            states.push((self.view)(&Cells(&mut medium)).expect("a run that was not cut is right"));
            if n < self.ops {
                (self.op)(&mut Cells(&mut medium), n, 0);
            }
        }
        Judge { protocol: self, bug, states, looked: 0 }
    }
}

/// A protocol as a subject.
pub struct Judge {
    protocol: &'static Protocol,
    bug: usize,
    states: Vec<Vec<u64>>,
    looked: u64,
}

impl Subject for Judge {
    fn allowed(&self, at: Position) -> u64 {
        if at.returned { 1 << at.done } else { 3 << at.done }
    }

    fn recover(&mut self, image: &mut Image, _allowed: u64) -> Result<(), Broken> {
        (self.protocol.recover)(&mut Cells(&mut Through(image)), self.bug);
        Ok(())
    }

    fn judge(&mut self, image: &mut Image, allowed: u64) -> Result<u64, Broken> {
        self.looked += 1;
        self.recover(image, allowed)?;
        let view = |image: &mut Image| (self.protocol.view)(&Cells(&mut Through(image)));
        let seen = view(image).map_err(|what| Broken::new("checks clean", what))?;
        let mask = (0..).zip(&self.states).map(|(i, state)| ((*state == seen) as u64) << i).sum();
        if mask & allowed == 0 {
            let text = format!("it shows {seen:?}; {mask:#x} is not in {allowed:#x}");
            return Err(Broken::new("before or after", text));
        }
        self.recover(image, allowed)?;
        let view = |image: &mut Image| (self.protocol.view)(&Cells(&mut Through(image)));
        match view(image) {
            Ok(again) if again == seen => Ok(mask),
            _ => Err(Broken::new("recovers once", "the second recovery changes what is shown")),
        }
    }

    fn looked(&self) -> u64 {
        self.looked
    }
}

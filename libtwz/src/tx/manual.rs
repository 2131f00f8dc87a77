// SPDX-License-Identifier: MIT OR Apache-2.0
//! A transaction that is begun and ended by calls, and not by a closure: for C.
//! Dropped before its end, it is aborted.

use super::{
    Durability, Open, Tx,
    range::{Range, each_word},
    session::Mark,
    session_of,
};
use crate::{
    error::{Error, Result},
    raw::arena::SLOT_BYTES,
    space::Space,
};

/// An open transaction of the calling thread.
pub(crate) struct Manual {
    space: Space,
    session: super::Shared,
    inner: Vec<Mark>,
    over: bool,
}

/// For C: 0 is [`Durability::Process`], 1 is [`Durability::Power`].
pub(crate) fn durability_from(number: u32) -> Option<Durability> {
    match number {
        0 => Some(Durability::Process),
        1 => Some(Durability::Power),
        _ => None,
    }
}

/// The same the other way round.
pub(crate) fn durability_of(durability: Durability) -> u32 {
    durability as u32
}

impl Manual {
    /// Begins one.
    pub fn begin(space: &Space) -> Result<Self> {
        let session = session_of(space)?;
        if session.borrow().active {
            return Err(Error::Busy { what: "a transaction of this thread is open already" });
        }
        session.borrow_mut().begin(space.core())?;
        Ok(Self { space: space.clone(), session, inner: Vec::new(), over: false })
    }

    /// Begins an inner one.
    pub fn begin_inner(&mut self, space: &Space) -> Result<()> {
        self.tx(space)?;
        let mark = self.session.borrow_mut().mark();
        self.inner.push(mark);
        Ok(())
    }

    /// Ends the innermost one; whether there is one left.
    pub fn end(&mut self, well: bool) -> Result<bool> {
        let core = self.space.core();
        if let Some(mark) = self.inner.pop() {
            let mut session = self.session.borrow_mut();
            match well {
                true => session.keep(mark),
                false => session.go_back(core, mark)?,
            }
            return Ok(true);
        }
        if well {
            Tx { space: &self.space, session: self.session.clone() }.commit()?;
            self.over = true;
        }
        Ok(false)
    }

    /// The transaction.
    pub fn alone(&self) -> Tx<'_> {
        Tx { space: &self.space, session: self.session.clone() }
    }

    /// The transaction, for an object of the same space.
    pub fn tx<'a>(&'a self, space: &'a Space) -> Result<Tx<'a>> {
        if space.core().key != self.space.core().key {
            return Err(Error::Unsupported("the transaction is one of another space"));
        }
        Ok(Tx { space, session: self.session.clone() })
    }

    /// The object that an address lies in, and a range of it.
    fn range(&self, address: usize, len: u64) -> Result<Range> {
        let core = self.space.core();
        let slot = core.arena().slot_of(address).ok_or(Error::NotInObject)?;
        let tx = Tx { space: &self.space, session: self.session.clone() };
        let mut session = self.session.borrow_mut();
        let object = tx.join(&mut session, slot)?;
        let offset = (address & (SLOT_BYTES - 1)) as u64;
        let range = Range { object, offset, len };
        session.check_range(core, range)?;
        Ok(range)
    }

    pub fn record_at(&self, address: usize, len: u64) -> Result<()> {
        let range = self.range(address, len)?;
        self.session.borrow_mut().record(self.space.core(), range)
    }

    pub fn write_at(&self, address: usize, from: &[u8]) -> Result<()> {
        let Range { object, offset, len } = self.range(address, from.len() as u64)?;
        let mut session = self.session.borrow_mut();
        each_word(offset, len, |word, mask| {
            let value = (0..8).filter(|i| mask & 1 << i != 0).fold(0, |value, i| {
                let byte = from.get((word + i - offset) as usize).copied().unwrap_or_default();
                value | (byte as u64) << (8 * i)
            });
            session.write(self.space.core(), object, word, value, mask)
        })
    }

    pub fn read_at(&self, address: usize, to: &mut [u8]) -> Result<()> {
        let Range { object, offset, len } = self.range(address, to.len() as u64)?;
        let mut session = self.session.borrow_mut();
        each_word(offset, len, |word, mask| {
            let value = session.read(self.space.core(), object, word)?;
            for i in (0..8).filter(|i| mask & 1 << i != 0) {
                if let Some(byte) = to.get_mut((word + i - offset) as usize) {
                    *byte = (value >> (8 * i)) as u8;
                }
            }
            Ok(())
        })
    }
}

impl Drop for Manual {
    fn drop(&mut self) {
        if !self.over {
            drop(Open { core: self.space.core(), session: &self.session });
        }
    }
}

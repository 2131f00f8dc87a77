// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Cutting off a part of an object in one transaction, however large it is: the
//! map words of the part move to a record of its own, on the dying list. Who
//! reclaims that gives the pages back, now or later or after a power cut.
//!
//! Words move as they are, for they stay at their places: slot pages, and words
//! of a root. Nothing is shared or freed by that, and the new nodes are filled
//! before anything points to them.

use twz_abi::{
    record::{map_flags, state, MapWord, DIRECT, FANOUT},
    ObjectRecord, PAGE, SLOT_PAGES,
};
use zerocopy::IntoBytes as _;

use crate::{
    error::Result,
    journal::{ENTRY, HEADER},
    map::{misplaced, Branch, ROOT_PLACE, TAIL_PAGE},
    media::{Media, ZEROS},
    release::{is_whole, is_whole_branch, FIRST_BELOW},
    span::SPAN,
    store::{RecordNo, Store, MIN_SLOT},
    transaction::RESERVE,
};

/// Words that are moved at once.
const HOLES: [MapWord; SPAN] = [MapWord::HOLE; SPAN];

impl<M: Media> Store<M> {
    /// Moves what slot pages `first` to `last` have to a dying record, and sets
    /// the object's record to `record` without them, in the open change, which
    /// has nothing in it yet. The nodes at both ends are the object's own.
    pub(crate) fn detach(
        &mut self,
        r: RecordNo,
        mut record: ObjectRecord,
        first: u64,
        last: u64,
    ) -> Result<RecordNo> {
        let cut = self.take_record()?;
        let mut dying = ObjectRecord {
            state: state::DYING,
            size: 0,
            direct: [MapWord::HOLE; DIRECT],
            tail: MapWord::HOLE,
            root: MapWord::HOLE,
            ..record
        };
        let direct = record.direct.iter_mut().zip(dying.direct.iter_mut());
        for (_, (from, to)) in (1..).zip(direct).filter(|&(page, _)| first <= page && page <= last)
        {
            *to = core::mem::take(from);
        }
        let (low, high) = (first.max(FIRST_BELOW), last.min(TAIL_PAGE - 1));
        if is_whole(first, last) {
            dying.root = core::mem::take(&mut record.root);
        } else if low <= high {
            dying.root = self.detach_below(&record, low, high)?;
        }
        self.put_record(r, &record)?;
        self.put_dying(cut, dying)?;
        Ok(cut)
    }

    /// Moves a part of what is below the root to a new root.
    fn detach_below(&mut self, record: &ObjectRecord, low: u64, high: u64) -> Result<MapWord> {
        let Some(root) = self.root_of(record)? else { return Ok(MapWord::HOLE) };
        let new = self.alloc_page()?;
        for chunk in (0..FANOUT).step_by(SPAN) {
            let (mut left, mut moved) = (HOLES, HOLES);
            self.read_words(root * PAGE + chunk * 8, &mut left)?;
            let before = left;
            for ((i, from), to) in (chunk..).zip(left.iter_mut()).zip(moved.iter_mut()) {
                let (low, high) = (low.max(i * FANOUT), high.min(i * FANOUT + FANOUT - 1));
                if low > high {
                    continue;
                }
                *to = match self.branch(root, i)? {
                    Branch::Hole => MapWord::HOLE,
                    _ if is_whole_branch(i, low, high) => core::mem::take(from),
                    Branch::Huge(run) => return Err(misplaced(run)),
                    Branch::Leaf(leaf) => {
                        self.detach_words(leaf, i, low % FANOUT, high % FANOUT)?
                    }
                };
            }
            self.write_fresh(new * PAGE + chunk * 8, moved.as_bytes())?;
            if left != before {
                self.set_bytes(root * PAGE + chunk * 8, left.as_bytes())?;
            }
        }
        Ok(MapWord::new(new, map_flags::NODE, ROOT_PLACE))
    }

    /// Moves words `low` to `high` of leaf `i` to a new leaf.
    fn detach_words(&mut self, leaf: u64, i: u64, low: u64, high: u64) -> Result<MapWord> {
        let new = self.alloc_page()?;
        for chunk in (0..FANOUT).step_by(SPAN) {
            let (mut words, mut moved) = (HOLES, HOLES);
            self.read_words(leaf * PAGE + chunk * 8, &mut words)?;
            let mut range = (u64::MAX, 0);
            for ((j, &from), to) in (chunk..).zip(&words).zip(moved.iter_mut()) {
                let inside = low <= j && j <= high;
                if inside && self.data_word(from, i * FANOUT + j)?.is_some() {
                    (*to, range) = (from, (range.0.min(j), j));
                }
            }
            self.write_fresh(new * PAGE + chunk * 8, moved.as_bytes())?;
            if let Some(more) = range.1.checked_sub(range.0) {
                let zeros = ZEROS.get(..more as usize * 8 + 8).unwrap_or(&[]);
                self.set_bytes(leaf * PAGE + range.0 * 8, zeros)?;
            }
        }
        Ok(MapWord::new(new, map_flags::NODE, SLOT_PAGES + i))
    }
}

// A root and the leaves at both ends fit in the smallest slot.
const _: () =
    assert!(MIN_SLOT >= HEADER + 3 * (FANOUT / SPAN as u64) * (ENTRY + SPAN as u64 * 8) + RESERVE);

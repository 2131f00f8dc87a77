// SPDX-License-Identifier: MIT OR Apache-2.0
//! Reading the log of a machine (`twz_trace::log`): [`read`] makes a [`Recorded`]
//! of each case that its marks tell apart, as if a `trace::Recorder` had been there.
//!
//! What is not durable when a case begins is part of it: its events begin with
//! the stores that are on their way then. A store past the caches is a store and its
//! flush. A locked instruction is a fence to x86, and to `Model::Lines`; nothing
//! may rest on one that happens to be near, so to `Model::Words` it is none.
//!
//! A copy by `rep movsb` is one store of a byte after the other to the emulator.
//! As everywhere in the model, words are what tears: the bytes that one instruction
//! stores into one word in a row are taken together.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufReader, ErrorKind, Read as _},
    path::Path,
};

use twz_trace::{
    log::{Kind, Record, SIZE},
    mark::{Mark, Promise},
};
use zerocopy::IntoBytes as _;

use crate::{
    model::Model,
    trace::{Event, Site, each_word, words_of},
};

/// A case, as it was logged.
pub struct Recorded {
    /// The operation, a colon, and what is special about it.
    pub name: String,
    /// What may be seen.
    pub promise: Promise,
    /// The pool at its beginning, as far as it was durable.
    pub words: Vec<u64>,
    /// What happened then.
    pub events: Vec<Event>,
    /// The instruction of each event.
    pub by: Vec<u64>,
    /// The pool at its beginning, and after each operation, as programs saw it.
    pub images: Vec<Vec<u64>>,
    /// Stores, flushes and fences that the machine did.
    pub counts: [u64; 3],
}

/// A word that is not durable.
struct Unit {
    /// What it has been since, and when.
    values: Vec<(u64, u64)>,
    /// How many of these were there when it was last flushed.
    flushed: usize,
}

/// The pool that a case is about.
struct Pool {
    /// Its first word in the range that is logged, and how many there are.
    first: u32,
    len: u32,
    durable: Vec<u64>,
    pending: BTreeMap<u32, Unit>,
}

struct Reader {
    model: Model,
    base: u64,
    /// All of the range, as programs see it.
    words: Vec<u64>,
    pool: Option<Pool>,
    start: u64,
    text: Vec<u8>,
    case: Option<Recorded>,
    found: Vec<Recorded>,
    /// Records so far.
    now: u64,
    /// The instruction and the end of the last store.
    last: (u64, u64),
}

/// The cases of a log, and what is in the machine's memory at its end.
pub fn read(path: &Path, model: Model) -> Result<(Vec<Recorded>, Vec<u64>), String> {
    let told = |error: std::io::Error| format!("{}: {error}", path.display());
    let mut file = BufReader::with_capacity(1 << 20, File::open(path).map_err(told)?);
    let mut next = || -> Result<Option<Record>, String> {
        let mut bytes = [0; SIZE];
        match file.read_exact(&mut bytes) {
            Ok(()) => Record::from_bytes(&bytes).map(Some).ok_or("not a record".to_owned()),
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
            Err(error) => Err(told(error)),
        }
    };
    let Some(Record { kind: Kind::Range, at: base, value: len, .. }) = next()? else {
        return Err("the log does not begin with what it is of".to_owned());
    };
    let mut reader = Reader {
        model,
        base,
        words: vec![0; (len / 8) as usize],
        pool: None,
        start: 0,
        text: Vec::new(),
        case: None,
        found: Vec::new(),
        now: 0,
        last: (0, 0),
    };
    while let Some(record) = next()? {
        reader.now += 1;
        reader.record(&record).map_err(|why| match &reader.case {
            Some(case) => format!("{}, record {}: {why}", case.name, reader.now),
            None => format!("record {}: {why}", reader.now),
        })?;
    }
    match reader.case {
        Some(case) => Err(format!("{}: it never ended", case.name)),
        None => Ok((reader.found, reader.words)),
    }
}

impl Reader {
    fn record(&mut self, record: &Record) -> Result<(), String> {
        let last = std::mem::take(&mut self.last);
        match record.kind {
            Kind::Store | Kind::StorePast => self.store(record, last),
            Kind::Flush => self.flush(record.at, u64::from(record.len), record.by),
            // Elsewhere it may be of any memory, in a case it might be of the pool's.
            Kind::FlushLost if self.case.is_some() => {
                let Record { at, by, .. } = record;
                Err(format!("the flush at {by:#x} of address {at:#x}, which is nobody knows where"))
            }
            Kind::Locked if self.model == Model::Words => Ok(()),
            Kind::Fence | Kind::Locked => {
                self.fence(record.by);
                Ok(())
            }
            Kind::FlushLost => Ok(()),
            Kind::Mark => self.mark(record),
            Kind::Range => Err("a second range".to_owned()),
        }
    }

    /// Where physical memory is in the range.
    fn place(&self, at: u64, len: u64) -> Result<u64, String> {
        let place = at.checked_sub(self.base).filter(|&at| at + len <= self.words.len() as u64 * 8);
        place.ok_or_else(|| format!("{len} bytes at {at:#x} are out of the range"))
    }

    fn store(&mut self, record: &Record, last: (u64, u64)) -> Result<(), String> {
        let len = u64::from(record.len);
        if !matches!(len, 1 | 2 | 4 | 8) {
            return Err(format!("a store of {len} bytes"));
        }
        let at = self.place(record.at, len)?;
        // A string instruction that goes on where it was.
        let goes_on = last == (record.by, at) && !at.is_multiple_of(8);
        let mut found = Vec::with_capacity(2);
        let bytes = record.value.to_le_bytes();
        each_word(&self.words, at, &bytes[..len as usize], |word, value| found.push((word, value)));
        for (i, &(word, value)) in found.iter().enumerate() {
            self.words[word as usize] = value;
            self.stored(word, value, goes_on && i == 0, record.by);
        }
        if let Some(case) = &mut self.case {
            case.counts[0] += 1;
        }
        if record.kind == Kind::StorePast {
            self.flush(record.at, len, record.by)?;
        } else {
            self.last = (record.by, at + len);
        }
        Ok(())
    }

    fn stored(&mut self, word: u32, value: u64, goes_on: bool, by: u64) {
        let (Some(pool), now) = (&mut self.pool, self.now) else { return };
        let Some(word) = word.checked_sub(pool.first).filter(|&word| word < pool.len) else {
            return;
        };
        let unit = pool.pending.entry(word).or_insert(Unit { values: Vec::new(), flushed: 0 });
        match unit.values.last_mut() {
            Some(last) if goes_on => *last = (now, value),
            _ => unit.values.push((now, value)),
        }
        let Some(case) = &mut self.case else { return };
        let event = Event::Store { word, value, site: Site::caller() };
        match case.events.last_mut() {
            Some(last @ Event::Store { .. }) if goes_on => *last = event,
            _ => case.push(event, by),
        }
    }

    fn flush(&mut self, at: u64, len: u64, by: u64) -> Result<(), String> {
        let at = self.place(at, len)?;
        let Some(pool) = &mut self.pool else { return Ok(()) };
        let (first, end) = words_of(at, len);
        let within = |word: u32| word.clamp(pool.first, pool.first + pool.len) - pool.first;
        let (first, end) = (within(first), within(end));
        if first == end {
            return Ok(());
        }
        for (_, unit) in pool.pending.range_mut(first..end) {
            unit.flushed = unit.values.len();
        }
        if let Some(case) = &mut self.case {
            case.counts[1] += 1;
            case.push(Event::Flush { first, end, site: Site::caller() }, by);
        }
        Ok(())
    }

    fn fence(&mut self, by: u64) {
        let Some(pool) = &mut self.pool else { return };
        let durable = &mut pool.durable;
        pool.pending.retain(|&word, unit| {
            if unit.flushed > 0 {
                durable[word as usize] = unit.values[unit.flushed - 1].1;
                unit.values.drain(..unit.flushed);
                unit.flushed = 0;
            }
            !unit.values.is_empty()
        });
        if let Some(case) = &mut self.case {
            case.counts[2] += 1;
            case.push(Event::Fence { site: Site::caller() }, by);
        }
    }

    fn mark(&mut self, record: &Record) -> Result<(), String> {
        let value = record.value;
        match Mark::numbered(record.at).ok_or("a mark that says nothing")? {
            Mark::Text => self.text.extend(value.to_le_bytes()),
            Mark::Pool => self.start = self.place(value, 8)?,
            Mark::Length => {
                self.place(self.base + self.start, value)?;
                let (first, len) = ((self.start / 8) as u32, (value / 8) as u32);
                let durable = self.words[first as usize..][..len as usize].to_vec();
                self.pool = Some(Pool { first, len, durable, pending: BTreeMap::new() });
            }
            Mark::Begin if self.case.is_some() => return Err("a case within".to_owned()),
            Mark::Begin => self.begin(Promise::numbered(value).ok_or("an unknown promise")?)?,
            Mark::Done => {
                let image = self.image()?;
                let case = self.case.as_mut().ok_or("nothing began that could be done")?;
                case.push(Event::Done, record.by);
                case.images.push(image);
            }
            Mark::End => self.found.push(self.case.take().ok_or("nothing began that could end")?),
        }
        Ok(())
    }

    fn image(&self) -> Result<Vec<u64>, String> {
        let pool = self.pool.as_ref().ok_or("there is no pool")?;
        Ok(self.words[pool.first as usize..][..pool.len as usize].to_vec())
    }

    fn begin(&mut self, promise: Promise) -> Result<(), String> {
        let image = self.image()?;
        let pool = self.pool.as_ref().ok_or("there is no pool")?;
        let text = std::mem::take(&mut self.text);
        let name = String::from_utf8_lossy(&text).trim_end_matches('\0').to_owned();
        let mut case = Recorded {
            name,
            promise,
            words: pool.durable.clone(),
            events: Vec::new(),
            by: Vec::new(),
            images: vec![image],
            counts: [0; 3],
        };
        // What is on its way, in the order in which it was stored; flushed or not.
        let mut before: Vec<(u64, Event)> = Vec::new();
        for (&word, unit) in &pool.pending {
            for (i, &(when, value)) in unit.values.iter().enumerate() {
                before.push((2 * when, Event::Store { word, value, site: Site::caller() }));
                if i + 1 == unit.flushed {
                    let flush = Event::Flush { first: word, end: word + 1, site: Site::caller() };
                    before.push((2 * when + 1, flush));
                }
            }
        }
        before.sort_by_key(|&(when, _)| when);
        before.into_iter().for_each(|(_, event)| case.push(event, 0));
        self.case = Some(case);
        Ok(())
    }
}

impl Recorded {
    fn push(&mut self, event: Event, by: u64) {
        self.events.push(event);
        self.by.push(by);
    }
}

/// Whether the machine's memory was left as the log says; where not, if it was not.
pub fn differs(words: &[u64], medium: &Path) -> Result<Option<usize>, String> {
    let bytes = std::fs::read(medium).map_err(|e| format!("{}: {e}", medium.display()))?;
    if bytes.len() != words.len() * 8 {
        return Err(format!("{} has {} bytes", medium.display(), bytes.len()));
    }
    Ok(words.as_bytes().iter().zip(&bytes).position(|(a, b)| a != b))
}

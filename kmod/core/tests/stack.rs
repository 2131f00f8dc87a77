// SPDX-License-Identifier: GPL-2.0 OR MIT
//! How much stack operations take, seen from the medium, which they call from
//! their depths: the kernel has little. In a release build only:
//! `cargo test --release -p twz-core --test stack -- --nocapture`.
#![cfg(not(debug_assertions))]

mod common;

use std::{cell::Cell, hint::black_box};

use common::*;
use twz_abi::{DATA_START, PAGE};
use twz_core::{geometry::Geometry, Media, MediaError, Memory, Mode, Store, Translation};

/// A medium that remembers how deep it was called from.
struct Deep<'a> {
    inner: Memory<'a>,
    lowest: Cell<usize>,
}

impl Deep<'_> {
    fn note(&self) {
        let here = black_box(0u8);
        let at = std::ptr::from_ref(black_box(&here)).addr();
        self.lowest.set(self.lowest.get().min(at));
    }
}

impl Media for Deep<'_> {
    fn len(&self) -> u64 {
        self.inner.len()
    }
    fn read(&self, at: u64, into: &mut [u8]) -> Result<(), MediaError> {
        self.note();
        self.inner.read(at, into)
    }
    fn write(&mut self, at: u64, from: &[u8]) -> Result<(), MediaError> {
        self.note();
        self.inner.write(at, from)
    }
    fn flush(&mut self, _at: u64, _len: u64) -> Result<(), MediaError> {
        self.note();
        Ok(())
    }
    fn fence(&mut self) -> Result<(), MediaError> {
        self.note();
        Ok(())
    }
}

type S<'a> = Store<Deep<'a>>;

/// Bytes of stack between here and the medium.
#[inline(never)]
fn depth<R>(store: &mut S<'_>, name: &str, what: impl FnOnce(&mut S<'_>) -> R) {
    store.media_mut().lowest.set(usize::MAX);
    let here = black_box(0u8);
    black_box(what(store));
    let depth = std::ptr::from_ref(black_box(&here)).addr() - store.media().lowest.get();
    println!("{name}: {depth} bytes of stack");
    assert!(depth < 8 << 10, "{name} takes {depth} bytes of stack");
}

#[test]
fn nothing_takes_much_stack() {
    let size = size_of::<S<'_>>() - size_of::<Deep<'_>>();
    println!("a store without its medium: {size} bytes");
    assert!(size <= 8 << 10);
    let mut bytes = image(3000);
    let media = Deep { inner: Memory::new(&mut bytes), lowest: Cell::new(usize::MAX) };
    let geo = Geometry::load(&media).unwrap();
    let mut store = Store::closed(media, geo, Mode::ReadWrite);
    depth(&mut store, "load", |s| Geometry::load(s.media()).unwrap());
    depth(&mut store, "start", |s| s.start().unwrap());
    let r = create(&mut store, 1, 8 << 20);
    let other = create(&mut store, 2, 8 << 20);
    depth(&mut store, "touch", |s| s.touch(r, 600, true).unwrap());
    depth(&mut store, "translate", |s| s.translate(r, 600).unwrap());
    depth(&mut store, "touch_into", |s| {
        let mut out = [Translation::Hole; 16];
        black_box(s.touch_into(r, 600, true, &mut out)).unwrap();
    });
    depth(&mut store, "translate_many", |s| {
        let (record, mut out) = (s.stat(r).unwrap(), [Translation::Hole; 16]);
        black_box(s.translate_many(&record, 600, &mut out)).unwrap();
    });
    depth(&mut store, "write", |s| s.write(r, DATA_START, &[1; 9000]).unwrap());
    depth(&mut store, "touch_huge", |s| s.touch_huge(other, 1024).unwrap());
    depth(&mut store, "copy", |s| s.copy(other, id(3), &new(3, 0)).unwrap());
    depth(&mut store, "touch shared", |s| s.touch_many(other, 1024, 64, true).unwrap());
    depth(&mut store, "flush_data", |s| s.flush_data(r, 1, 1 << 18, u64::MAX).unwrap());
    depth(&mut store, "punch", |s| s.punch(other, 1030, 1500, u64::MAX).unwrap());
    let mut cut = None;
    depth(&mut store, "resize_detached", |s| {
        cut = s.resize_detached(other, 1100 * PAGE).unwrap();
    });
    depth(&mut store, "reclaim_some", |s| while !s.reclaim_some(cut.unwrap(), 10).unwrap() {});
    depth(&mut store, "resize", |s| s.resize(other, 5000).unwrap());
    depth(&mut store, "mkdir", |s| s.mkdir(b"/d", &identity(50)).unwrap());
    depth(&mut store, "bind", |s| s.bind(b"/d/a", id(1), false).unwrap());
    depth(&mut store, "rename", |s| s.rename(b"/d/a", b"/b").unwrap());
    depth(&mut store, "lookup", |s| s.lookup(b"/b").unwrap());
    depth(&mut store, "set_meta", |s| s.set_meta(r, 1, 0, 0).unwrap());
    depth(&mut store, "create", |s| create(s, 4, 5));
    depth(&mut store, "delete", |s| s.delete(id(4)).unwrap());
}

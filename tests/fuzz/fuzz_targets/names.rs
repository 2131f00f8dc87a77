// SPDX-License-Identifier: MIT OR Apache-2.0
//! Paths, name entries and pages of names, and a store whose root directory is
//! made of arbitrary bytes.
#![no_main]

use libfuzzer_sys::fuzz_target;
use twz_abi::name::{NameEntry, NamePage, components, tag};
use twz_core::{Memory, Mode, Store, format};
use zerocopy::{FromBytes as _, IntoBytes as _};

fuzz_target!(|data: &[u8]| {
    if let Ok(parts) = components(data) {
        for part in parts {
            assert!(!part.is_empty() && part.len() <= 255 && !part.contains(&b'/'));
        }
    }
    if let Ok((mut entry, _)) = NameEntry::read_from_prefix(data) {
        let _ = entry.check();
        entry.checksum = entry.compute_checksum();
        let _ = entry.check();
    }
    let mut image = vec![0u8; 300 * 4096];
    format::format(&mut Memory::new(&mut image), &format::FormatOptions::plain())
        .expect("it is large enough");
    let mut store =
        Store::open(Memory::new(&mut image), Mode::ReadWrite).expect("it was just formatted");
    let root = store.geometry().root_names;
    let record = store.find(root).expect("there is a root directory");
    let mut page = [0u8; 4096];
    let len = data.len().min(4096);
    page[..len].copy_from_slice(&data[..len]);
    if let Ok(mut page) = NamePage::read_from_bytes(&page) {
        for (entry, to) in page.entries.iter_mut().zip(&mut page.tags) {
            if entry.reserved1 & 1 == 0 {
                entry.checksum = entry.compute_checksum();
            }
            // Most tags are right, or no lookup would come to an entry.
            if entry.len & 0x8000 == 0 {
                *to = tag(entry.hash);
            }
        }
        let _ = store.write(record, 4096, page.as_bytes());
    }
    let _ = store.lookup(data);
    let _ = store.lookup(b"a/b/c");
    let mut cursor = 0;
    let mut entry = NameEntry::new(b"x", 1, root).expect("a valid name");
    for _ in 0..100 {
        match store.read_dir(root, &mut cursor, &mut entry) {
            Ok(Some(_)) => {}
            _ => break,
        }
    }
    let _ = store.bind(b"new", root, true);
    let _ = store.unbind(b"x");
});

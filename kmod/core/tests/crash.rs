// SPDX-License-Identifier: GPL-2.0 OR MIT
//! Every change, cut at every write, flush and fence.
//!
//! After each cut the image is opened and checked, and must show the state
//! before the change or the state after it, never anything between. Both kinds
//! of cut are tried: the program is killed (all its writes stay), and the power
//! fails (of what was not flushed and fenced, any subset of 8-byte words
//! stays). Data written in place are the exception the documentation names:
//! each word of them is old or new.
//!
//! `TWZ_CRASH_STATES` sets how many power cuts each change gets. What faults
//! and the system calls on a range of pages do is in `crash_pages`.

mod common;

use common::{cut::*, power::Power, *};
use twz_abi::{DATA_START, MAX_DATA, PAGE, TAIL_START};
use twz_core::{Memory, Mode, NewObject, Result, Store};

fn furnish_names(s: &mut Store<Power>) -> Result<()> {
    create(s, 1, 100);
    create(s, 2, 100);
    s.mkdir(b"/d", &identity(50))?;
    s.mkdir(b"/e", &identity(51))?;
    s.bind(b"/d/one", id(1), false)?;
    s.bind(b"/two", id(2), false).map(|_| ())
}

cuts! {
    create_in_an_empty_store: Whole, |_| Ok(()), |s| s.create(id(1), &new(1, 7)).map(|_| ());
    create_with_a_used_record: Whole,
        |s| {
            create(s, 1, 0);
            let r = s.delete(id(1))?;
            s.reclaim(r)
        },
        |s| s.create(id(2), &NewObject { kind: 1, ..new(2, MAX_DATA) }).map(|_| ());
    delete: Whole, furnish, |s| s.delete(id(1)).map(|_| ());
    delete_from_the_middle: Whole,
        |s| {
            for n in 1..12 {
                create(s, n, n);
            }
            s.delete(id(3))?;
            s.delete(id(9)).map(|_| ())
        },
        |s| s.delete(id(5)).map(|_| ());
    // What a cut leaves on the dying list is gone after recovery: so these are
    // whole although they are several changes.
    delete_and_reclaim: Whole, furnish, |s| {
        let r = s.delete(id(1))?;
        s.reclaim(r)
    };
    delete_and_reclaim_what_is_shared: Whole, furnish_and_copy, |s| {
        let r = s.delete(id(1))?;
        s.reclaim(r)
    };
    delete_and_reclaim_the_last_that_shares: Whole,
        |s| {
            furnish_and_copy(s)?;
            let r = s.delete(id(1))?;
            s.reclaim(r)
        },
        |s| {
            let r = s.delete(id(2))?;
            s.reclaim(r)
        };
    copy: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        s.copy(r, id(2), &new(2, 0)).map(|_| ())
    };
    write_in_place: Words, furnish, |s| {
        let r = s.find(id(1))?;
        s.write(r, DATA_START + 100, &[9; 5000])
    };
    write_to_holes: Words,
        |s| {
            create(s, 1, 5 << 20);
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            s.write(r, DATA_START + 511 * PAGE + 7, &[9; 9000])
        };
    write_to_the_tail: Words,
        |s| {
            create(s, 1, 5 << 20);
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            s.write(r, TAIL_START + 8, &[9; 32])
        };
    write_to_what_is_shared: Words, furnish_and_copy, |s| {
        let r = s.find(id(2))?;
        s.write(r, DATA_START + 1022 * PAGE + 5, &[9; 5000])
    };
    write_to_the_source: Words, furnish_and_copy, |s| {
        let r = s.find(id(1))?;
        s.write(r, DATA_START + 5, &[9; 500])
    };
    write_a_huge_run: Words,
        |s| {
            create(s, 1, 5 << 20);
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            s.write(r, DATA_START + 511 * PAGE, &[9; 513 * 4096])
        };
    grow: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        s.resize(r, (5 << 20) + 1)
    };
    grow_from_the_middle_of_a_page: Whole,
        |s| {
            furnish(s)?;
            let r = s.find(id(1))?;
            s.resize(r, 5000)
        },
        |s| {
            let r = s.find(id(1))?;
            s.resize(r, 60_000)
        };
    shrink_a_little: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        s.resize(r, 1023 * PAGE + 9)
    };
    shrink_to_nothing: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        s.resize(r, 0)
    };
    shrink_many_pages: Whole,
        |s| {
            create(s, 1, 5 << 20);
            let r = s.find(id(1))?;
            for page in 0..130 {
                s.write(r, DATA_START + page * 8 * PAGE, &[7])?;
            }
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            s.resize(r, 3 * PAGE)
        };
    shrink_a_huge_run: Shown,
        |s| {
            create(s, 1, 5 << 20);
            let r = s.find(id(1))?;
            s.write(r, DATA_START + 511 * PAGE, &[9; 512 * 4096])
        },
        |s| {
            let r = s.find(id(1))?;
            s.resize(r, 700 * PAGE)
        };
    bind: Whole, furnish_names, |s| s.bind(b"/d/three", id(2), false).map(|_| ());
    bind_in_an_empty_directory: Whole, furnish_names,
        |s| s.bind(b"/e/three", id(2), false).map(|_| ());
    rebind: Whole, furnish_names, |s| s.bind(b"/d/one", id(2), true).map(|_| ());
    unbind: Whole, furnish_names, |s| s.unbind(b"/d/one").map(|_| ());
    rename: Whole, furnish_names, |s| s.rename(b"/two", b"/e/2").map(|_| ());
    rename_over: Whole, furnish_names, |s| s.rename(b"/two", b"/d/one").map(|_| ());
    rename_a_directory: Whole, furnish_names, |s| s.rename(b"/d", b"/e/d").map(|_| ());
    mkdir: Whole, furnish_names, |s| s.mkdir(b"/e/f", &identity(60)).map(|_| ());
    shrink_what_is_shared: Shown, furnish_and_copy, |s| {
        let r = s.find(id(2))?;
        s.resize(r, 511 * PAGE + 100)
    };
    rmdir: Whole, furnish_names, |s| s.rmdir(b"/e").map(|_| ());
}

/// A node that one change empties and frees is data in the next but one at the
/// earliest: else the replay of the first would write into the data.
#[test]
fn freed_nodes_that_become_data_are_not_replayed_into() {
    let mut store = Store::open(Power::new(image_with(220, Some(16))), Mode::ReadWrite).unwrap();
    let r = create(&mut store, 1, 5 << 20);
    store.write(r, DATA_START + 20 * PAGE, &[1]).unwrap();
    store.write(r, DATA_START + 1030 * PAGE, &[2; 3 * 4096]).unwrap();
    let data = create(&mut store, 2, 8 * PAGE);
    // Nothing is free but what the shrink frees: three pages and their leaf.
    let rest = create(&mut store, 3, 1 << 20);
    while store.info().unwrap().free_pages > 0 {
        let mut page = 1;
        while store.touch(rest, page, true).is_ok() {
            page += 1;
        }
    }
    store.resize(r, 21 * PAGE).unwrap();
    assert_eq!(store.info().unwrap().free_pages, 4);
    store.write(data, DATA_START, &[0xee; 4 * 4096]).unwrap();
    let after = show(&store);
    let (media, mut random) = (store.into_media(), Random(9));
    for n in 0..200 {
        assert_eq!(recover(&mut media.cut(&mut random), "reuse").objects, after.objects, "{n}");
    }
}

/// Formatting leaves a pool or none.
#[test]
fn format_is_whole() {
    use twz_core::format::{format, FormatOptions};
    let options = FormatOptions { journal_pages: 8, records: Some(16), ..FormatOptions::plain() };
    let mut old = image_with(200, Some(20));
    create(&mut open(&mut old), 1, 100);
    let mut media = Power::new(old.clone());
    format(&mut media, &options).unwrap();
    let (total, mut random) = (media.done, Random(5));
    for limit in 0..=total {
        let mut media = Power::new(old.clone());
        media.limit = limit;
        assert_eq!(format(&mut media, &options).is_ok(), limit == total);
        for _ in 0..20 {
            let mut image = media.cut(&mut random);
            if let Ok(store) = Store::open(Memory::new(&mut image), Mode::ReadWrite) {
                store.into_media();
                assert_clean(&mut image);
            }
        }
    }
}

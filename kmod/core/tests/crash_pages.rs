// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What is done to pages of an object, cut at every write, flush and fence: as
//! in `crash`, which says what is tried.

mod common;

use common::{cut::*, power::Power, *};
use twz_abi::{meta::Bounds, META_START, PAGE, SLOT_PAGES, TAIL_START};
use twz_core::{Media, Memory, Mode, Store, Translation};

cuts! {
    touch_a_hole: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        s.touch(r, 900, true).map(|_| ())
    };
    touch_the_tail: Whole,
        |s| {
            create(s, 1, 5 << 20);
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            s.touch(r, SLOT_PAGES - 1, true).map(|_| ())
        };
    touch_huge: Whole,
        |s| {
            create(s, 1, 5 << 20);
            let r = s.find(id(1))?;
            s.touch(r, 9, true).map(|_| ())
        },
        |s| {
            let r = s.find(id(1))?;
            s.touch_huge(r, 600).map(|_| ())
        };
    touch_many_holes: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        assert_eq!(s.touch_many(r, 900, 16, true)?, 16);
        Ok(())
    };
    touch_many_without_a_leaf: Whole,
        |s| {
            create(s, 1, 5 << 20);
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            assert_eq!(s.touch_many(r, 600, 64, false)?, 64);
            Ok(())
        };
    touch_many_direct: Whole,
        |s| {
            create(s, 1, 5 << 20);
            let r = s.find(id(1))?;
            s.touch(r, 4, true).map(|_| ())
        },
        |s| {
            let r = s.find(id(1))?;
            assert_eq!(s.touch_many(r, 2, 64, true)?, 7);
            Ok(())
        };
    // Two of four shared pages, and the hole behind them.
    touch_many_shared: Shown, furnish_and_copy, |s| {
        let r = s.find(id(2))?;
        assert_eq!(s.touch_many(r, 1024, 6, true)?, 6);
        Ok(())
    };
    touch_many_in_pieces: Whole,
        |s| {
            create(s, 1, 5 << 20);
            let (r, other) = (s.find(id(1))?, create(s, 2, 5 << 20));
            for page in 0..60 {
                s.touch(r, 600 + page % 2, true)?;
                s.touch(other, 600 + page, true)?;
                s.touch(r, 700 + page, true)?;
            }
            let other = s.delete(id(2))?;
            s.reclaim(other)
        },
        |s| {
            let r = s.find(id(1))?;
            let n = s.touch_many(r, 600, 64, true)?;
            assert!(n > 16, "{n} in one change");
            Ok(())
        };
    grow_and_then_something_else: Clean, furnish, |s| {
        let r = s.find(id(1))?;
        s.resize(r, (5 << 20) + 1)?;
        s.create(id(2), &new(2, 7)).map(|_| ())
    };
    shrink_and_then_something_else: Clean, furnish, |s| {
        let r = s.find(id(1))?;
        s.resize(r, 513 * PAGE)?;
        s.create(id(2), &new(2, 7)).map(|_| ())
    };
    detach_and_then_something_else: Clean, furnish, |s| {
        let r = s.find(id(1))?;
        let cut = s.resize_detached(r, 9 * PAGE)?.expect("it is much");
        s.create(id(2), &new(2, 7))?;
        while !s.reclaim_some(cut, 3)? {
            s.create(id(3), &new(3, 0))?;
            let r = s.delete(id(3))?;
            s.reclaim(r)?;
        }
        Ok(())
    };
    reclaim_with_others_in_between: Clean, furnish_and_copy, |s| {
        let r = s.delete(id(2))?;
        let other = s.find(id(1))?;
        let mut page = 20;
        while !s.reclaim_some(r, 1)? {
            s.touch(other, page, true)?;
            page += 1;
        }
        Ok(())
    };
    shrink_by_a_few_pages: Whole,
        |s| {
            furnish(s)?;
            let r = s.find(id(1))?;
            s.resize(r, 1026 * PAGE)
        },
        |s| {
            let r = s.find(id(1))?;
            s.resize(r, 1023 * PAGE + 9)
        };
    shrink_without_a_spare_record: Whole,
        |s| {
            furnish(s)?;
            let mut n = 2;
            while s.create(id(n), &new(n, 0)).is_ok() {
                n += 1;
            }
            Ok(())
        },
        |s| {
            let r = s.find(id(1))?;
            assert_eq!(s.resize_detached(r, 511 * PAGE + 1)?, None);
            Ok(())
        };
    shrink_and_leave_the_rest: Whole, furnish, |s| {
        let r = s.find(id(1))?;
        assert!(s.resize_detached(r, 511 * PAGE + 1)?.is_some());
        Ok(())
    };
    shrink_below_an_fot: Whole,
        |s| {
            furnish(s)?;
            let r = s.find(id(1))?;
            s.set_meta(r, 3, 0, 0)?;
            s.write(r, TAIL_START - 3 * PAGE, &[5; 100])
        },
        |s| {
            let r = s.find(id(1))?;
            s.resize(r, 5 * PAGE)
        };
    reclaim_in_steps: Whole, furnish_and_copy, |s| {
        let r = s.delete(id(1))?;
        while !s.reclaim_some(r, 1)? {}
        Ok(())
    };
    punch: Holes, furnish, |s| {
        let r = s.find(id(1))?;
        assert_eq!(s.punch(r, 3, 1025, u64::MAX)?, 1025);
        Ok(())
    };
    punch_in_steps: Holes, furnish, |s| {
        let (r, mut page) = (s.find(id(1))?, 0);
        while page < 2000 {
            page = s.punch(r, page, 2000, 1)?;
        }
        Ok(())
    };
    punch_what_is_shared: Holes, furnish_and_copy, |s| {
        let r = s.find(id(2))?;
        assert_eq!(s.punch(r, 512, 1025, u64::MAX)?, 1025);
        Ok(())
    };
    punch_a_huge_run: Holes,
        |s| {
            create(s, 1, 5 << 20);
            let r = s.find(id(1))?;
            s.write(r, 512 * PAGE, &[9; 512 * 4096])
        },
        |s| {
            let r = s.find(id(1))?;
            assert_eq!(s.punch(r, 600, 700, u64::MAX)?, 700);
            Ok(())
        };
    write_to_the_meta_record: Words, furnish, |s| {
        let r = s.find(id(1))?;
        s.write(r, META_START + 136, &Bounds { data_pages: 0, fot_pages: 7 }.pack().to_le_bytes())
    };
}

/// What programs stored through mappings is durable once it was flushed, page
/// by page, whoever did what in between.
#[test]
fn flushing_makes_stores_durable() {
    let mut s = Store::open(Power::new(image_with(220, Some(16))), Mode::ReadWrite).unwrap();
    furnish(&mut s).unwrap();
    let r = s.find(id(1)).unwrap();
    s.sync().unwrap();
    let pages = [1, 2, 8, 9, 513, 1023, 1026, SLOT_PAGES - 1];
    for page in pages {
        let Translation::Page { pool_page, .. } = s.touch(r, page, true).unwrap() else {
            panic!("page {page} is not there");
        };
        s.media_mut().write(pool_page * PAGE + 80, &page.to_le_bytes()).unwrap();
    }
    let (mut at, mut steps) = (1, 0);
    while at < SLOT_PAGES {
        at = s.flush_data(r, at, SLOT_PAGES, 3).unwrap();
        steps += 1;
        if steps == 1 {
            s.create(id(9), &new(9, 0)).unwrap();
        }
    }
    assert!(steps > 2 && at == SLOT_PAGES, "{steps} steps");
    let (media, mut random) = (s.into_media(), Random(3));
    for _ in 0..50 {
        let mut image = media.cut(&mut random);
        let s = Store::open(Memory::new(&mut image), Mode::ReadWrite).unwrap();
        let (r, mut word) = (s.find(id(1)).unwrap(), [0; 8]);
        for page in pages {
            s.read(r, page * PAGE + 80, &mut word).unwrap();
            assert_eq!(u64::from_le_bytes(word), page);
        }
    }
}

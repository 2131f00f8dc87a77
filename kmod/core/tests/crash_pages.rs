// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What is done to pages of an object, cut at every write, flush and fence: as
//! in `crash`, which says what is tried.

mod common;

use common::{cut::*, *};
use twz_abi::SLOT_PAGES;

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
}

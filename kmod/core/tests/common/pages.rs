// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What the model tests do to the pages of an object.

use proptest::{prop_assert, prop_assert_eq, test_runner::TestCaseError};
use twz_abi::{PAGE, SLOT_PAGES};
use twz_core::{error::Resource, Media, RecordNo, Store, StoreError, Translation};

/// Where a page is drawn from a number: a third of them are direct, and some
/// are the tail page or none of the object's.
pub fn page_of(at: u64, size: u64) -> u64 {
    match at % 12 {
        0..4 => 1 + at / 12 % 8,
        4 => SLOT_PAGES - 1 - at / 12 % 3,
        _ => 1 + at / 12 % (size.div_ceil(PAGE) + 2),
    }
}

/// Touches pages: those that it says are there are, and cost what they cost.
pub fn touch<M: Media>(
    store: &mut Store<M>,
    r: RecordNo,
    size: u64,
    (at, count): (u64, u64),
    write: bool,
) -> Result<(), StoreError> {
    let page = page_of(at, size);
    let record = store.stat(r)?;
    let inside = store.pages_from(&record, page)?;
    let (free, changes) = (store.info()?.free_pages, store.changes());
    let result = store.touch_many(r, page, count, write);
    let Ok(n) = result else {
        assert!(inside == 0 || result == Err(StoreError::Full { what: Resource::Pages }));
        return if inside == 0 { Ok(()) } else { result.map(|_| ()) };
    };
    let n = n as u64;
    assert!((1..=count.clamp(1, inside)).contains(&n), "{n} of {count} in {inside}");
    for page in page..page + n {
        match store.translate(r, page)? {
            Translation::Page { shared, .. } => assert!(!shared || !write),
            Translation::Hole => panic!("page {page} was touched and is a hole"),
        }
    }
    let idle = store.changes() == changes;
    // The other way round a copy may take as many pages as it gives back.
    assert!(!idle || store.info()?.free_pages == free, "what changes nothing takes no page");
    Ok(())
}

/// Makes holes of pages, in steps; each that was done is told.
pub fn punch<M: Media>(
    store: &mut Store<M>,
    r: RecordNo,
    (from, to): (u64, u64),
    budget: u64,
    done: &mut dyn FnMut(u64),
) -> Result<(), StoreError> {
    let mut at = from;
    while at < to {
        let next = store.punch(r, at, to, budget)?;
        assert!(next <= to);
        // The pages that the record maps go all at once, and what is below a
        // whole node goes before where to go on does.
        for page in at.max(1)..next {
            done(page);
        }
        at = next;
    }
    let record = store.stat(r)?;
    for page in (from.max(1)..to.min(SLOT_PAGES)).step_by(7) {
        if page < store.extent(&record)?.data_end_page {
            assert_eq!(store.translate(r, page), Ok(Translation::Hole), "page {page}");
        }
    }
    Ok(())
}

/// Several translations at once are those of each.
pub fn agree<M: Media>(store: &Store<M>, r: RecordNo) -> Result<(), TestCaseError> {
    let record = store.stat(r).unwrap();
    for first in [1, 5, 9, 500, 512, 1000, SLOT_PAGES - 3, SLOT_PAGES - 1] {
        let mut out = [Translation::Hole; 70];
        let n = store.translate_many(&record, first, &mut out).unwrap();
        prop_assert!(n > 0 && n <= 64);
        for (page, found) in (first..).zip(&out[..n]) {
            prop_assert_eq!(store.translate(r, page).unwrap(), *found, "page {}", page);
        }
    }
    let (mut mapped, mut page) = (0, 0);
    while let Some(run) = store.next_run(&record, page, SLOT_PAGES).unwrap() {
        prop_assert!(run.page >= page && run.count > 0);
        for i in 0..run.count {
            let found = store.translate(r, run.page + i).unwrap();
            let here = matches!(found, Translation::Page { pool_page, .. } if pool_page == run.pool_page + i);
            prop_assert!(here, "page {}", run.page + i);
        }
        mapped += run.count;
        page = run.page + run.count;
    }
    prop_assert!(
        mapped <= store.pages_used(r).unwrap() && mapped + 513 >= store.pages_used(r).unwrap()
    );
    let data = store.next_data(&record, 1).unwrap();
    let hole = store.next_hole(&record, 1).unwrap();
    let end = store.extent(&record).unwrap().data_end_page;
    prop_assert!(hole <= end && data.is_none_or(|data| data < end && (data == 1) == (hole > 1)));
    Ok(())
}

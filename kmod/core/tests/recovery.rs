// SPDX-License-Identifier: GPL-2.0 OR MIT
//! What recovery and repair do to the journal, cut word by word: what was torn
//! never comes back, and what was committed never goes.

mod common;

use common::{cut::*, power::Power, *};
use twz_abi::PAGE;
use twz_core::{check, geometry::Geometry, Memory, Mode, Store};

/// A store with two objects and a name, whose newest transaction writes no live
/// record: so recovery has nothing to finish, and commits nothing itself.
fn settled() -> Power {
    let mut store = Store::open(Power::new(image_with(120, Some(8))), Mode::ReadWrite).unwrap();
    create(&mut store, 1, 100);
    store.bind(b"/one", id(1), false).unwrap();
    create(&mut store, 2, 100);
    let r = store.delete(id(2)).unwrap();
    store.reclaim(r).unwrap();
    store.sync().unwrap();
    let media = store.into_media();
    assert!(media.is_settled());
    media
}

fn geometry(bytes: &[u8]) -> Geometry {
    Geometry::load(&Memory::new(&mut bytes.to_vec())).unwrap()
}

/// The words of the headers of both slots, the first word of each first.
fn headers(geo: &Geometry) -> [[usize; 4]; 2] {
    let half = geo.journal_pages / 2;
    [0, 1].map(|n| [0, 1, 2, 3].map(|i| ((geo.journal_page + n * half) * PAGE / 8) as usize + i))
}

/// Whether a word is the journal's.
fn in_journal(geo: &Geometry, word: usize) -> bool {
    (geo.journal_page..geo.journal_page + geo.journal_pages).contains(&(word as u64 * 8 / PAGE))
}

/// Runs `op` on an opened store up to where only the fence that commits it is
/// missing: its record is whole, and nothing of it is in place. The flush before
/// that is done, or not.
fn up_to_the_seal(image: &[u8], op: Op, flushed: bool) -> Power {
    let geo = geometry(image);
    let run = |steps| {
        let mut store = Store::open(Power::new(image.to_vec()), Mode::ReadWrite).unwrap();
        store.sync().unwrap();
        store.media_mut().limit = store.media().done + steps;
        let result = op(&mut store);
        (store.into_media(), result)
    };
    let unsealed = |m: &Power| m.at_stake().iter().all(|&word| in_journal(&geo, word));
    let sealed = |m: &Power| headers(&geo).as_flattened().iter().any(|w| m.at_stake().contains(w));
    // Writes, then a flush: with that done, the fence is next.
    let mut steps = 0;
    while !sealed(&run(steps).0) {
        steps += 1;
    }
    let (media, result) = run(steps + flushed as u64);
    assert!(result.is_err() && sealed(&media) && unsealed(&media));
    media
}

const BIND: Op = |s| s.bind(b"/two", id(1), false).map(|_| ());
const CREATE: Op = |s| s.create(id(5), &new(5, 1)).map(|_| ());

/// Each way in which a cut can leave `BIND` torn for want of one word: that
/// word, and the image. Words that were there before are not missed.
fn torn_binds(base: &[u8], before: &State) -> Vec<(usize, Vec<u8>)> {
    let bind = up_to_the_seal(base, BIND, true);
    let all = bind.at_stake().into_iter().map(|word| (word, bind.cut_to(|w| w != word)));
    all.filter(|(_, torn)| recover(&mut torn.clone(), "torn") == *before).collect()
}

/// Of `BIND` one word is missing. Recovery says that it did not happen; then
/// `CREATE` is cut so that just this word of it survives.
fn next_brings_only(word: usize, recovered: &[u8], before: &State) {
    let next = up_to_the_seal(recovered, CREATE, true);
    let seen = recover(&mut next.cut_to(|w| w == word), "the word alone");
    assert!(seen == *before, "word {word}: {:?}", seen.names);
    let seen = recover(&mut next.cut_to(|w| w != word), "all but the word");
    assert!(seen == *before || seen.objects.len() == before.objects.len() + 1, "word {word}");
}

#[test]
fn a_torn_record_does_not_come_back_by_words_of_the_next_one() {
    let base = settled().visible;
    let before = recover(&mut base.clone(), "before");
    let torn = torn_binds(&base, &before);
    assert!(torn.len() > 30, "{}", torn.len());
    for (word, mut torn) in torn {
        recover(&mut torn, "torn");
        next_brings_only(word, &torn, &before);
    }
}

#[test]
fn nor_if_recovery_is_cut_anywhere_and_done_again() {
    let base = settled().visible;
    let (before, geo) = (recover(&mut base.clone(), "before"), geometry(&base));
    let slots = headers(&geo);
    for (word, torn) in torn_binds(&base, &before) {
        let Some(slot) = slots.iter().find(|slot| slot.contains(&word)) else { continue };
        for limit in 0..30 {
            for some in 0..16 {
                let mut media = Power::new(torn.clone());
                media.limit = limit;
                let _ = Store::open(&mut media, Mode::ReadWrite).map(Store::into_media);
                let part = |w| slot.iter().position(|&x| x == w).is_none_or(|i| some >> i & 1 != 0);
                let mut image = media.cut_to(part);
                let seen = recover(&mut image, "recovery was cut");
                assert!(seen == before, "word {word}, {limit}, {some}");
                if limit % 6 == 0 {
                    next_brings_only(word, &image, &before);
                }
            }
        }
    }
}

/// A program that is killed leaves what can be seen and is not durable. Who
/// recovers it must not have some of it in place before all of it is durable.
#[test]
fn a_record_that_a_kill_left_is_durable_before_any_of_it_is_in_place() {
    let base = settled().visible;
    let geo = geometry(&base);
    let before = recover(&mut base.clone(), "before");
    for flushed in [false, true] {
        let left = up_to_the_seal(&base, BIND, flushed);
        let after = recover(&mut left.visible.clone(), "after");
        assert!(before != after);
        // Whatever recovery has done: all of it is durable, and of the record what must be.
        for limit in 0..60 {
            let mut media = left.clone();
            media.limit = media.done + limit;
            let _ = Store::open(&mut media, Mode::ReadWrite).map(Store::into_media);
            let seen = recover(&mut media.cut_to(|w| !in_journal(&geo, w)), "cut");
            assert!(seen == before || seen == after, "{limit}: {:?}", seen.names);
        }
    }
}

/// The same of the zeros with which a killed recovery destroyed a torn record.
#[test]
fn zeros_that_a_kill_left_are_durable_before_the_slot_is_written() {
    let base = settled().visible;
    let (before, geo) = (recover(&mut base.clone(), "before"), geometry(&base));
    let slots = headers(&geo);
    for (word, torn) in torn_binds(&base, &before) {
        if !slots.as_flattened().contains(&word) {
            continue;
        }
        for limit in 0..30 {
            let mut media = Power::new(torn.clone());
            media.limit = limit;
            let _ = Store::open(&mut media, Mode::ReadWrite).map(Store::into_media);
            media.limit = u64::MAX;
            let mut store = Store::open(media, Mode::ReadWrite).unwrap();
            store.media_mut().limit = store.media().done + 2;
            assert!(CREATE(&mut store).is_err());
            let seen = recover(&mut store.into_media().cut_to(|w| w == word), "the word alone");
            assert!(seen == before, "word {word}, {limit}: {:?}", seen.names);
        }
    }
}

/// Repair empties the journal. If it is cut, the older of two records must not
/// be left there alone: its replay would undo what the newer one did.
#[test]
fn a_repair_that_is_cut_takes_back_no_transaction() {
    let base = {
        let mut store = Store::open(settled(), Mode::ReadWrite).unwrap();
        store.bind(b"/gone", id(1), false).unwrap();
        store.unbind(b"/gone").unwrap();
        store.sync().unwrap();
        store.into_media().visible
    };
    let (before, geo) = (recover(&mut base.clone(), "before"), geometry(&base));
    let mut scratch = vec![0; check::scratch_needed(&geo) as usize];
    for limit in 0..120 {
        let mut media = Power::new(base.clone());
        media.limit = limit;
        let whole = check::repair(&mut media, &mut scratch, &mut |_| {}).is_ok();
        // Of the headers any, of all else all or nothing.
        for some in 0..256 * 2 {
            let words = headers(&geo);
            let keep = |w: usize| match words.as_flattened().iter().position(|&x| x == w) {
                Some(i) => some >> i & 1 != 0,
                None => some & 256 != 0,
            };
            let mut image = media.cut_to(keep);
            if some % 2 == 0 {
                mend(&mut image).unwrap();
            }
            assert!(recover(&mut image, "opened") == before, "{limit}, {some}");
        }
        if whole {
            return;
        }
    }
    panic!("a repair takes more steps than that");
}

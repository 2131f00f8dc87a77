// SPDX-License-Identifier: MIT OR Apache-2.0
//! What the objects of a run show ([`view`]), to somebody who comes later. The
//! operations on them are `operations`.

use twz::{Field, collections::PtrMap};

use super::operations::{Leaf, Pair, Root};

/// Bits of an address that say where in an object it lies.
const SLOT_BITS: u32 = 30;

/// Whether a leaf lies in a block that its object's heap has given out: what is not,
/// the next one gets.
fn is_given_out(p: &Pair, leaf: &Leaf) -> twz::Result<bool> {
    let address = (&raw const *leaf) as usize;
    let in_a = (&raw const *p.a.root()) as usize >> SLOT_BITS == address >> SLOT_BITS;
    let heap = if in_a { p.a.heap() } else { p.b.heap() };
    match heap.size((address & ((1 << SLOT_BITS) - 1)) as u64) {
        Ok(size) => Ok(size >= size_of::<Leaf>() as u64),
        Err(twz::Error::BadPointer { .. }) => Ok(false),
        Err(error) => Err(error),
    }
}

/// The keys, and what their leaves hold; what is half there is an error.
fn leaves<const W: usize>(map: &PtrMap<Leaf, W>) -> Result<Vec<[u64; 3]>, String> {
    let say = |e: twz::Error| e.to_string();
    let both = |leaf: &Leaf| [leaf.value.get(), !leaf.inverse.get()];
    let (mut from, mut seen) = (0, Vec::new());
    loop {
        let (next, found) = map.walk(from, |leaf| leaf.lea().map(both)).map_err(say)?;
        for (key, leaf) in found {
            let (words, _) = key.as_chunks();
            let first = words.first().copied().unwrap_or_default();
            if words.iter().any(|word| *word != first) {
                return Err("a key is half there".to_owned());
            }
            let [value, inverse] = leaf.map_err(say)?;
            match map.get(&key).map_err(say)? {
                Some(found) if both(found) == [value, inverse] => {}
                _ => return Err(format!("key {key:?} is there and not found")),
            }
            seen.push([u64::from_le_bytes(first), value, inverse]);
        }
        if next == 0 {
            seen.sort();
            return Ok(seen);
        }
        from = next;
    }
}

/// Whether the maps of pointers are as they say once somebody is going to change them,
/// who counts anew if nobody vouches for the counts.
pub fn counts(p: &Pair) -> Result<(), String> {
    counted(p, &p.a.root().leaves)?;
    counted(p, &p.a.root().few)
}

fn counted<const W: usize>(p: &Pair, map: &PtrMap<Leaf, W>) -> Result<(), String> {
    let say = |e: twz::Error| e.to_string();
    let there = leaves(map)?.len() as u64;
    if there != 0 {
        let writer = p.a.lock().map_err(say)?;
        map.reserve(&writer, 0).map_err(say)?;
        if map.len() != there {
            return Err(format!("a map of pointers has {there} keys and counts {}", map.len()));
        }
    }
    Ok(())
}

/// The plain fields of an object, and whether it leads anywhere.
pub fn fields(root: &Root) -> Vec<u64> {
    let three = [&root.x, &root.y, &root.z].into_iter();
    let words = three.chain(&root.many).chain(&root.wide).map(Field::get);
    words.chain([root.next.is_null() as u64]).collect()
}

/// Words of a row of what is shown of a map of pointers: which map, a key, its leaf.
const ROW: usize = 4;

/// What the objects show; what is half there is an error. First how many words come
/// before the rows of the maps of pointers.
pub fn view(p: &Pair) -> Result<Vec<u64>, String> {
    let say = |e: twz::Error| e.to_string();
    let (mut seen, mut rows) = (vec![0], Vec::new());
    for (n, root) in (0..).zip([p.a.root(), p.b.root()]) {
        seen.extend(fields(root));
        if !root.next.is_null() {
            match root.next.lea() {
                Ok(leaf) if !is_given_out(p, leaf).map_err(say)? => {
                    return Err("a leaf is in no block that is in use".to_owned());
                }
                Ok(leaf) if leaf.inverse.get() == !leaf.value.get() => seen.push(leaf.value.get()),
                Ok(_) => return Err("a leaf is half there".to_owned()),
                Err(twz::Error::NoObject(id)) => seen.push(id.as_u128() as u64),
                Err(error) => return Err(error.to_string()),
            }
        }
        for sorted in [true, false] {
            let mut pairs: Vec<(u64, u64)> = match sorted {
                true => root.tree.iter().collect::<twz::Result<_>>().map_err(say)?,
                false => root.map.iter().collect::<twz::Result<_>>().map_err(say)?,
            };
            pairs.sort();
            let len = if sorted { root.tree.len() } else { root.map.len() };
            if pairs.len() as u64 != len.map_err(say)? {
                return Err("the count of a map is wrong".to_owned());
            }
            for (key, value) in pairs {
                let found = if sorted { root.tree.get(&key) } else { root.map.get(&key) };
                if found.map_err(say)? != Some(value) {
                    return Err(format!("key {key} is there and not found"));
                }
                seen.extend([key, value]);
            }
        }
        for (map, found) in [leaves(&root.leaves)?, leaves(&root.few)?].into_iter().enumerate() {
            rows.extend(found.into_iter().flat_map(|[key, a, b]| [2 * n + map as u64, key, a, b]));
        }
        seen.extend(root.list.to_vec().map_err(say)?);
        seen.extend(root.text.get().map_err(say)?.bytes().map(u64::from));
    }
    p.a.heap().check().map_err(say)?;
    p.b.heap().check().map_err(say)?;
    seen[0] = seen.len() as u64;
    seen.extend(rows);
    Ok(seen)
}

/// Whether maps of pointers show some of what has changed from `before` to `after`, each
/// key as in one of them, and all else is the same.
pub fn is_between(seen: &[u64], before: &[u64], after: &[u64]) -> bool {
    let rows = |shown: &[u64]| shown[shown[0] as usize..].as_chunks::<ROW>().0.to_vec();
    let fixed = |shown: &[u64]| shown[..shown[0] as usize].to_vec();
    let (seen_rows, before_rows, after_rows) = (rows(seen), rows(before), rows(after));
    let has = |rows: &[[u64; ROW]], key: &[u64]| rows.iter().any(|row| row[..2] == *key);
    fixed(seen) == fixed(before)
        && fixed(seen) == fixed(after)
        && seen_rows.iter().all(|row| before_rows.contains(row) || after_rows.contains(row))
        && before_rows.iter().all(|row| has(&seen_rows, &row[..2]) || !has(&after_rows, &row[..2]))
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The graph of objects, read without mapping: the same in a directory and in
//! an image.

mod common;

use std::path::Path;

use common::TempPool;
use twz::{
    Backend, Field, Global, ImageOptions, ImagePool, ObjectId, Persist, Ptr, Rights, Space,
    graph::{self, Labels, Target},
    transfer,
};

#[derive(Persist)]
#[repr(C)]
struct Node {
    value: Field<u64>,
    next: Ptr<Node>,
    other: Ptr<Node>,
}

fn node(value: u64) -> Node {
    Node { value: Field::new(value), next: Ptr::null(), other: Ptr::null() }
}

/// a -> b -> c -> a; a -> nobody; c -> the name "there" (b) and "gone";
/// b -> b2, retargeted to c.
struct Pools {
    _pool: TempPool,
    ids: [ObjectId; 3],
    nobody: ObjectId,
    homes: [Box<dyn Backend>; 2],
}

fn pools() -> Pools {
    let pool = TempPool::new();
    let (ids, nobody) = fill(&pool.path());
    let from = pool.backend();
    let path = pool.dir().join("image");
    let options = ImageOptions { records: Some(256), ..ImageOptions::default() };
    ImagePool::format(&path, &options).unwrap();
    let image = ImagePool::open_unsynced(&path).unwrap();
    transfer::copy_pool(&*from, &image, &mut |_| {}).unwrap();
    Pools { _pool: pool, ids, nobody, homes: [from, Box::new(image)] }
}

fn fill(path: &Path) -> ([ObjectId; 3], ObjectId) {
    let space = Space::open(path).unwrap();
    let [a, b, c, b2] = [1, 2, 3, 4].map(|i| space.create(node(i)).unwrap());
    let nobody = ObjectId::from_u128(5 << 64 | 5);
    a.root().next.store(b.root()).unwrap();
    a.root().other.store_global(Global { id: nobody, offset: 4096 }, Rights::READ).unwrap();
    b.root().next.store(c.root()).unwrap();
    b.root().other.store(b2.root()).unwrap();
    assert!(b.retarget(b2.id(), c.id()).unwrap());
    c.root().next.store(a.root()).unwrap();
    space.bind("there", b.id()).unwrap();
    space.bind("head", a.id()).unwrap();
    c.root().other.store_name("there", 4096, Rights::READ).unwrap();
    c.root().other.store_name("gone", 4096, Rights(3)).unwrap();
    (([a.id(), b.id(), c.id()]), nobody)
}

#[test]
fn references_are_read_without_mapping() {
    let pools = pools();
    let ([a, b, c], nobody) = (pools.ids, pools.nobody);
    for pool in &pools.homes {
        let of = graph::references(&**pool, a).unwrap();
        assert_eq!(of.len(), 2);
        assert_eq!((of[0].entry, &of[0].target, of[0].present), (1, &Target::Id(b), true));
        assert_eq!((&of[1].target, of[1].present), (&Target::Id(nobody), false));
        assert_eq!(of[1].rights, Rights::READ);
        let of = graph::references(&**pool, b).unwrap();
        // b2's entry means c, through a forward.
        assert!(of.iter().all(|reference| reference.target == Target::Id(c)));
        assert_eq!(of.len(), 2);
        let of = graph::references(&**pool, c).unwrap();
        let name = |name: &str, resolved| Target::Name { name: name.into(), resolver: 1, resolved };
        assert_eq!(of[1].target, name("there", Some(b)));
        assert_eq!((&of[2].target, of[2].present), (&name("gone", None), false));
        assert!(graph::references(&**pool, nobody).is_err());
    }
}

#[test]
fn dangling_references_are_found() {
    let pools = pools();
    for pool in &pools.homes {
        let mut found = Vec::new();
        graph::dangling(&**pool, &mut |id, reference| {
            found.push((id, reference.entry));
            Ok(())
        })
        .unwrap();
        found.sort();
        let mut expected = [(pools.ids[0], 2), (pools.ids[2], 3)];
        expected.sort();
        assert_eq!(found, expected);
    }
}

#[test]
fn a_walk_visits_each_object_once_nearest_first() {
    let pools = pools();
    let ([a, b, c], nobody) = (pools.ids, pools.nobody);
    for pool in &pools.homes {
        let mut seen = Vec::new();
        graph::walk(&**pool, &[a, a], &mut |node| {
            seen.push((node.id, node.depth, node.present));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, [(a, 0, true), (b, 1, true), (nobody, 1, false), (c, 2, true)]);
    }
}

#[test]
fn pictures() {
    let pools = pools();
    let [a, b, c] = pools.ids;
    for pool in &pools.homes {
        let labels = graph::labels(&**pool).unwrap();
        let mut text = Vec::new();
        graph::to_text(&**pool, &[a], &labels, &mut text).unwrap();
        let text = String::from_utf8(text).unwrap();
        let expected = format!(
            "head ({a})\n\
             ├── 1 rw---- there ({b})\n\
             │   ├── 1 rw---- {c}\n\
             │   │   ├── 1 rw---- head ({a})  (drawn above)\n\
             │   │   ├── 2 r----- 'there' -> {b}  (drawn above)\n\
             │   │   └── 3 rw---- 'gone'  (bound to nothing)\n\
             │   └── 2 rw---- {c}  (drawn above)\n\
             └── 2 r----- {}  (not in this pool)\n",
            pools.nobody
        );
        assert_eq!(text, expected);
        let mut dot = Vec::new();
        graph::to_dot(&**pool, &[a], &labels, &mut dot).unwrap();
        let dot = String::from_utf8(dot).unwrap();
        assert!(dot.starts_with("digraph objects {\n") && dot.ends_with("}\n"));
        assert!(dot.contains(&format!("\"{a}\" -> \"{b}\" [label=\"rw----\"];")), "{dot}");
        assert!(dot.contains(&format!("\"{}\" [label=\"{0}\", style=dashed];", pools.nobody)));
        assert!(dot.contains(&format!("\"{c}\" -> \"'gone'\"")));
    }
}

#[test]
fn words_from_a_pool_do_not_break_a_picture() {
    let pool = TempPool::new();
    let space = pool.open();
    let a = space.create(node(1)).unwrap();
    a.root().next.store_name("x\"];\n\u{1b}[31m\\", 4096, Rights::READ).unwrap();
    let mut dot = Vec::new();
    graph::to_dot(space.backend(), &[a.id()], &Labels::new(), &mut dot).unwrap();
    let dot = String::from_utf8(dot).unwrap();
    assert!(dot.contains(r#"-> "'x\"];\\n\\u{1b}[31m\\'""#), "{dot}");
    let mut text = Vec::new();
    graph::to_text(space.backend(), &[a.id()], &Labels::new(), &mut text).unwrap();
    assert!(!String::from_utf8(text).unwrap().contains('\u{1b}'));
}

#[test]
fn a_long_chain_is_no_matter() {
    let pool = TempPool::new();
    let space = pool.open();
    let mut next = space.create(node(0)).unwrap().global();
    for i in 1..2000 {
        let object = space.create(node(i)).unwrap();
        object.root().next.store_global(next, Rights::READ).unwrap();
        next = object.global();
    }
    let mut count = 0;
    graph::walk(space.backend(), &[next.id], &mut |_| {
        count += 1;
        Ok(())
    })
    .unwrap();
    assert_eq!(count, 2000);
    graph::to_text(space.backend(), &[next.id], &Labels::new(), &mut std::io::sink()).unwrap();
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The space from a program's side: objects, pointers between them, late
//! binding, rights, views. Processes of their own are in `tests/processes`.

mod common;

use std::fs;

use common::TempPool as Pool;
use twz::{Error, Field, Global, NewObject, ObjectId, Persist, Ptr, PtrSlice, Rights};

#[derive(Persist)]
#[repr(C)]
struct Node {
    value: Field<u64>,
    next: Ptr<Node>,
}

impl Node {
    fn new(value: u64) -> Self {
        Self { value: Field::new(value), next: Ptr::null() }
    }
}

#[test]
fn a_list_over_many_objects_outlives_the_space_that_made_it() {
    let pool = Pool::new();
    {
        let space = pool.open();
        let objects: Vec<_> = (0..200).map(|i| space.create(Node::new(i)).unwrap()).collect();
        for pair in objects.windows(2) {
            pair[0].root().next.store(pair[1].root()).unwrap();
        }
        space.bind("list", objects[0].id()).unwrap();
    }
    let space = pool.open();
    let head = space.open_name::<Node>("list").unwrap();
    let mut at = head.root();
    for i in 0..200 {
        assert_eq!(at.value.get(), i);
        match at.next.get().unwrap() {
            Some(next) => at = next,
            None => assert_eq!(i, 199),
        }
    }
}

#[test]
fn an_object_with_a_thousand_foreign_references() {
    #[derive(Persist)]
    #[repr(C)]
    struct Hub {
        spokes: PtrSlice<Ptr<Node>>,
    }
    let pool = Pool::new();
    let space = pool.open();
    let hub = space.create(Hub { spokes: PtrSlice::empty() }).unwrap();
    let spokes = hub.alloc_slice(1000, |_| Ptr::null()).unwrap();
    hub.root().spokes.store(spokes).unwrap();
    for (i, spoke) in spokes.iter().enumerate() {
        let node = space.create(Node::new(i as u64)).unwrap();
        spoke.store(node.root()).unwrap();
        assert_eq!(spoke.bits().index(), i as u32 + 1);
    }
    drop((hub, space));
    // Nothing of it was lost, through the pages below the tail page too.
}

#[test]
fn equal_references_share_an_entry_and_other_rights_get_an_alias() {
    let pool = Pool::new();
    let space = pool.open();
    let (a, b) = (space.create(Node::new(1)).unwrap(), space.create(Node::new(2)).unwrap());
    a.root().next.store(b.root()).unwrap();
    let first = a.root().next.bits();
    a.root().next.store_global(b.global(), Rights(3)).unwrap();
    assert_eq!(a.root().next.bits(), first);
    a.root().next.store_global(b.global(), Rights::READ).unwrap();
    assert_ne!(a.root().next.bits(), first);
    let readable = a.root().next.lea().unwrap();
    assert_eq!(readable.value.get(), 2);
    assert!(matches!(readable.value.set(3), Err(Error::Denied { .. })));
    b.root().value.set(5).unwrap();
    assert_eq!(readable.value.get(), 5);
}

#[test]
fn bad_pointers_are_errors() {
    let pool = Pool::new();
    let space = pool.open();
    let a = space.create(Node::new(1)).unwrap();
    assert!(matches!(a.root().next.lea(), Err(Error::Null)));
    let stack = Node::new(1);
    assert!(matches!(stack.next.lea(), Err(Error::Null)));
    assert!(matches!(a.root().next.store(&stack), Err(Error::NotInObject)));
    assert!(matches!(stack.next.store(a.root()), Err(Error::NotInObject)));
    for bits in
        [4096 + 4u64, 1 << 29, (1 << 30) - 8, 1 << 35, 8, 1 << 40 | 4096, 0xff_ffff << 40 | 4096]
    {
        space.backend().write(a.id(), 4096 + 8, &bits.to_le_bytes()).unwrap();
        assert!(a.root().next.lea().is_err(), "{bits:#x}");
    }
    let nobody = ObjectId::from_u128(5 << 64 | 5);
    a.root().next.store_global(Global { id: nobody, offset: 4096 }, Rights::READ).unwrap();
    assert!(matches!(a.root().next.lea(), Err(Error::NoObject(id)) if id == nobody));
}

#[test]
fn types_are_checked_at_open() {
    #[derive(Persist)]
    #[repr(C)]
    struct Other {
        a: u64,
        b: u64,
    }
    let pool = Pool::new();
    let space = pool.open();
    let id = space.create(Node::new(1)).unwrap().id();
    assert!(matches!(space.open_object::<Other>(id), Err(Error::WrongType { .. })));
    assert_eq!(space.open_object::<()>(id).unwrap().len().unwrap(), 64);
}

#[test]
fn a_rebound_name_is_seen_at_the_next_use() {
    let pool = Pool::new();
    let space = pool.open();
    let (a, b) = (space.create(Node::new(10)).unwrap(), space.create(Node::new(20)).unwrap());
    let index = space.create(Node::new(0)).unwrap();
    space.backend().make_dir("weather").unwrap();
    space.bind("weather/today", a.id()).unwrap();
    index.root().next.store_name("weather/today", 4096, Rights(3)).unwrap();
    assert_eq!(index.root().next.lea().unwrap().value.get(), 10);
    space.bind("weather/today", b.id()).unwrap();
    assert_eq!(index.root().next.lea().unwrap().value.get(), 20);
    // An ordinary program rebinds it.
    if let Some(names) = pool.names() {
        let names = names.join("weather");
        space.bind("weather/old", a.id()).unwrap();
        fs::rename(names.join("old"), names.join("today")).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(30));
        assert_eq!(index.root().next.lea().unwrap().value.get(), 10);
    }
    space.backend().unbind("weather/today").unwrap();
    assert!(matches!(index.root().next.lea(), Err(Error::Unresolved { .. })));
}

#[test]
fn retargeting_moves_every_pointer_at_once() {
    let pool = Pool::new();
    let space = pool.open();
    let (a, b) = (space.create(Node::new(1)).unwrap(), space.create(Node::new(2)).unwrap());
    let holder = space.create(Node::new(0)).unwrap();
    let second = holder.alloc(Node::new(0)).unwrap();
    holder.root().next.store(a.root()).unwrap();
    second.next.store_global(a.global(), Rights::READ).unwrap();
    assert_eq!(holder.root().next.lea().unwrap().value.get(), 1);
    assert!(holder.retarget(a.id(), b.id()).unwrap());
    assert_eq!(holder.root().next.lea().unwrap().value.get(), 2);
    assert_eq!(second.next.lea().unwrap().value.get(), 2);
    assert!(!holder.retarget(a.id(), b.id()).unwrap());
    // A is reachable anew, through another entry, and back to B is a forward of a forward.
    second.next.store(a.root()).unwrap();
    assert_eq!(second.next.lea().unwrap().value.get(), 1);
    assert_eq!(holder.root().next.lea().unwrap().value.get(), 2);
}

#[test]
fn a_derived_reference_copies_on_first_use() {
    let pool = Pool::new();
    let space = pool.open();
    let template = space.create(Node::new(7)).unwrap();
    let holder = space.create(Node::new(0)).unwrap();
    holder.root().next.store_derived(template.global(), Rights(3)).unwrap();
    let copy = holder.root().next.lea().unwrap();
    copy.value.set(8).unwrap();
    assert_eq!(template.root().value.get(), 7);
    assert_eq!(holder.root().next.lea().unwrap().value.get(), 8);
    assert_ne!(holder.root().next.global().unwrap().id, template.id());
}

#[test]
fn immutable_objects_cannot_be_written_and_their_id_covers_their_data() {
    let pool = Pool::new();
    let space = pool.open();
    let a = space.create(Node::new(7)).unwrap();
    let new = NewObject { flags: twz::flags::IMMUTABLE, ..NewObject::default() };
    let sealed = space.backend().copy(a.id(), &new).unwrap();
    let object = space.open_object::<Node>(sealed).unwrap();
    assert_eq!(object.root().value.get(), 7);
    assert!(matches!(object.root().value.set(1), Err(Error::Denied { .. })));
    assert!(space.backend().resize(sealed, 0).is_err());
}

#[test]
fn deleting_waits_for_mappings_and_names() {
    let pool = Pool::new();
    let space = pool.open();
    let a = space.create(Node::new(7)).unwrap();
    space.bind("a", a.id()).unwrap();
    assert!(matches!(space.backend().delete(a.id()), Err(Error::Busy { .. })));
    space.backend().unbind("a").unwrap();
    space.backend().delete(a.id()).unwrap();
    assert_eq!(a.root().value.get(), 7);
    assert!(matches!(space.backend().stat(a.id()), Err(Error::NoObject(_))));
    assert!(matches!(space.backend().delete(a.id()), Err(Error::NoObject(_))));
}

#[test]
fn an_altered_object_is_refused() {
    embedded_only!("it alters a directory's files");
    let pool = Pool::new();
    let space = pool.open();
    let id = space.create(Node::new(7)).unwrap().id();
    let text = id.to_string();
    let tail = pool.path().join("objects").join(&text[..2]).join(format!("{text}.tail"));
    let good = fs::read(&tail).unwrap();
    // Default rights, nonce, owner: each is covered by the id.
    for at in [3584 + 20, 3584 + 48, 3584 + 64] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&tail, &bad).unwrap();
        let other = pool.open();
        assert!(other.open_object::<Node>(id).is_err());
        assert!(other.backend().stat(id).is_err());
    }
    fs::write(&tail, &good[..100]).unwrap();
    assert!(pool.open().open_object::<Node>(id).is_err());
}

#[test]
fn ordinary_files_become_objects_when_they_are_looked_up() {
    embedded_only!("names are no files there");
    let pool = Pool::new();
    let space = pool.open();
    fs::write(pool.path().join("names/hello"), b"hello").unwrap();
    let id = space.resolve("hello").unwrap();
    assert_eq!(space.resolve("/hello").unwrap(), id);
    let object = space.open_object::<()>(id).unwrap();
    let mut bytes = [0; 5];
    object.read(0, &mut bytes).unwrap();
    assert_eq!(&bytes, b"hello");
    object.write(0, b"J").unwrap();
    assert_eq!(fs::read(pool.path().join("names/hello")).unwrap(), b"Jello");
    assert_eq!(pool.open().resolve("hello").unwrap(), id);
}

#[test]
fn a_store_into_the_view_maps() {
    let pool = Pool::new();
    let space = pool.open();
    let id = space.create(Node::new(42)).unwrap().id();
    let view = space.view();
    view.set(77, id, Rights::READ).unwrap();
    let address = view.address(77) + 4096;
    // SAFETY: the view shows an object there; the fault handler maps it.
    let value = unsafe { (address as *const u64).read_volatile() };
    assert_eq!(value, 42);
    let other = space.create(Node::new(43)).unwrap().id();
    view.set(77, other, Rights::READ).unwrap();
    view.invalidate(77, 1).unwrap();
    // SAFETY: as above.
    assert_eq!(unsafe { (address as *const u64).read_volatile() }, 43);
}

#[test]
fn views_are_objects_that_can_be_switched() {
    let pool = Pool::new();
    let space = pool.open();
    let id = space.create(Node::new(42)).unwrap().id();
    let view = space.create_view().unwrap();
    space.set_view(Some(view)).unwrap();
    space.view().set(9, id, Rights(3)).unwrap();
    let other = pool.open();
    other.set_view(Some(view)).unwrap();
    assert_eq!(other.view().get(9).unwrap().unwrap().id, id);
    // SAFETY: the view shows an object there; the fault handler maps it.
    assert_eq!(unsafe { ((other.view().address(9) + 4096) as *const u64).read_volatile() }, 42);
    let open = space.open_object::<Node>(id).unwrap();
    assert!(matches!(space.set_view(None), Err(Error::Busy { .. })));
    drop(open);
    space.set_view(None).unwrap();
    assert_eq!(space.view().get(9).unwrap(), None);
}

#[test]
fn more_objects_than_slots_can_be_opened_one_after_another() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let kept = space.create(Node::new(1)).unwrap();
    let far = space.create(Node::new(2)).unwrap();
    kept.root().next.store(far.root()).unwrap();
    let reached = kept.root().next.lea().unwrap();
    drop(far);
    let ids: Vec<_> = (0..space.view().slots() as u64 + 100)
        .map(|i| space.create(Node::new(i)).unwrap().id())
        .collect();
    // What is open, and what a pointer led to, stayed where it was.
    assert_eq!((kept.root().value.get(), reached.value.get()), (1, 2));
    for (i, &id) in ids.iter().enumerate().step_by(97) {
        assert_eq!(space.open_object::<Node>(id).unwrap().root().value.get(), i as u64);
    }
    // And with nothing open everything can go.
    kept.root().next.clear().unwrap();
    drop(kept);
    for &id in ids.iter().rev().take(200) {
        space.open_object::<Node>(id).unwrap();
    }
}

#[test]
fn a_deleted_object_cannot_be_opened_again_though_its_slot_is_still_mapped() {
    let pool = Pool::new();
    let space = pool.open();
    let id = space.create(Node::new(1)).unwrap().id();
    space.backend().delete(id).unwrap();
    assert!(matches!(space.open_object::<Node>(id), Err(Error::NoObject(_))));
}

#[test]
fn rights_that_an_object_does_not_grant_are_refused() {
    let pool = Pool::new();
    let space = pool.open();
    let new = NewObject { default_rights: Rights::READ, size: 10, ..NewObject::default() };
    let id = space.backend().create(&new).unwrap();
    for refused in [
        space.backend().write(id, 4096, b"x"),
        space.backend().resize(id, 5),
        space.backend().delete(id),
    ] {
        assert!(matches!(refused, Err(Error::Denied { .. })), "{refused:?}");
    }
}

#[test]
fn renaming_a_name_to_another_of_the_same_object_leaves_one() {
    let pool = Pool::new();
    let space = pool.open();
    let id = space.create(Node::new(1)).unwrap().id();
    space.bind("a", id).unwrap();
    space.bind("b", id).unwrap();
    space.backend().rename("a", "b").unwrap();
    assert!(matches!(space.resolve("a"), Err(Error::NoName(_))));
    assert_eq!(space.resolve("b").unwrap(), id);
    assert_eq!(space.backend().stat(id).unwrap().names, 1);
    // The same name, by whatever way, stays.
    space.backend().make_dir("d").unwrap();
    space.backend().rename("b", "d/b").unwrap();
    space.backend().rename("d/b", "/d//b").unwrap();
    if let Some(names) = pool.names() {
        std::os::unix::fs::symlink("d", names.join("link")).unwrap();
        space.backend().rename("d/b", "link/b").unwrap();
    }
    assert_eq!(space.resolve("d/b").unwrap(), id);
}

#[test]
fn threads_that_follow_and_insert_at_once_never_meet_a_slot_half_mapped() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let nodes: Vec<_> = (0..400).map(|i| space.create(Node::new(i)).unwrap()).collect();
    let hub = space.create(Node::new(0)).unwrap();
    let spokes = hub.alloc_slice(400, |_| Ptr::<Node>::null()).unwrap();
    std::thread::scope(|scope| {
        for start in 0..4 {
            let nodes = &nodes;
            scope.spawn(move || {
                for i in (start..400).chain(0..start) {
                    spokes[i].store(nodes[i].root()).unwrap();
                    assert_eq!(spokes[i].lea().unwrap().value.get(), i as u64);
                }
            });
        }
    });
    let entries: std::collections::HashSet<_> =
        spokes.iter().map(|spoke| spoke.bits().index()).collect();
    assert_eq!(entries.len(), 400);
}

#[test]
fn many_threads_may_fault_on_the_same_slots_at_once() {
    let pool = Pool::in_memory();
    let space = pool.open();
    let slots = 100..200u32;
    for slot in slots.clone() {
        let id = space.create(Node::new(slot as u64)).unwrap().id();
        space.view().set(slot, id, Rights(3)).unwrap();
    }
    for _ in 0..5 {
        // Some may have been shown there while they were made.
        space.view().invalidate(slots.start, slots.len() as u32).unwrap();
        let start = std::sync::Barrier::new(8);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    start.wait();
                    for slot in slots.clone() {
                        let address = space.view().address(slot) + 4096;
                        // SAFETY: the view shows an object there; the fault handler maps it.
                        assert_eq!(unsafe { (address as *const u64).read_volatile() }, slot as u64);
                    }
                });
            }
        });
    }
}

#[test]
fn links_that_some_program_left_among_the_names_lead_nowhere_they_should_not() {
    embedded_only!("names are no files there");
    use std::os::unix::fs::symlink;
    let pool = Pool::new();
    let space = pool.open();
    let names = pool.path().join("names");
    symlink("b", names.join("a")).unwrap();
    symlink("a", names.join("b")).unwrap();
    symlink("/etc/passwd", names.join("out")).unwrap();
    symlink("../../pool.twz", names.join("up")).unwrap();
    for (name, word) in
        [("a", "symbolic links"), ("out", "out of the pool"), ("up", "out of the pool")]
    {
        let said = space.resolve(name).unwrap_err().to_string();
        assert!(said.contains(word), "{name}: {said}");
    }
    for bad in ["../x", "a/../b", "", "/"] {
        assert!(space.resolve(bad).is_err(), "{bad}");
    }
    // One that stays inside is another name.
    let id = space.create(Node::new(1)).unwrap().id();
    space.bind("real", id).unwrap();
    symlink("real", names.join("alias")).unwrap();
    assert_eq!(space.resolve("alias").unwrap(), id);
    assert!(matches!(space.resolve("real/x"), Err(Error::NotADirectory(_))));
}

#[test]
fn a_programs_own_resolver_is_asked_at_each_use() {
    struct ByLength([ObjectId; 2]);
    impl twz::resolver::Resolver for ByLength {
        fn resolve(&self, _: &dyn twz::Backend, name: &str) -> twz::Result<ObjectId> {
            Ok(self.0[name.len() % 2])
        }
    }
    let pool = Pool::new();
    let space = pool.open();
    let nodes = [1, 2].map(|i| space.create(Node::new(i)).unwrap());
    let holder = space.create(Node::new(0)).unwrap();
    holder.root().next.store_name_with("odd", 7, 4096, Rights::READ).unwrap();
    assert!(matches!(holder.root().next.lea(), Err(Error::Unresolved { .. })));
    let resolver = std::sync::Arc::new(ByLength([nodes[0].id(), nodes[1].id()]));
    assert!(space.register_resolver(1, resolver.clone()).is_err());
    space.register_resolver(7, resolver).unwrap();
    assert_eq!(holder.root().next.lea().unwrap().value.get(), 2);
    holder.root().next.store_name_with("even", 7, 4096, Rights::READ).unwrap();
    assert_eq!(holder.root().next.lea().unwrap().value.get(), 1);
}

#[test]
fn only_views_are_views() {
    let pool = Pool::new();
    let space = pool.open();
    let id = space.create(Node::new(1)).unwrap().id();
    assert!(matches!(space.set_view(Some(id)), Err(Error::Unsupported(_))));
    assert!(matches!(space.view().set(0, id, Rights::READ), Err(Error::Unsupported(_))));
    assert!(matches!(space.view().set(u32::MAX, id, Rights::READ), Err(Error::NoSlot)));
    assert!(space.view().set(5, ObjectId::NULL, Rights::READ).is_err());
}

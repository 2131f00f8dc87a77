// SPDX-License-Identifier: MIT OR Apache-2.0
//! Pointers between objects: tables, graphs, retargeting.

use twz::{Field, ObjectId, Persist, Ptr, Rights, Space};

use crate::world::World;

#[derive(Persist)]
#[repr(C)]
struct Node {
    value: Field<u64>,
    next: Ptr<Node>,
    named: Ptr<Node>,
}

fn node(space: &Space, value: u64) -> twz::Object<Node> {
    space.create(Node { value: Field::new(value), next: Ptr::null(), named: Ptr::null() }).unwrap()
}

/// `/head` -> one -> two, and `/head` -> whatever `/favourite` is.
fn linked(world: &World) -> [String; 3] {
    let space = Space::open(world.pool()).unwrap();
    let nodes = [node(&space, 0), node(&space, 1), node(&space, 2)];
    nodes[0].root().next.store(nodes[1].root()).unwrap();
    nodes[1].root().next.store(nodes[2].root()).unwrap();
    let offset = nodes[0].global().offset;
    nodes[0].root().named.store_name("favourite", offset, Rights::READ).unwrap();
    space.bind("head", nodes[0].id()).unwrap();
    space.bind("favourite", nodes[2].id()).unwrap();
    nodes.map(|node| node.id().to_string())
}

#[test]
fn a_table_shows_what_is_there_and_what_is_not() {
    let world = World::new();
    let [head, one, two] = linked(&world);
    let fot = world.run(["fot", "/head"]).ok();
    assert!(fot.contains(&one) && fot.contains("'favourite' = ") && fot.contains(&two), "{fot}");
    assert!(!fot.contains("dangling"), "{fot}");
    let fot = world.json(["fot", &head]);
    let entries = fot["entries"].as_array().unwrap();
    assert_eq!(entries.len(), 2);
    assert_eq!((&entries[0]["kind"], &entries[0]["id"]), (&"id".into(), &one.as_str().into()));
    assert_eq!(entries[1]["name"], "favourite");
    assert_eq!(entries[1]["rights"], "r-----");
    world.run(["rm", &one]).ok();
    assert!(world.run(["fot", "/head"]).ok().contains("dangling"));
    assert_eq!(world.json(["fot", &head])["entries"][0]["present"], false);
}

#[test]
fn a_damaged_entry_is_shown_and_the_rest_too() {
    let world = World::new();
    let [head, ..] = linked(&world);
    let tail = world.pool().join("objects").join(&head[..2]).join(format!("{head}.tail"));
    let mut bytes = std::fs::read(&tail).unwrap();
    bytes[3584 - 32] ^= 1; // the first entry, just below the meta record
    std::fs::write(&tail, bytes).unwrap();
    let fot = world.run(["fot", "/head"]).ends(6);
    assert!(
        fot.contains("bad") && fot.contains("checksum") && fot.contains("'favourite'"),
        "{fot}"
    );
    world.run(["graph", "--dangling"]).ends(1);
    world.run(["graph"]).ok();
}

#[test]
fn an_object_without_pointers_says_so() {
    let world = World::new();
    world.object("/a", b"x");
    assert!(world.run(["fot", "/a"]).ok().contains("points to no other object"));
    assert_eq!(world.run(["fot", "/a", "-q"]).ok(), "");
    assert_eq!(world.json(["fot", "/a"])["entries"].as_array().unwrap().len(), 0);
}

#[test]
fn the_graph_is_drawn_three_ways() {
    let world = World::new();
    let [head, one, two] = linked(&world);
    let text = world.run(["graph"]).ok();
    assert!(text.contains("head") && text.contains(&one) && text.contains("favourite"), "{text}");
    let dot = world.run(["graph", "/head", "--dot"]).ok();
    assert!(dot.starts_with("digraph") && dot.trim_end().ends_with('}'), "{dot}");
    assert!(dot.contains(&format!("\"{head}\" -> \"{one}\"")), "{dot}");
    let graph = world.json(["graph", &one]);
    assert_eq!(graph["roots"][0], one.as_str());
    let nodes = graph["nodes"].as_array().unwrap();
    assert_eq!(nodes.len(), 2);
    assert_eq!((&nodes[1]["id"], &nodes[1]["name"]), (&two.as_str().into(), &"/favourite".into()));
    assert_eq!(graph["edges"][0]["from"], one.as_str());
    world.run(["graph", "nobody"]).fails(3, &["no name"]);
    world.run(["graph", "--dot", "--dangling"]).ends(2);
}

#[test]
fn a_pool_without_names_has_no_roots() {
    let world = World::new();
    assert!(world.run(["graph"]).ok().contains("give a ROOT"));
    assert!(world.run(["graph", "--dot"]).ok().starts_with("digraph"));
}

#[test]
fn dangling_pointers_are_found() {
    let world = World::new();
    let [head, one, _] = linked(&world);
    assert!(world.run(["graph", "--dangling"]).ok().contains("leads to something"));
    world.run(["rm", &one]).ok();
    let out = world.run(["graph", "--dangling"]).ends(1);
    assert!(out.contains(&head) && out.contains("/head") && out.contains(&one), "{out}");
    let run = world.run(["graph", "--dangling", "--json"]);
    run.ends(1);
    let found = run.json();
    assert_eq!(found["dangling"][0]["from"], head.as_str());
    assert_eq!(found["dangling"][0]["id"], one.as_str());
}

#[test]
fn pointers_are_retargeted() {
    let world = World::new();
    let [head, one, two] = linked(&world);
    let out = world.run(["retarget", "/head", &one, "/favourite"]).ok();
    assert!(out.starts_with("1 entry of "), "{out}");
    {
        let space = Space::open(world.pool()).unwrap();
        let head = space.open_name::<Node>("head").unwrap();
        assert_eq!(head.root().next.lea().unwrap().value.get(), 2);
    }
    // Nothing leads there any more.
    let out = world.run(["retarget", "/head", &one, &two]).ends(1);
    assert!(out.contains("nothing was changed"), "{out}");
    let run = world.run(["retarget", &head, &one, &two, "--json"]);
    assert_eq!((run.code(), &run.json()["changed"]), (1, &false.into()));
}

#[test]
fn what_is_gone_can_be_retargeted() {
    let world = World::new();
    let [_, one, two] = linked(&world);
    world.run(["rm", &one]).ok();
    world.run(["retarget", "/head", &one, &two]).ok();
    world.run(["graph", "--dangling"]).ok();
    let nowhere = ObjectId::from_u128(7 << 64 | 7).to_string();
    world.run(["retarget", &nowhere, &one, &two]).fails(3, &["no object"]);
}

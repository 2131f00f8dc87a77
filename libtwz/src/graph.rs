// SPDX-License-Identifier: MIT OR Apache-2.0
//! The graph that objects form: who points to whom, whether it is there, and
//! pictures of it. It is read from the FOTs alone, without mapping, so it works
//! for every home and whatever the objects contain.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    io::{self, Write},
};

use twz_abi::{
    DATA_START, FotEntry, ObjectId, Rights,
    fot::{FotTarget, FotWord},
};

use crate::{
    backend::{Backend, Binding},
    error::{Error, Result},
    resolver::NAMESPACE,
    transfer::{names, outgoing::Source},
};

/// What a FOT entry names, after aliases and forwards.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An object.
    Id(ObjectId),
    /// Whatever a name is bound to at the time.
    Name {
        /// The name.
        name: String,
        /// Who resolves it; 1 is the pool's own namespace.
        resolver: u64,
        /// What it is bound to now, if this pool can tell.
        resolved: Option<ObjectId>,
    },
    /// Nothing that can be used.
    Bad {
        /// Why.
        why: String,
    },
}

/// A FOT entry of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reference {
    /// The entry's index.
    pub entry: u32,
    /// What it leads to.
    pub target: Target,
    /// The rights it requests.
    pub rights: Rights,
    /// [`twz_abi::fot::flags`].
    pub flags: u8,
    /// Whether what it leads to is in this pool.
    pub present: bool,
}

impl Reference {
    /// The object it leads to now.
    pub fn id(&self) -> Option<ObjectId> {
        match self.target {
            Target::Id(id) => Some(id),
            Target::Name { resolved, .. } => resolved,
            Target::Bad { .. } => None,
        }
    }
}

/// An object on a walk.
#[derive(Clone, Debug)]
pub struct Node {
    /// The object.
    pub id: ObjectId,
    /// How many references lie between it and a root.
    pub depth: u32,
    /// Whether it is in this pool.
    pub present: bool,
    /// Where it points.
    pub references: Vec<Reference>,
}

/// Words to show for objects: their names.
pub type Labels = HashMap<ObjectId, String>;

/// A name for each object that has one.
pub fn labels(pool: &dyn Backend) -> Result<Labels> {
    let mut labels = Labels::new();
    names::each(pool, &mut |path, binding| {
        if let Binding::Object(id) = binding {
            labels.entry(id).or_insert_with(|| path.to_owned());
        }
        Ok(())
    })?;
    Ok(labels)
}

/// Where object `id` points: its live FOT entries.
pub fn references(pool: &dyn Backend, id: ObjectId) -> Result<Vec<Reference>> {
    let source = Source::open(pool, id)?;
    let mut table = Vec::new();
    source.each_fot_page(&mut |_, entries| {
        table.extend_from_slice(entries);
        Ok(())
    })?;
    let mut found = Vec::new();
    for (entry, raw) in (1..).zip(&table) {
        if raw.word == 0 {
            // Being inserted, or never finished: nobody reads it.
            continue;
        }
        let word = FotWord::unpack(raw.word);
        let target = follow(&table, entry);
        let (target, present) = match target {
            Err(why) => (Target::Bad { why }, false),
            Ok(FotTarget::Id(to)) => (Target::Id(to), is_present(pool, to)),
            Ok(FotTarget::Name { text, resolver }) => named(&source, text, resolver),
            Ok(FotTarget::Entry(_)) => (Target::Bad { why: CIRCLE.into() }, false),
        };
        let rights = Rights(word.rights as u32);
        found.push(Reference { entry, target, rights, flags: word.flags, present });
    }
    Ok(found)
}

/// Forwards and aliases that are followed.
const MAX_HOPS: u32 = 32;

const CIRCLE: &str = "its aliases and forwards lead round in a circle";

/// What entry `index` of a table leads to in the end.
pub(crate) fn follow(table: &[FotEntry], index: u32) -> std::result::Result<FotTarget, String> {
    let mut at = index;
    for _ in 0..MAX_HOPS {
        let entry = (at as usize).checked_sub(1).and_then(|i| table.get(i));
        let Some(entry) = entry.filter(|entry| entry.word != 0) else {
            return Err(format!("it leads to entry {at}, which does not exist"));
        };
        match entry.target() {
            Ok(FotTarget::Entry(next)) => at = next,
            Ok(target) => return Ok(target),
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(CIRCLE.into())
}

fn is_present(pool: &dyn Backend, id: ObjectId) -> bool {
    pool.stat(id).is_ok()
}

fn named(source: &Source<'_>, text: u64, resolver: u64) -> (Target, bool) {
    let name = match read_name(source, text) {
        Ok(name) => name,
        Err(error) => return (Target::Bad { why: error.to_string() }, false),
    };
    let resolved = match resolver {
        NAMESPACE => match source.pool.lookup(&name) {
            Ok(Binding::Object(id)) => Some(id),
            _ => None,
        },
        _ => None,
    };
    let present = resolved.is_some_and(|id| is_present(source.pool, id));
    (Target::Name { name, resolver, resolved }, present)
}

/// Reads the text of a late-bound name.
pub(crate) fn read_name(source: &Source<'_>, text: u64) -> Result<String> {
    const OUTSIDE: Error = Error::BadPointer { why: "the name is not in the data" };
    let end = DATA_START + source.meta.size;
    let mut len = [0; 2];
    if text < DATA_START || text.checked_add(2).is_none_or(|start| start > end) {
        return Err(OUTSIDE);
    }
    source.pool.read(source.meta.id, text, &mut len)?;
    let mut name = vec![0; u16::from_le_bytes(len) as usize];
    if text + 2 + name.len() as u64 > end {
        return Err(OUTSIDE);
    }
    source.pool.read(source.meta.id, text + 2, &mut name)?;
    String::from_utf8(name).map_err(|_| Error::BadPointer { why: "the name is not UTF-8" })
}

/// Visits every reference of the pool that leads to nothing, with the object
/// it is in. A name of another resolver than the pool's is not judged.
pub fn dangling(
    pool: &dyn Backend,
    each: &mut dyn FnMut(ObjectId, &Reference) -> Result<()>,
) -> Result<()> {
    pool.list(&mut |id| {
        let references = match references(pool, id) {
            Err(Error::NoObject(_)) => return Ok(()),
            other => other?,
        };
        for reference in &references {
            let foreign =
                matches!(reference.target, Target::Name { resolver, .. } if resolver != NAMESPACE);
            if !reference.present && !foreign {
                each(id, reference)?;
            }
        }
        Ok(())
    })
}

/// Visits every object that can be reached from `roots`, each once, nearest
/// first. One that is not in the pool, or cannot be read, is visited too.
pub fn walk(
    pool: &dyn Backend,
    roots: &[ObjectId],
    visit: &mut dyn FnMut(&Node) -> Result<()>,
) -> Result<()> {
    let mut seen: HashSet<ObjectId> = HashSet::new();
    let mut queue: VecDeque<(ObjectId, u32)> = VecDeque::new();
    for &root in roots {
        if seen.insert(root) {
            queue.push_back((root, 0));
        }
    }
    while let Some((id, depth)) = queue.pop_front() {
        let node = look(pool, id, depth);
        for next in node.references.iter().filter_map(Reference::id) {
            if seen.insert(next) {
                queue.push_back((next, depth + 1));
            }
        }
        visit(&node)?;
    }
    Ok(())
}

fn look(pool: &dyn Backend, id: ObjectId, depth: u32) -> Node {
    match references(pool, id) {
        Ok(references) => Node { id, depth, present: true, references },
        Err(_) => Node { id, depth, present: false, references: Vec::new() },
    }
}

/// Draws what can be reached from `roots` for Graphviz.
pub fn to_dot(
    pool: &dyn Backend,
    roots: &[ObjectId],
    labels: &Labels,
    out: &mut dyn Write,
) -> Result<()> {
    let mut line = |text: &str| out.write_all(text.as_bytes()).map_err(write_failed);
    line("digraph objects {\n    node [shape=box];\n")?;
    walk(pool, roots, &mut |node| {
        let style = if node.present { "" } else { ", style=dashed" };
        let label = quoted(&describe(node.id, labels));
        line(&format!("    \"{}\" [label={label}{style}];\n", node.id))?;
        for reference in &node.references {
            let style = if reference.present { "" } else { ", style=dashed" };
            let (to, label) = match &reference.target {
                Target::Id(id) => (id.to_string(), reference.rights.to_string()),
                Target::Name { name, resolved: Some(id), .. } => {
                    (id.to_string(), format!("{} '{name}'", reference.rights))
                }
                Target::Name { name, .. } => (format!("'{name}'"), reference.rights.to_string()),
                Target::Bad { why } => {
                    (format!("entry {} of {}", reference.entry, node.id), why.clone())
                }
            };
            let (to, label) = (quoted(&to), quoted(&label));
            line(&format!("    \"{}\" -> {to} [label={label}{style}];\n", node.id))?;
        }
        Ok(())
    })?;
    line("}\n")
}

/// A string as DOT writes it.
fn quoted(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => quoted.extend(c.escape_default().flat_map(|c| match c {
                '\\' => vec!['\\', '\\'],
                c => vec![c],
            })),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn describe(id: ObjectId, labels: &Labels) -> String {
    match labels.get(&id) {
        Some(name) => format!("{name} ({id})"),
        None => id.to_string(),
    }
}

/// Draws what can be reached from `roots` as a tree of lines. An object that
/// was drawn already is named again, and not drawn again.
pub fn to_text(
    pool: &dyn Backend,
    roots: &[ObjectId],
    labels: &Labels,
    out: &mut dyn Write,
) -> Result<()> {
    let mut seen = HashSet::new();
    for &root in roots {
        let words = describe(root, labels);
        // Lines still to draw, the next one last: no recursion, however deep.
        let mut stack = vec![Line { indent: String::new(), branch: "", words, id: Some(root) }];
        while let Some(line) = stack.pop() {
            let node = line.id.map(|id| (seen.insert(id), look(pool, id, 0)));
            let note = match &node {
                Some((_, node)) if !node.present => "  (not in this pool)",
                Some((false, node)) if !node.references.is_empty() => "  (drawn above)",
                _ => "",
            };
            let words: String = line.words.chars().flat_map(shown).collect();
            writeln!(out, "{}{}{words}{note}", line.indent, line.branch).map_err(write_failed)?;
            if let Some((true, node)) = node {
                push_children(&mut stack, &line, &node, labels);
            }
        }
    }
    Ok(())
}

struct Line {
    indent: String,
    branch: &'static str,
    words: String,
    id: Option<ObjectId>,
}

fn push_children(stack: &mut Vec<Line>, parent: &Line, node: &Node, labels: &Labels) {
    let deeper = match parent.branch {
        "" => "",
        "└── " => "    ",
        _ => "│   ",
    };
    for (i, reference) in node.references.iter().enumerate().rev() {
        let branch = if i + 1 == node.references.len() { "└── " } else { "├── " };
        let words = match &reference.target {
            Target::Id(id) => describe(*id, labels),
            Target::Name { name, resolved: Some(id), .. } => format!("'{name}' -> {id}"),
            Target::Name { name, .. } => format!("'{name}'  (bound to nothing)"),
            Target::Bad { why } => format!("unusable: {why}"),
        };
        let words = format!("{} {} {words}", reference.entry, reference.rights);
        let indent = format!("{}{deeper}", parent.indent);
        stack.push(Line { indent, branch, words, id: reference.id() });
    }
}

/// A character as a terminal may be shown it.
fn shown(c: char) -> Vec<char> {
    if c.is_control() { c.escape_default().collect() } else { vec![c] }
}

fn write_failed(error: io::Error) -> Error {
    Error::Io { doing: "write the graph", path: None, error }
}

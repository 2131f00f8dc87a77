// SPDX-License-Identifier: MIT OR Apache-2.0
//! `twz graph`: the objects and what leads from one to the other.

use clap::Args;
use twz::{
    Backend, ObjectId,
    graph::{self, Labels},
};

use crate::{
    exit::{Exit, Outcome},
    find,
    fot::{document, target},
    json,
    session::Session,
    term::printable,
};

/// Draw what can be reached from objects
///
/// As a tree of lines, or for Graphviz with --dot. Without a ROOT, from every
/// object that has a name. With --dangling, lists instead the pointers in the
/// whole pool that lead to nothing, and ends with 1 if there are any.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz graph
  twz graph /catalogue --dot | dot -Tsvg > catalogue.svg
  twz graph --dangling")]
pub struct GraphArgs {
    /// Objects to begin with [default: all that have names]
    #[arg(value_name = "ROOT")]
    roots: Vec<String>,
    /// Write Graphviz's language
    #[arg(long)]
    dot: bool,
    /// List pointers that lead to nothing
    #[arg(long, conflicts_with_all = ["dot", "roots"])]
    dangling: bool,
}

impl GraphArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        if self.dangling {
            return dangling(session, &*pool);
        }
        let labels = graph::labels(&*pool)?;
        let roots = self.roots(&*pool, &labels)?;
        if session.json() {
            let document = whole(&*pool, &roots, &labels)?;
            session.answer(&document, |_, _| Ok(()))?;
        } else if self.dot {
            graph::to_dot(&*pool, &roots, &labels, session.raw())?;
        } else if roots.is_empty() {
            let document = json::Graph { roots: Vec::new(), nodes: Vec::new(), edges: Vec::new() };
            session
                .confirm(&document, "no object has a name; give a ROOT, as in 'twz graph 3f2a'")?;
        } else {
            graph::to_text(&*pool, &roots, &labels, session.raw())?;
        }
        Ok(Exit::Done)
    }

    fn roots(&self, pool: &dyn Backend, labels: &Labels) -> Outcome<Vec<ObjectId>> {
        if self.roots.is_empty() {
            let mut named: Vec<_> = labels.iter().map(|(id, label)| (label, *id)).collect();
            named.sort();
            return Ok(named.into_iter().map(|(_, id)| id).collect());
        }
        let mut roots = Vec::new();
        for text in &self.roots {
            let id = find::object(pool, text)?;
            pool.stat(id)?;
            if !roots.contains(&id) {
                roots.push(id);
            }
        }
        Ok(roots)
    }
}

fn whole(pool: &dyn Backend, roots: &[ObjectId], labels: &Labels) -> Outcome<json::Graph> {
    let (mut nodes, mut edges) = (Vec::new(), Vec::new());
    graph::walk(pool, roots, &mut |node| {
        nodes.push(json::Node {
            id: node.id.to_string(),
            name: labels.get(&node.id).map(|name| absolute(name)),
            depth: node.depth,
            present: node.present,
        });
        edges.extend(node.references.iter().map(|reference| json::Edge {
            from: node.id.to_string(),
            reference: document(reference),
        }));
        Ok(())
    })?;
    Ok(json::Graph { roots: roots.iter().map(ObjectId::to_string).collect(), nodes, edges })
}

fn dangling(session: &mut Session, pool: &dyn Backend) -> Outcome {
    let mut found = Vec::new();
    graph::dangling(pool, &mut |id, reference| {
        found.push(json::Edge { from: id.to_string(), reference: document(reference) });
        Ok(())
    })?;
    let labels = graph::labels(pool)?;
    let list = json::Dangling { dangling: found };
    session.answer(&list, |out, _| {
        for edge in &list.dangling {
            let name = edge.from.parse().ok().and_then(|id: ObjectId| labels.get(&id));
            let name =
                name.map_or(String::new(), |name| format!(" ({})", printable(&absolute(name))));
            let (index, to) = (edge.reference.index, target(&edge.reference));
            writeln!(out, "{}{name}: entry {index} leads nowhere: {to}", edge.from)?;
        }
        Ok(())
    })?;
    if list.dangling.is_empty() && !session.json() {
        session.confirm(&list, "every pointer leads to something")?;
    }
    Ok(if list.dangling.is_empty() { Exit::Done } else { Exit::No })
}

/// A label as all other output writes names: from the root.
fn absolute(label: &str) -> String {
    format!("/{}", label.trim_start_matches('/'))
}

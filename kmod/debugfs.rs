// SPDX-License-Identifier: GPL-2.0
//! `/sys/kernel/debug/twz`: what the module holds, and how often it decided
//! what. One line a number, `name value`.

use crate::space::Space;
use kernel::{
    debugfs::{Dir, File},
    fmt::{self, Formatter},
    prelude::*,
};
use twz_abi::ObjectId;

/// The files, while the module is loaded.
#[pin_data]
pub(crate) struct Files {
    dir: Dir,
    #[pin]
    state: File<Shown>,
    #[pin]
    objects: File<Shown>,
    #[pin]
    views: File<Shown>,
    #[pin]
    contexts: File<Shown>,
    #[pin]
    faults: File<Shown>,
}

/// What all files show a part of.
struct Shown;

impl Files {
    pub(crate) fn new() -> impl PinInit<Self> {
        let dir = Dir::new(c"twz");
        pin_init!(Self {
            state <- dir.read_callback_file(c"state", Shown, &|_, f| with(f, state)),
            objects <- dir.read_callback_file(c"objects", Shown, &|_, f| with(f, objects)),
            views <- dir.read_callback_file(c"views", Shown, &|_, f| with(f, views)),
            contexts <- dir.read_callback_file(c"contexts", Shown, &|_, f| with(f, contexts)),
            faults <- dir.read_callback_file(c"faults", Shown, &|_, f| with(f, faults)),
            dir: dir.clone(),
        })
    }
}

fn with(f: &mut Formatter<'_>, show: fn(&Space, &mut Formatter<'_>) -> fmt::Result) -> fmt::Result {
    match crate::sys::space() {
        Some(space) => show(space, f),
        None => Ok(()),
    }
}

/// What is in use. What is kept for rights grows with views and contexts alone:
/// `rights_structures` is their sum.
fn state(space: &Space, f: &mut Formatter<'_>) -> fmt::Result {
    let state = space.state.read();
    writeln!(f, "dead {}", state.dead as u32)?;
    writeln!(f, "read_only {}", state.read_only as u32)?;
    writeln!(f, "views {}", state.views.count())?;
    writeln!(f, "contexts {}", state.contexts.count())?;
    writeln!(f, "members {}", space.members.count())?;
    writeln!(f, "rights_structures {}", state.views.count() + state.contexts.count())?;
    writeln!(f, "bound_slots {}", state.views.iter().map(|view| view.bound()).sum::<usize>())?;
    writeln!(f, "inodes {}", state.inodes.count())?;
    writeln!(f, "held_objects {}", state.live.held())?;
    if state.dead {
        return Ok(());
    }
    if let Ok(info) = state.store.info() {
        writeln!(f, "objects {}", info.objects.saturating_sub(info.directories))?;
        writeln!(f, "directories {}", info.directories)?;
        writeln!(f, "records {}", info.records)?;
        writeln!(f, "pages {}", info.pages)?;
        writeln!(f, "free_pages {}", info.free_pages)?;
        writeln!(f, "dying {}", info.dying as u32)?;
    }
    Ok(())
}

/// The objects that are held, and by how many.
fn objects(space: &Space, f: &mut Formatter<'_>) -> fmt::Result {
    let state = space.state.read();
    if state.dead {
        return Ok(());
    }
    for (r, holders) in state.live.iter_held() {
        let id = state.store.stat(r).map_or(ObjectId::NULL, |record| record.id);
        writeln!(f, "{} holders {holders}", format_args!("{id}"))?;
    }
    Ok(())
}

/// The views in use.
fn views(space: &Space, f: &mut Formatter<'_>) -> fmt::Result {
    let state = space.state.read();
    if state.dead {
        return Ok(());
    }
    for view in state.views.iter() {
        let id = state.store.stat(view.record).map_or(ObjectId::NULL, |record| record.id);
        writeln!(f, "{id} slots {} bound {}", view.slots(), view.bound())?;
    }
    Ok(())
}

/// The contexts that are loaded, less the default one, with the rule by which the first
/// grant is void that is.
fn contexts(space: &Space, f: &mut Formatter<'_>) -> fmt::Result {
    let state = space.state.read();
    for context in state.contexts.iter() {
        let (id, built) = (context.id(), context.built());
        write!(f, "{} holders {}", format_args!("{id}"), context.holders())?;
        write!(f, " records {}", context.records())?;
        write!(f, " grants {} void {}", built.grants, built.void)?;
        writeln!(f, " {}", state.flaw(context).map_or("-", |flaw| flaw.rule()))?;
    }
    Ok(())
}

/// Counters of events and of refusals.
fn faults(space: &Space, f: &mut Formatter<'_>) -> fmt::Result {
    for (name, count) in space.counters.events() {
        writeln!(f, "{name} {count}")?;
    }
    for (why, count) in space.counters.reasons() {
        writeln!(f, "refused {count} {why}")?;
    }
    Ok(())
}

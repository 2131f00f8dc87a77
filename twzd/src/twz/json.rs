// SPDX-License-Identifier: MIT OR Apache-2.0
//! The documents that `--json` writes, one per command. Their field names are
//! an interface: they may be added to, and are not renamed. Sizes are bytes,
//! times are seconds since 1970, ids are 32 hex digits, rights are `rwxudg`
//! with `-` for those that are missing.

mod security;

use serde::Serialize;

pub use security::*;

/// On the standard error, for every command that fails.
#[derive(Serialize)]
pub struct ErrorDocument<'a> {
    pub error: ErrorBody<'a>,
}

/// What went wrong, and what to do.
#[derive(Serialize)]
pub struct ErrorBody<'a> {
    pub message: &'a str,
    pub errno: i32,
    pub hint: Option<&'a str>,
}

/// `pool init`, `pool info`.
#[derive(Serialize)]
pub struct Pool {
    pub path: String,
    /// "directory", "image" or "kernel".
    pub home: &'static str,
    pub label: String,
    pub pool_id: String,
    pub created: u64,
    pub format_version: u32,
    pub objects: u64,
    pub capacity: u64,
    pub free: u64,
    pub read_only: bool,
    pub durability: &'static str,
}

/// `pool check`.
#[derive(Serialize)]
pub struct Check {
    pub clean: bool,
    pub objects: u64,
    /// What is left of each severity.
    pub errors: u64,
    pub warnings: u64,
    pub repaired: u64,
    pub problems: Vec<Problem>,
}

/// One thing that a check found.
#[derive(Serialize)]
pub struct Problem {
    /// "info", "warning" or "error".
    pub severity: &'static str,
    pub what: String,
    #[serde(rename = "where")]
    pub place: String,
    pub fix: Option<&'static str>,
    pub repaired: bool,
}

/// `pool copy`.
#[derive(Serialize)]
pub struct PoolCopy {
    pub from: String,
    pub to: String,
    pub copied: u64,
    pub unchanged: u64,
    pub bytes: u64,
    pub names: u64,
}

/// An object: `info`, and each of `ls`.
#[derive(Serialize)]
pub struct Object {
    pub id: String,
    /// "bytes", "typed", "view", "names", "context", "log", "thread", "part", or "kind-N".
    pub kind: String,
    pub size: u64,
    /// Only of the first object of a file that is several: bytes of all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub length: Option<u64>,
    /// And the other ones, in their order.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Vec<String>>,
    /// Bytes it takes on the medium.
    pub stored: u64,
    pub rights: String,
    pub flags: Vec<&'static str>,
    /// Fingerprint of the root's type in hex, or null.
    pub fingerprint: Option<String>,
    /// The object with the owner's key, or null.
    pub owner: Option<String>,
    pub nonce: String,
    /// SHA-256 of an immutable object's data, or null.
    pub content: Option<String>,
    /// How many names are bound to it.
    pub name_count: u64,
    /// The names themselves; null where `ls` was not asked for them.
    pub names: Option<Vec<String>>,
}

/// `ls`.
#[derive(Serialize)]
pub struct Objects {
    pub objects: Vec<Object>,
    /// Objects that are there and cannot be read.
    pub damaged: Vec<Damaged>,
}

/// An object that is there and cannot be read.
#[derive(Serialize)]
pub struct Damaged {
    pub id: String,
    pub error: String,
}

/// `new`, `cp`, `import`: the object that was made.
#[derive(Serialize)]
pub struct Made {
    pub id: String,
    pub size: u64,
    pub name: Option<String>,
}

/// `cat`.
#[derive(Serialize)]
pub struct Data {
    pub id: String,
    pub offset: u64,
    pub length: u64,
    /// "utf-8" or "base64".
    pub encoding: &'static str,
    pub data: String,
}

/// `mount`.
#[derive(Serialize)]
pub struct Mounted {
    pub pool: String,
    pub dir: String,
    /// The process that serves it.
    pub pid: u32,
}

/// `umount`.
#[derive(Serialize)]
pub struct Unmounted {
    pub pool: String,
    pub dir: String,
}

/// `write`, `resize`.
#[derive(Serialize)]
pub struct Written {
    pub id: String,
    /// Where the first byte was put.
    pub offset: u64,
    /// How many bytes were written.
    pub length: u64,
    /// How many the object has now.
    pub size: u64,
}

/// `rm`.
#[derive(Serialize)]
pub struct Removed {
    pub removed: Vec<String>,
    pub unbound: Vec<String>,
}

/// `name ls`, and one binding of `name bind`, `unbind`, `mkdir`, `rmdir`,
/// `resolve`.
#[derive(Serialize)]
pub struct Name {
    pub path: String,
    /// "object" or "directory".
    pub kind: &'static str,
    /// The object's id, or null.
    pub id: Option<String>,
}

/// `name ls`.
#[derive(Serialize)]
pub struct Names {
    pub names: Vec<Name>,
}

/// `name mv`.
#[derive(Serialize)]
pub struct Moved {
    pub from: String,
    pub to: String,
}

/// `fot`.
#[derive(Serialize)]
pub struct Fot {
    pub id: String,
    pub entries: Vec<Reference>,
}

/// One entry of a FOT.
#[derive(Serialize)]
pub struct Reference {
    pub index: u32,
    /// "id", "name" or "bad".
    pub kind: &'static str,
    /// The name, where there is one.
    pub name: Option<String>,
    /// Which resolver the name is for; 1 is the pool's own.
    pub resolver: Option<u64>,
    /// The object it leads to now, or null.
    pub id: Option<String>,
    /// Why the entry is bad.
    pub why: Option<String>,
    pub rights: String,
    pub flags: Vec<&'static str>,
    /// Whether what it leads to is in this pool.
    pub present: bool,
}

/// `retarget`.
#[derive(Serialize)]
pub struct Retargeted {
    pub id: String,
    pub from: String,
    pub to: String,
    /// Whether anything pointed to `from`.
    pub changed: bool,
    /// How many entries of the FOT did.
    pub entries: u64,
}

/// `graph`.
#[derive(Serialize)]
pub struct Graph {
    pub roots: Vec<String>,
    pub nodes: Vec<Node>,
    pub edges: Vec<Edge>,
}

/// An object of a graph.
#[derive(Serialize)]
pub struct Node {
    pub id: String,
    pub name: Option<String>,
    /// References between it and the nearest root.
    pub depth: u32,
    pub present: bool,
}

/// A reference of a graph.
#[derive(Serialize)]
pub struct Edge {
    pub from: String,
    #[serde(flatten)]
    pub reference: Reference,
}

/// `graph --dangling`.
#[derive(Serialize)]
pub struct Dangling {
    pub dangling: Vec<Edge>,
}

/// `export`.
#[derive(Serialize)]
pub struct Exported {
    pub id: String,
    pub file: String,
    pub bytes: u64,
}

/// `threads show`, and each of `threads`.
#[derive(Serialize)]
pub struct Thread {
    pub name: String,
    pub id: String,
    /// "running", "lost", "waiting" to be started for the first time, "finished".
    pub state: &'static str,
    /// Why it would not be run as its user, or null.
    pub refused: Option<&'static str>,
    pub program: String,
    pub args: Vec<String>,
    pub directory: String,
    pub environment: Vec<String>,
    /// The view that is attached to it, or null.
    pub view: Option<String>,
    pub contexts: Vec<String>,
    pub uid: u32,
    /// Whether it begins at its beginning when it was lost.
    pub afresh: bool,
    /// How often it was started.
    pub runs: u64,
    /// How many runs in a row ended badly, and soon.
    pub failures: u32,
    pub mark: u64,
    /// "exit N", "signal N", "errno N", or "-".
    pub end: String,
    pub registered: u64,
    pub started: Option<u64>,
}

/// `threads`.
#[derive(Serialize)]
pub struct Threads {
    pub threads: Vec<Thread>,
    /// Those that cannot be read.
    pub damaged: Vec<DamagedThread>,
}

/// A thread that cannot be read.
#[derive(Serialize)]
pub struct DamagedThread {
    pub name: String,
    pub error: String,
}

/// `threads add`, `threads remove`, `threads resume`.
#[derive(Serialize)]
pub struct ThreadChanged {
    pub name: String,
    pub id: Option<String>,
    /// "added", "removed" or "resumed".
    pub done: &'static str,
}

/// `completions`.
#[derive(Serialize)]
pub struct Completions {
    pub shell: String,
    pub script: String,
}

/// `man`.
#[derive(Serialize)]
pub struct Man {
    pub directory: String,
    pub pages: Vec<String>,
}

/// `version`.
#[derive(Serialize)]
pub struct Version {
    pub version: &'static str,
    pub format_version: u32,
    pub abi_version: u32,
    /// "embedded".
    pub backend: &'static str,
    /// What keeps hostile code out: "none" on the embedded backend.
    pub isolation: &'static str,
}

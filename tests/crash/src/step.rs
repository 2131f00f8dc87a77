// SPDX-License-Identifier: MIT OR Apache-2.0
//! Every store of a program to mapped memory, in order, without its help.
//!
//! The mappings of a pool's files are write-protected. A store faults; the
//! handler notes what the page holds, lets the page be written, and sets the
//! trap flag; after that one instruction the second handler compares, writes
//! down which 8-byte words have which values now, and protects the page again.
//! So compiled code, atomics and `memcpy` are seen as they are, one instruction
//! at a time. Flushes and fences come from the library's own hook. It works for
//! one thread, which is all that runs meanwhile.

use std::{
    cell::UnsafeCell,
    collections::HashMap,
    ffi::c_void,
    mem::MaybeUninit,
    path::{Path, PathBuf},
    ptr,
};

use twz::{ObjectId, crash_hooks::Line};

use crate::trace::{Event, Site};

const PAGE: usize = 4096;
/// The processor's trap flag.
const TRAP: i64 = 0x100;
/// Pages that one instruction can write to, and then some.
const OPEN: usize = 4;

/// A page that was stored to.
pub struct Page {
    /// The file it is of.
    pub file: PathBuf,
    /// Where in the file.
    pub offset: u64,
    /// Its words before the run.
    pub before: Vec<u64>,
}

impl Page {
    /// Whether it is of an object's data, or of its tail.
    fn is_of(&self, object: &str) -> bool {
        let name = self.file.file_name().unwrap_or_default();
        name.to_string_lossy().starts_with(object)
    }
}

/// A run.
pub struct Steps {
    /// The pages that were stored to; page `n` is words `512 n` on.
    pub pages: Vec<Page>,
    /// What happened.
    pub events: Vec<Event>,
}

/// Something that was seen.
#[derive(Clone, Copy)]
enum Seen {
    Store(usize, u64),
    Flush(usize, usize, Site),
    Fence(Site),
    /// All of an object is durable.
    Synced(ObjectId, Site),
    Done,
}

struct Mapping {
    start: usize,
    end: usize,
    offset: u64,
    file: PathBuf,
}

struct Tracer {
    on: bool,
    mappings: Vec<Mapping>,
    seen: Vec<Seen>,
    /// Each page that was stored to, as it was before.
    touched: Vec<(usize, [u8; PAGE])>,
    open: [(usize, [u8; PAGE]); OPEN],
    opened: usize,
    previous: MaybeUninit<libc::sigaction>,
}

struct Shared(UnsafeCell<Option<Tracer>>);
// SAFETY: one thread alone runs while a tracer is on, and `TURN` sees to it
// that there is one tracer at a time; the handlers run in that thread.
unsafe impl Sync for Shared {}
static TRACER: Shared = Shared(UnsafeCell::new(None));
static TURN: std::sync::Mutex<()> = std::sync::Mutex::new(());

fn tracer() -> Option<&'static mut Tracer> {
    // SAFETY: see `Shared`; no reference outlives the call or handler it is made in.
    unsafe { (*TRACER.0.get()).as_mut() }
}

/// Has the library flush and fence as on persistent memory. Call it before
/// there is a second thread.
pub fn prepare() {
    // SAFETY: no other thread reads the environment yet.
    unsafe { std::env::set_var("TWZ_PERSIST", "clflush") };
    twz::crash_hooks::observe(on_flush, on_fence, on_sync);
}

fn on_flush(address: usize, len: usize, by: Line) {
    note(Seen::Flush(address, len, Site(by)));
}

fn on_fence(by: Line) {
    note(Seen::Fence(Site(by)));
}

fn on_sync(object: ObjectId, by: Line) {
    note(Seen::Synced(object, Site(by)));
}

/// An operation of the run has returned.
pub fn done() {
    note(Seen::Done);
}

fn note(seen: Seen) {
    if let Some(tracer) = tracer()
        && tracer.on
        && tracer.seen.len() < tracer.seen.capacity()
    {
        tracer.seen.push(seen);
    }
}

/// Runs `body`, and returns what it stored to the files below `pool`. All that
/// it stores to must be mapped already; the error says what was not.
pub fn trace<R>(pool: &Path, body: impl FnOnce() -> R) -> Result<(R, Steps), String> {
    let _turn = TURN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let mappings = mappings(pool);
    let zero = (0, [0; PAGE]);
    // SAFETY: no tracer is on, so no handler looks at it.
    unsafe {
        *TRACER.0.get() = Some(Tracer {
            on: true,
            mappings,
            seen: Vec::with_capacity(1 << 17),
            touched: Vec::with_capacity(256),
            open: [zero; OPEN],
            opened: 0,
            previous: MaybeUninit::uninit(),
        });
    }
    install();
    protect(libc::PROT_READ);
    let result = body();
    let known = |m: &Mapping| {
        let known = tracer().map_or(&[][..], |t| &t.mappings[..]);
        known.iter().any(|k| k.start <= m.start && m.end <= k.end)
    };
    // A mapping that was made meanwhile was not watched.
    let unseen = self::mappings(pool).into_iter().find(|m| !known(m));
    protect(libc::PROT_READ | libc::PROT_WRITE);
    // SAFETY: the body is over, and nothing is protected any more.
    let tracer = unsafe { (*TRACER.0.get()).take() };
    let tracer = tracer.expect("it was put there above");
    // SAFETY: the handler that was there before, put back.
    unsafe { libc::sigaction(libc::SIGSEGV, tracer.previous.as_ptr(), ptr::null_mut()) };
    match unseen {
        None => Ok((result, steps(tracer))),
        Some(m) => Err(format!(
            "the run has mapped {} at {:#x}: what it stored there was not seen",
            m.file.display(),
            m.offset
        )),
    }
}

/// The shared, writable mappings of files below `pool`.
fn mappings(pool: &Path) -> Vec<Mapping> {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap_or_default();
    let parse = |line: &str| {
        let mut fields = line.split_whitespace();
        let (range, rights) = (fields.next()?, fields.next()?);
        let (start, end) = range.split_once('-')?;
        let offset = u64::from_str_radix(fields.next()?, 16).ok()?;
        let file = PathBuf::from(fields.nth(2)?);
        let ours = rights.starts_with("rw") && rights.ends_with('s') && file.starts_with(pool);
        ours.then_some(Mapping {
            start: usize::from_str_radix(start, 16).ok()?,
            end: usize::from_str_radix(end, 16).ok()?,
            offset,
            file,
        })
    };
    maps.lines().filter_map(parse).collect()
}

fn protect(rights: i32) {
    let Some(tracer) = tracer() else { return };
    tracer.on = rights == libc::PROT_READ;
    for m in &tracer.mappings {
        // SAFETY: mappings of files of the pool, which stay where they are; with
        // fewer rights, or with those they had.
        unsafe { libc::mprotect(m.start as *mut c_void, m.end - m.start, rights) };
    }
}

fn install() {
    let handler = |f: extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void)| {
        // SAFETY: all zeros is a valid `sigaction`.
        let mut action: libc::sigaction = unsafe { MaybeUninit::zeroed().assume_init() };
        action.sa_sigaction = f as *const () as usize;
        action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
        action
    };
    let Some(tracer) = tracer() else { return };
    let (segv, trap) = (handler(on_segv), handler(on_trap));
    // SAFETY: both have the signature they are installed with.
    unsafe {
        libc::sigaction(libc::SIGSEGV, &segv, tracer.previous.as_mut_ptr());
        libc::sigaction(libc::SIGTRAP, &trap, ptr::null_mut());
    }
}

fn set_trap(context: *mut c_void, on: bool) {
    let context = context.cast::<libc::ucontext_t>();
    // SAFETY: the kernel passes a valid context to a handler with SA_SIGINFO.
    let flags = unsafe { &mut (*context).uc_mcontext.gregs[libc::REG_EFL as usize] };
    *flags = if on { *flags | TRAP } else { *flags & !TRAP };
}

fn page_at(page: usize) -> [u8; PAGE] {
    // SAFETY: a page of a mapping that can be read; this thread alone stores to it.
    unsafe { ptr::read_volatile(page as *const [u8; PAGE]) }
}

extern "C" fn on_segv(signal: i32, info: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid siginfo.
    let address = unsafe { (*info).si_addr() } as usize;
    let Some(tracer) = tracer() else { return };
    let ours = tracer.mappings.iter().any(|m| (m.start..m.end).contains(&address));
    let page = address & !(PAGE - 1);
    let is_open = tracer.open[..tracer.opened].iter().any(|(open, _)| *open == page);
    if !tracer.on || !ours || is_open || tracer.opened == OPEN {
        // SAFETY: the library's own handler, which was installed before this one
        // with the same signature.
        unsafe {
            let previous = tracer.previous.assume_init_ref().sa_sigaction;
            if previous > libc::SIG_IGN {
                let chain: extern "C" fn(i32, *mut libc::siginfo_t, *mut c_void) =
                    std::mem::transmute(previous);
                chain(signal, info, context);
            } else {
                libc::abort();
            }
        }
        return;
    }
    let bytes = page_at(page);
    if !tracer.touched.iter().any(|(touched, _)| *touched == page) {
        tracer.touched.push((page, bytes));
    }
    tracer.open[tracer.opened] = (page, bytes);
    tracer.opened += 1;
    // SAFETY: a page of a mapping of the pool, with the rights it had.
    unsafe { libc::mprotect(page as *mut c_void, PAGE, libc::PROT_READ | libc::PROT_WRITE) };
    set_trap(context, true);
}

extern "C" fn on_trap(_signal: i32, _info: *mut libc::siginfo_t, context: *mut c_void) {
    set_trap(context, false);
    let Some(tracer) = tracer() else { return };
    for (page, before) in &tracer.open[..tracer.opened] {
        let after = page_at(*page);
        for (i, (old, new)) in before.chunks_exact(8).zip(after.chunks_exact(8)).enumerate() {
            if old != new {
                let value = new.iter().rev().fold(0, |word, &byte| word << 8 | byte as u64);
                tracer.seen.push(Seen::Store(page + 8 * i, value));
            }
        }
        // SAFETY: as in `on_segv`, with the right to write taken away again.
        unsafe { libc::mprotect(*page as *mut c_void, PAGE, libc::PROT_READ) };
    }
    tracer.opened = 0;
}

/// Addresses become words, and pages of files.
fn steps(tracer: Tracer) -> Steps {
    assert!(tracer.seen.len() < tracer.seen.capacity(), "the run is too long to be traced");
    let place = |address: usize| {
        let m = tracer.mappings.iter().find(|m| (m.start..m.end).contains(&address))?;
        Some((m.file.clone(), m.offset + (address - m.start) as u64))
    };
    let (mut pages, mut known) = (Vec::<Page>::new(), HashMap::new());
    for (page, bytes) in &tracer.touched {
        let Some((file, offset)) = place(*page) else { continue };
        // Two spaces map the same page at two addresses.
        let same = pages.iter().position(|p| p.file == file && p.offset == offset);
        known.insert(*page, same.unwrap_or(pages.len()));
        if same.is_none() {
            let word = |b: &[u8]| b.iter().rev().fold(0, |word, &byte| word << 8 | byte as u64);
            let before = bytes.chunks_exact(8).map(word).collect();
            pages.push(Page { file, offset, before });
        }
    }
    let word = |address: usize| {
        let page = known.get(&(address & !(PAGE - 1)))?;
        Some((page * 512 + address % PAGE / 8) as u32)
    };
    let (mut events, site) = (Vec::new(), Site::caller());
    for seen in &tracer.seen {
        match *seen {
            Seen::Store(address, value) => {
                let word = word(address).expect("it was noted when it was stored to");
                events.push(Event::Store { word, value, site });
            }
            Seen::Flush(address, len, site) => {
                // The instruction takes whole lines.
                let (first, last) = (address & !63, (address + len).next_multiple_of(64));
                for line in (first..last).step_by(64) {
                    if let Some(first) = word(line) {
                        events.push(Event::Flush { first, end: first + 8, site });
                    }
                }
            }
            Seen::Fence(site) => events.push(Event::Fence { site }),
            Seen::Synced(object, site) => {
                let name = format!("{:032x}", object.as_u128());
                for (n, _) in (0..).zip(&pages).filter(|(_, page)| page.is_of(&name)) {
                    events.push(Event::Flush { first: 512 * n, end: 512 * (n + 1), site });
                }
                events.push(Event::Fence { site });
            }
            Seen::Done => events.push(Event::Done),
        }
    }
    Steps { pages, events }
}

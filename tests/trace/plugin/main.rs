// SPDX-License-Identifier: MIT OR Apache-2.0
//! The plugin: `-plugin libtwz_trace.so,base=ADDRESS,size=BYTES,log=FILE` writes
//! down every store to that range of physical memory, every flush of a line of it,
//! every fence, and what programs say with a [`mark`].
//!
//! It is for one processor (`-smp 1`): then what is called is called in the order
//! in which the processor did it, an exchange that fails is seen to store what was
//! there, and callbacks never run at the same time.
//!
//! A flush is no access to QEMU, and version 4 of its API has no way to translate
//! an address: where a line is, is known from the last store through its page. In
//! the kernel that is a linear map; a program that flushes what it has stored
//! to has stored to it.

mod qemu;

use std::{
    collections::HashMap,
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    fs::File,
    io::{BufWriter, Write as _},
    sync::{Mutex, OnceLock},
};

use qemu::{Array, Block, Insn, Register};
use twz_trace::{
    decode::{Instruction, Operand, decode},
    log::{Kind, Record},
    mark::{ASKS, Mark},
};

/// The version of the API that the plugin is for, where QEMU looks for it.
#[unsafe(no_mangle)]
pub static qemu_plugin_version: c_int = qemu::API_VERSION;

const PAGE: u64 = 4096;

/// Bytes that one flush takes along.
const LINE: u64 = 64;

/// The names of the registers, in the processor's order.
const REGISTERS: [&str; 16] = [
    "rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

/// What the plugin knows.
struct Plugin {
    base: u64,
    end: u64,
    state: Mutex<State>,
}

struct State {
    out: BufWriter<File>,
    /// Where pages of addresses that were stored through are in physical memory.
    pages: HashMap<u64, u64>,
    registers: [usize; 16],
    /// GLib's array that registers are read into, as an address.
    buffer: usize,
    quiet: Quiet,
}

/// What has happened since the last fence.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Quiet {
    /// Something that a fence is for.
    No,
    /// Nothing since one that a locked instruction is.
    Locked,
    /// Nothing.
    Fenced,
}

static PLUGIN: OnceLock<Plugin> = OnceLock::new();

/// An instruction that flushes.
struct Flusher {
    operand: Operand,
    at: u64,
    next: u64,
}

impl Plugin {
    /// Calls with the plugin's state, if it is in place.
    fn with(act: impl FnOnce(&Self, &mut State)) {
        if let Some(plugin) = PLUGIN.get() {
            // A panic is the end of the process: nobody leaves the lock poisoned.
            let mut state = plugin.state.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
            act(plugin, &mut state);
        }
    }
}

impl State {
    fn write(&mut self, record: Record) {
        let done = self.out.write_all(&record.to_bytes());
        done.expect("the log can be written");
    }

    /// The value of a register. Only in a callback that may read them.
    fn register(&self, number: u8) -> u64 {
        let register = self.registers[usize::from(number) & 15] as *mut Register;
        let buffer = self.buffer as *mut Array<u8>;
        if register.is_null() {
            return 0;
        }
        // SAFETY: the buffer is GLib's and nobody else's; the register is one that
        // QEMU named. After the call the buffer has as many bytes as it says.
        unsafe {
            qemu::g_byte_array_set_size(buffer, 0);
            if qemu::qemu_plugin_read_register(register, buffer) < 8 {
                return 0;
            }
            u64::from_le_bytes(*(*buffer).data.cast::<[u8; 8]>())
        }
    }
}

/// Begins.
///
/// # Safety
///
/// For QEMU to call, with `count` strings at `arguments`.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn qemu_plugin_install(
    id: u64,
    _: *const c_void,
    count: c_int,
    arguments: *const *const c_char,
) -> c_int {
    let words = (0..count.max(0) as usize).map(|i| {
        // SAFETY: the caller passes that many strings.
        unsafe { CStr::from_ptr(*arguments.add(i)) }.to_string_lossy().into_owned()
    });
    if let Err(why) = begin(words) {
        eprintln!("twz-trace: {why}");
        return 1;
    }
    // SAFETY: these functions are what QEMU is to call then.
    unsafe {
        qemu::qemu_plugin_register_vcpu_init_cb(id, on_cpu);
        qemu::qemu_plugin_register_vcpu_tb_trans_cb(id, on_block);
        qemu::qemu_plugin_register_atexit_cb(id, on_exit, std::ptr::null_mut());
    }
    0
}

fn begin(words: impl Iterator<Item = String>) -> Result<(), String> {
    let (mut base, mut size, mut log) = (None, None, None);
    for word in words {
        let (name, value) = word.split_once('=').ok_or("arguments are NAME=VALUE")?;
        let number = || value.parse::<u64>().map_err(|_| format!("{value} is no number"));
        match name {
            "base" => base = Some(number()?),
            "size" => size = Some(number()?),
            "log" => log = Some(File::create(value).map_err(|e| format!("{value}: {e}"))?),
            _ => return Err(format!("there is no argument '{name}'")),
        }
    }
    let (Some(base), Some(size), Some(log)) = (base, size, log) else {
        return Err("say base, size and log".to_owned());
    };
    let mut state = State {
        out: BufWriter::with_capacity(1 << 20, log),
        pages: HashMap::new(),
        registers: [0; 16],
        buffer: 0,
        quiet: Quiet::Fenced,
    };
    state.write(Record { kind: Kind::Range, len: 0, at: base, value: size, by: 0 });
    let plugin = Plugin { base, end: base + size, state: Mutex::new(state) };
    PLUGIN.set(plugin).map_err(|_| "one is enough".to_owned())
}

/// A processor is there: its registers are looked up.
extern "C" fn on_cpu(_: u64, cpu: c_uint) {
    if cpu != 0 {
        eprintln!("twz-trace: there is more than one processor, whose stores have no one order");
        std::process::exit(1);
    }
    Plugin::with(|_, state| {
        // SAFETY: in the processor's own context, as both calls want; the array's
        // elements are as many as it says, and each name is a string that stays.
        unsafe {
            state.buffer = qemu::g_byte_array_new() as usize;
            let all = qemu::qemu_plugin_get_registers();
            for i in 0..(*all).len as usize {
                let described = &*(*all).data.add(i);
                let name = CStr::from_ptr(described.name).to_bytes();
                if let Some(n) = REGISTERS.iter().position(|known| known.as_bytes() == name) {
                    state.registers[n] = described.handle as usize;
                }
            }
            qemu::g_array_free(all, 1);
        }
        assert!(!state.registers.contains(&0), "QEMU names the registers otherwise");
    });
}

/// A block is translated: the callbacks are put in.
extern "C" fn on_block(_: u64, block: *mut Block) {
    // SAFETY: the block and its instructions live as long as this call.
    unsafe {
        for i in 0..qemu::qemu_plugin_tb_n_insns(block) {
            instrument(qemu::qemu_plugin_tb_get_insn(block, i));
        }
    }
}

/// # Safety
///
/// The instruction is one of the block that is translated.
unsafe fn instrument(insn: *mut Insn) {
    let mut bytes = [0u8; 16];
    // SAFETY: the instruction is there (the caller's promise), the bytes are ours;
    // the callbacks take what they are given: an address as a pointer, that nobody
    // follows, or a `Flusher` that is never freed, as blocks are not either for long.
    unsafe {
        let len = qemu::qemu_plugin_insn_data(insn, bytes.as_mut_ptr().cast(), bytes.len());
        let at = qemu::qemu_plugin_insn_vaddr(insn);
        let by = at as *mut c_void;
        let exec = |call, flags, given| {
            qemu::qemu_plugin_register_vcpu_insn_exec_cb(insn, call, flags, given);
        };
        let on_stores = |call| {
            let (flags, which) = (qemu::NO_REGISTERS, qemu::STORES);
            qemu::qemu_plugin_register_vcpu_mem_cb(insn, call, flags, which, by);
        };
        match decode(bytes.get(..len).unwrap_or(&bytes)) {
            Instruction::Other => on_stores(on_store),
            Instruction::StorePast => on_stores(on_store_past),
            Instruction::Fence => exec(on_fence, qemu::NO_REGISTERS, by),
            Instruction::Cpuid => exec(on_cpuid, qemu::READS_REGISTERS, by),
            Instruction::Locked => {
                on_stores(on_store);
                exec(on_locked, qemu::NO_REGISTERS, by);
            }
            Instruction::Flush(operand) => {
                let next = at + qemu::qemu_plugin_insn_size(insn) as u64;
                let flusher = Box::into_raw(Box::new(Flusher { operand, at, next }));
                exec(on_flush, qemu::READS_REGISTERS, flusher.cast());
            }
        }
    }
}

extern "C" fn on_store(_: c_uint, access: u32, address: u64, by: *mut c_void) {
    store(Kind::Store, access, address, by as u64);
}

extern "C" fn on_store_past(_: c_uint, access: u32, address: u64, by: *mut c_void) {
    store(Kind::StorePast, access, address, by as u64);
}

fn store(kind: Kind, access: u32, address: u64, by: u64) {
    let Some(plugin) = PLUGIN.get() else { return };
    // SAFETY: in the callback of this access, for which all this may be asked.
    let (at, value, len) = unsafe {
        let found = qemu::qemu_plugin_get_hwaddr(access, address);
        if found.is_null() || qemu::qemu_plugin_hwaddr_is_io(found) {
            return;
        }
        let at = qemu::qemu_plugin_hwaddr_phys_addr(found);
        if at < plugin.base || at >= plugin.end {
            return;
        }
        let len = 1u32 << qemu::qemu_plugin_mem_size_shift(access);
        (at, qemu::qemu_plugin_mem_get_value(access), len)
    };
    assert!(len <= 16, "a store of {len} bytes");
    Plugin::with(|_, state| {
        state.pages.insert(address / PAGE, at / PAGE);
        state.quiet = Quiet::No;
        let low = if len < 8 { value.low & ((1 << (8 * len)) - 1) } else { value.low };
        state.write(Record { kind, len: len.min(8), at, value: low, by });
        if len == 16 {
            state.write(Record { kind, len: 8, at: at + 8, value: value.high, by });
        }
    });
}

extern "C" fn on_flush(_: c_uint, flusher: *mut c_void) {
    // SAFETY: what was given with this callback: a `Flusher` that stays.
    let flusher = unsafe { &*flusher.cast::<Flusher>() };
    Plugin::with(|_, state| {
        let address = flusher.operand.address(flusher.next, |n| state.register(n)) / LINE * LINE;
        let (kind, at) = match state.pages.get(&(address / PAGE)) {
            Some(page) => (Kind::Flush, page * PAGE + address % PAGE),
            None => (Kind::FlushLost, address),
        };
        state.quiet = Quiet::No;
        state.write(Record { kind, len: LINE as u32, at, value: 0, by: flusher.at });
    });
}

extern "C" fn on_fence(_: c_uint, by: *mut c_void) {
    fence(Kind::Fence, Quiet::Fenced, by as u64);
}

extern "C" fn on_locked(_: c_uint, by: *mut c_void) {
    fence(Kind::Locked, Quiet::Locked, by as u64);
}

/// Writes a fence down, unless nothing happened since the last one that is as much.
fn fence(kind: Kind, becomes: Quiet, by: u64) {
    Plugin::with(|_, state| {
        if state.quiet < becomes {
            state.quiet = becomes;
            state.write(Record { kind, len: 0, at: 0, value: 0, by });
        }
    });
}

extern "C" fn on_cpuid(_: c_uint, by: *mut c_void) {
    Plugin::with(|_, state| {
        let [asks, number, value] = [0, 1, 6].map(|n| state.register(n));
        if asks as u32 == ASKS && Mark::numbered(number & 0xffff_ffff).is_some() {
            let at = number & 0xffff_ffff;
            state.write(Record { kind: Kind::Mark, len: 0, at, value, by: by as u64 });
        }
    });
}

extern "C" fn on_exit(_: u64, _: *mut c_void) {
    Plugin::with(|_, state| state.out.flush().expect("the log can be written"));
}

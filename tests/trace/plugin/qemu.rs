// SPDX-License-Identifier: MIT OR Apache-2.0
//! What QEMU (10.0 and newer, API version 4) has for plugins, as far as it is
//! needed, and the little of GLib that this comes with. QEMU finds the plugin's
//! symbols and the plugin QEMU's when it is loaded: nothing is linked.

use std::ffi::{c_char, c_int, c_uint, c_void};

/// The version of the API that this is written for.
pub const API_VERSION: c_int = 4;

/// A translated instruction.
#[repr(C)]
pub struct Insn(c_void);

/// A translated block.
#[repr(C)]
pub struct Block(c_void);

/// A register.
#[repr(C)]
pub struct Register(c_void);

/// Where an access went.
#[repr(C)]
pub struct HwAddr(c_void);

/// GLib's array, of anything.
#[repr(C)]
pub struct Array<T> {
    pub data: *mut T,
    pub len: c_uint,
}

/// A register that there is.
#[repr(C)]
pub struct Described {
    pub handle: *mut Register,
    pub name: *const c_char,
    pub feature: *const c_char,
}

/// A value that was stored: the log of its size in bytes, and itself.
#[repr(C)]
pub struct Value {
    pub kind: c_uint,
    pub low: u64,
    pub high: u64,
}

/// That a callback reads no registers.
pub const NO_REGISTERS: c_uint = 0;

/// That a callback reads registers.
pub const READS_REGISTERS: c_uint = 1;

/// That stores are wanted.
pub const STORES: c_uint = 2;

/// Called with the plugin and a processor.
pub type OnCpu = extern "C" fn(u64, c_uint);

/// Called with the plugin and a block.
pub type OnBlock = extern "C" fn(u64, *mut Block);

/// Called with a processor and what was given.
pub type OnInsn = extern "C" fn(c_uint, *mut c_void);

/// Called with a processor, what is known of an access, its address, and what was given.
pub type OnAccess = extern "C" fn(c_uint, u32, u64, *mut c_void);

/// Called with the plugin and what was given.
pub type OnExit = extern "C" fn(u64, *mut c_void);

// SAFETY: these are declared as QEMU's qemu-plugin.h and GLib's headers do.
unsafe extern "C" {
    pub fn qemu_plugin_register_vcpu_init_cb(id: u64, call: OnCpu);
    pub fn qemu_plugin_register_vcpu_tb_trans_cb(id: u64, call: OnBlock);
    pub fn qemu_plugin_register_atexit_cb(id: u64, call: OnExit, given: *mut c_void);
    pub fn qemu_plugin_register_vcpu_insn_exec_cb(
        insn: *mut Insn,
        call: OnInsn,
        flags: c_uint,
        given: *mut c_void,
    );
    pub fn qemu_plugin_register_vcpu_mem_cb(
        insn: *mut Insn,
        call: OnAccess,
        flags: c_uint,
        which: c_uint,
        given: *mut c_void,
    );
    pub fn qemu_plugin_tb_n_insns(block: *const Block) -> usize;
    pub fn qemu_plugin_tb_get_insn(block: *const Block, i: usize) -> *mut Insn;
    pub fn qemu_plugin_insn_data(insn: *const Insn, into: *mut c_void, len: usize) -> usize;
    pub fn qemu_plugin_insn_size(insn: *const Insn) -> usize;
    pub fn qemu_plugin_insn_vaddr(insn: *const Insn) -> u64;
    pub fn qemu_plugin_mem_size_shift(access: u32) -> c_uint;
    pub fn qemu_plugin_mem_get_value(access: u32) -> Value;
    pub fn qemu_plugin_get_hwaddr(access: u32, address: u64) -> *mut HwAddr;
    pub fn qemu_plugin_hwaddr_is_io(at: *const HwAddr) -> bool;
    pub fn qemu_plugin_hwaddr_phys_addr(at: *const HwAddr) -> u64;
    pub fn qemu_plugin_get_registers() -> *mut Array<Described>;
    pub fn qemu_plugin_read_register(register: *mut Register, into: *mut Array<u8>) -> c_int;
    pub fn g_byte_array_new() -> *mut Array<u8>;
    pub fn g_byte_array_set_size(array: *mut Array<u8>, len: c_uint) -> *mut Array<u8>;
    pub fn g_array_free(array: *mut Array<Described>, and_data: c_int) -> *mut c_char;
}

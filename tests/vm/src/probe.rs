// SPDX-License-Identifier: MIT OR Apache-2.0
//! Touching an address and living to tell: a load, a store or a jump either is
//! done or gives the [`Fault`] that the kernel answered with.

use std::{
    arch::{asm, global_asm},
    cell::Cell,
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use twz_trace::mark::{ASKS, Mark};

/// What the kernel said instead of letting an access be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// SIGSEGV or SIGBUS.
    pub signal: i32,
    /// `si_code`.
    pub code: i32,
    /// `si_addr`.
    pub address: usize,
    /// The processor's error code: 1 page present, 2 write, 4 user, 16 fetch.
    pub error: u64,
}

impl Fault {
    /// Whether it is a SIGSEGV at this address.
    pub fn is_segv_at(&self, address: usize) -> bool {
        self.signal == libc::SIGSEGV && self.address == address
    }

    /// Whether the page was there, without the right.
    pub fn was_present(&self) -> bool {
        self.error & 1 != 0
    }
}

// One instruction that may fault each, and one place to go on at if it does.
global_asm!(
    ".global twz_vm_load",
    "twz_vm_load: mov rax, [rdi]",
    "ret",
    ".global twz_vm_load1",
    "twz_vm_load1: movzx eax, byte ptr [rdi]",
    "ret",
    ".global twz_vm_store",
    "twz_vm_store: mov [rdi], rsi",
    "ret",
    ".global twz_vm_exec",
    "twz_vm_exec: sub rsp, 8",
    "call rdi",
    "add rsp, 8",
    "ret",
    ".global twz_vm_bail",
    "twz_vm_bail: ret",
    // What is called may fault where it likes: the stack is as rbp says.
    ".global twz_vm_call",
    "twz_vm_call: push rbp",
    "mov rbp, rsp",
    "mov rax, rdi",
    "mov rdi, rsi",
    "mov rsi, rdx",
    "call rax",
    ".global twz_vm_return",
    "twz_vm_return: mov rsp, rbp",
    "pop rbp",
    "ret",
);

// SAFETY: these are the functions above; each may fault at its address, which
// only happens while `ARMED` is set, and then returns from `twz_vm_bail`.
unsafe extern "C" {
    fn twz_vm_load(address: usize, unused: u64) -> u64;
    fn twz_vm_load1(address: usize, unused: u64) -> u64;
    fn twz_vm_store(address: usize, value: u64) -> u64;
    fn twz_vm_exec(address: usize, unused: u64) -> u64;
    fn twz_vm_bail();
    fn twz_vm_call(address: usize, first: u64, second: u64) -> u64;
    fn twz_vm_return();
}

/// What is being tried.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Armed {
    No,
    Data,
    Jump,
    Call,
}

thread_local! {
    static ARMED: Cell<Armed> = const { Cell::new(Armed::No) };
    static FAULT: Cell<Option<Fault>> = const { Cell::new(None) };
}

/// Answers SIGSEGV and SIGBUS: a probe's goes on at `twz_vm_bail`, any other is
/// what it always was.
extern "C" fn on_fault(signal: i32, info: *mut libc::siginfo_t, context: *mut libc::c_void) {
    let armed = ARMED.get();
    // SAFETY: the kernel hands a handler with SA_SIGINFO its siginfo and a
    // ucontext that is written back when the handler returns.
    let (info, registers) = unsafe {
        let context = &mut *context.cast::<libc::ucontext_t>();
        (&*info, &mut context.uc_mcontext.gregs)
    };
    if armed == Armed::No || info.si_code <= 0 {
        // SAFETY: the default action needs nothing.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
        // An access is made again, and its signal comes again. One that was sent does not.
        if info.si_code <= 0 {
            // SAFETY: a process may end itself.
            unsafe { libc::raise(signal) };
        }
        return;
    }
    ARMED.set(Armed::No);
    FAULT.set(Some(Fault {
        signal,
        code: info.si_code,
        // SAFETY: both signals carry an address.
        address: unsafe { info.si_addr() } as usize,
        error: registers[libc::REG_ERR as usize] as u64,
    }));
    if armed == Armed::Jump {
        // The return address that the call pushed, and its alignment.
        registers[libc::REG_RSP as usize] += 16;
    }
    registers[libc::REG_RIP as usize] = match armed {
        Armed::Call => twz_vm_return as *const () as i64,
        _ => twz_vm_bail as *const () as i64,
    };
}

fn install() {
    // No lock: a child that is forked while another thread has it waits for ever. Twice
    // does no harm.
    static INSTALLED: AtomicBool = AtomicBool::new(false);
    if INSTALLED.load(Ordering::Acquire) {
        return;
    }
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: `on_fault` is a handler of three arguments, and async-signal-safe:
        // it touches thread-locals without destructors and the saved registers.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = on_fault as *const () as usize;
            action.sa_flags = libc::SA_SIGINFO | libc::SA_NODEFER;
            libc::sigaction(signal, &action, std::ptr::null_mut());
        }
    }
    INSTALLED.store(true, Ordering::Release);
}

/// Whether faults are answered, as they are not any more in a process that was sent one.
pub fn is_installed() -> bool {
    // SAFETY: nothing is changed, and the action is ours to be written.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        libc::sigaction(libc::SIGSEGV, std::ptr::null(), &mut action);
        action.sa_sigaction == on_fault as *const () as usize
    }
}

type Instruction = unsafe extern "C" fn(usize, u64) -> u64;

fn probe(armed: Armed, instruction: Instruction, address: usize, value: u64) -> Result<u64, Fault> {
    install();
    FAULT.set(None);
    ARMED.set(armed);
    // SAFETY: whether the access may be done is the question; where it may not
    // be, `on_fault` ends it. Nobody probes memory that Rust's values are in.
    let got = unsafe { instruction(address, value) };
    ARMED.set(Armed::No);
    match FAULT.get() {
        Some(fault) => Err(fault),
        None => Ok(got),
    }
}

/// Loads 8 bytes.
pub fn load(address: usize) -> Result<u64, Fault> {
    probe(Armed::Data, twz_vm_load, address, 0)
}

/// Loads one byte.
pub fn load_byte(address: usize) -> Result<u64, Fault> {
    probe(Armed::Data, twz_vm_load1, address, 0)
}

/// Stores 8 bytes.
pub fn store(address: usize, value: u64) -> Result<(), Fault> {
    probe(Armed::Data, twz_vm_store, address, value).map(|_| ())
}

/// Calls what is there: a `ret`, 0xc3.
pub fn exec(address: usize) -> Result<(), Fault> {
    probe(Armed::Jump, twz_vm_exec, address, 0).map(|_| ())
}

/// Calls what is there with two arguments; it keeps to the calling convention, as far
/// as it gets.
pub fn call(address: usize, first: u64, second: u64) -> Result<u64, Fault> {
    install();
    FAULT.set(None);
    ARMED.set(Armed::Call);
    // SAFETY: as above; from whatever faults in it, `on_fault` goes back to the frame
    // that was there when it was called.
    let got = unsafe { twz_vm_call(address, first, second) };
    ARMED.set(Armed::No);
    match FAULT.get() {
        Some(fault) => Err(fault),
        None => Ok(got),
    }
}

/// A word that everybody who has it mapped may change, at an address that is mapped.
pub fn atomic(address: usize) -> &'static AtomicU64 {
    // SAFETY: the tests ask for addresses of their own mappings, 8-aligned, and
    // an access that faults ends the test, which is what it should do.
    unsafe { AtomicU64::from_ptr(address as *mut u64) }
}

/// How many page faults this thread has taken that did no I/O.
pub fn minor_faults() -> u64 {
    // SAFETY: `usage` is ours to be written.
    unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_THREAD, &mut usage);
        usage.ru_minflt as u64
    }
}

/// Writes the line of memory that `address` is in back, and waits for it.
pub fn persist(address: usize) {
    // SAFETY: a flush reads, of a page that is mapped.
    unsafe {
        core::arch::x86_64::_mm_clflush(address as *const u8);
        core::arch::x86_64::_mm_sfence();
    }
    std::sync::atomic::fence(Ordering::SeqCst);
}

/// Says something to whoever watches the processor.
pub fn say(mark: Mark, value: u64) {
    // SAFETY: `cpuid` changes four registers: three are given up here, and rbx, which
    // the compiler keeps, is put back.
    unsafe {
        asm!(
            "push rbx",
            "cpuid",
            "pop rbx",
            inout("eax") ASKS => _,
            inout("ecx") mark.number() => _,
            in("rsi") value,
            out("edx") _,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        map::{Map, PAGE},
        process::{self, Status},
    };

    #[test]
    fn what_is_allowed_is_done() {
        let map = Map::anonymous(2 * PAGE, libc::PROT_READ | libc::PROT_WRITE).unwrap();
        assert_eq!(store(map.at(8), 0xc3), Ok(()));
        assert_eq!(load(map.at(8)), Ok(0xc3));
        assert_eq!(load_byte(map.at(8)), Ok(0xc3));
        assert_eq!(map.protect(libc::PROT_READ | libc::PROT_EXEC), Ok(()));
        assert_eq!(exec(map.at(8)), Ok(()));
    }

    #[test]
    fn what_is_not_says_why() {
        let map = Map::anonymous(PAGE, libc::PROT_READ).unwrap();
        let fault = store(map.at(8), 1).unwrap_err();
        assert!(fault.is_segv_at(map.at(8)), "{fault:?}");
        assert_eq!((fault.code, fault.error & 2), (2, 2));
        let fault = exec(map.at(16)).unwrap_err();
        assert!(fault.is_segv_at(map.at(16)), "{fault:?}");
        assert_eq!(fault.error & 16, 16);
        let fault = load_byte(3).unwrap_err();
        assert_eq!((fault.address, fault.was_present()), (3, false));
        assert_eq!(load(map.at(0)), Ok(0), "and life goes on");
    }

    #[test]
    fn who_is_sent_a_signal_dies_of_it() {
        let _turn = process::alone();
        let child = process::fork(|| {
            install();
            // SAFETY: plain values.
            unsafe { libc::raise(libc::SIGSEGV) };
            0
        });
        assert_eq!(child.wait(), Status::Signalled(libc::SIGSEGV));
    }
}

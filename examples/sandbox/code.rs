// SPDX-License-Identifier: MIT OR Apache-2.0
//! The code that lies in objects, as x86-64 has it: the [`teller`], which the program
//! trusts, and the [`library`], which it does not.
//!
//! The teller goes by nothing that the library can reach: it has the addresses it
//! needs in itself, does not look at the stack when it was called back, and is left
//! for good by a system call of its own. (See "Threats" in kmod/abi/SECURITY.md.)

/// What the library can be asked for: which of its functions is entered.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Call {
    Sum,
    Read,
    Write,
    Scribble,
    Peek,
    Jump,
    System,
}

/// Bytes from one function of the library to the next: its gates are as far apart.
pub const APART: u64 = 16;
/// Functions of the library.
pub const FUNCTIONS: u64 = 7;
/// Where in the teller its gate is: behind the call.
pub const GATE: u64 = 32;
/// Bytes of the teller.
pub const TELLER: u64 = 64;

/// Calls `function` with two arguments, adds its answer to the first word of the ledger
/// and leaves it in the second, and ends the process.
pub fn teller(function: u64, arguments: [u64; 2], ledger: u64) -> Vec<u8> {
    let mut code = Vec::new();
    let constant = |code: &mut Vec<u8>, register: [u8; 2], value: u64| {
        code.extend(register);
        code.extend(value.to_le_bytes());
    };
    constant(&mut code, [0x48, 0xb8], function); // mov rax, function
    constant(&mut code, [0x48, 0xbf], arguments[0]); // mov rdi, ...
    constant(&mut code, [0x48, 0xbe], arguments[1]); // mov rsi, ...
    code.extend([0xff, 0xd0]); // call rax
    debug_assert_eq!(code.len() as u64, GATE);
    constant(&mut code, [0x48, 0xbb], ledger); // mov rbx, ledger
    code.extend([0x48, 0x01, 0x03]); // add [rbx], rax
    code.extend([0x48, 0x89, 0x43, 0x08]); // mov [rbx + 8], rax
    code.extend([0xb8, 0xe7, 0, 0, 0]); // mov eax, SYS_exit_group
    code.extend([0x31, 0xff]); // xor edi, edi
    code.extend([0x0f, 0x05]); // syscall
    code.extend([0x0f, 0x0b]); // ud2
    code.resize(TELLER as usize, 0xcc);
    code
}

/// The library: functions of two arguments, [`APART`] from each other.
pub fn library() -> Vec<u8> {
    let functions: [(Call, &[u8]); FUNCTIONS as usize] = [
        // mov rax, [rdi]; add rax, [rdi + 8]; add rax, [rdi + 16]; ret
        (Call::Sum, &[0x48, 0x8b, 7, 0x48, 3, 0x47, 8, 0x48, 3, 0x47, 16, 0xc3]),
        (Call::Read, &[0x48, 0x8b, 7, 0xc3]), // mov rax, [rdi]; ret
        (Call::Write, &[0x48, 0x89, 0x37, 0xc3]), // mov [rdi], rsi; ret
        (Call::Scribble, &[0x48, 0x89, 0x37, 0xc3]),
        (Call::Peek, &[0x48, 0x8b, 7, 0xc3]),
        (Call::Jump, &[0xff, 0xe7]), // jmp rdi
        // mov eax, SYS_getpid; syscall; ret
        (Call::System, &[0xb8, 39, 0, 0, 0, 0x0f, 0x05, 0xc3]),
    ];
    let mut code = vec![0xcc; (FUNCTIONS * APART) as usize];
    for (call, bytes) in functions {
        let room = code.get_mut((call as u64 * APART) as usize..).unwrap_or_default();
        for (place, byte) in room.iter_mut().zip(bytes) {
            *place = *byte;
        }
    }
    code
}

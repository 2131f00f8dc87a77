// SPDX-License-Identifier: MIT OR Apache-2.0
//! The few x86-64 instructions that decide what is durable, by their bytes:
//! those that flush a line, that store past the caches, that fence; and `cpuid`.
//!
//! The emulator runs a flush as nothing at all, so nobody is told of an access:
//! where it would go to has to be worked out from its [`Operand`].

/// What an instruction is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// None of the others.
    Other,
    /// `clwb`, `clflushopt` or `clflush`.
    Flush(Operand),
    /// Stores past the caches (`movnti` and its like).
    StorePast,
    /// `sfence` or `mfence`.
    Fence,
    /// Locked, or an exchange with memory.
    Locked,
    /// `cpuid`.
    Cpuid,
}

/// An operand in memory: the sum of what is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operand {
    /// A register, by its number in the processor's order: rax, rcx, rdx, rbx, rsp,
    /// rbp, rsi, rdi, r8 and so on.
    pub base: Option<u8>,
    /// Another one, and how often.
    pub index: Option<(u8, u8)>,
    /// A number, signed.
    pub offset: i32,
    /// The address of the next instruction counts too.
    pub relative: bool,
}

impl Operand {
    /// The address, where `register` has each register's value and `next` is the
    /// address of the next instruction.
    pub fn address(&self, next: u64, register: impl Fn(u8) -> u64) -> u64 {
        let base = self.base.map_or(0, &register);
        let index = self.index.map_or(0, |(n, times)| register(n).wrapping_mul(times.into()));
        let next = if self.relative { next } else { 0 };
        base.wrapping_add(index).wrapping_add(next).wrapping_add(self.offset as i64 as u64)
    }
}

/// Prefixes that matter here.
#[derive(Clone, Copy, Default)]
struct Prefixes {
    lock: bool,
    /// 0x66.
    size: bool,
    /// 0xf2 or 0xf3.
    repeat: bool,
    rex: u8,
}

/// What the instruction of these bytes is.
pub fn decode(bytes: &[u8]) -> Instruction {
    let (prefixes, rest) = prefixes(bytes);
    match *rest {
        [0x0f, 0xa2, ..] => Instruction::Cpuid,
        [0x0f, 0xae, modrm, ..] if !prefixes.repeat => {
            let (register, in_memory) = (modrm >> 3 & 7, modrm >> 6 != 3);
            let flushes = register == 7 || register == 6 && prefixes.size;
            match (in_memory, register) {
                (true, _) if flushes => {
                    operand(prefixes.rex, &rest[2..]).map_or(Instruction::Other, Instruction::Flush)
                }
                (false, 6 | 7) if !prefixes.size => Instruction::Fence,
                _ => Instruction::Other,
            }
        }
        [0x0f, 0xc3 | 0xe7 | 0x2b, modrm, ..] if modrm >> 6 != 3 => Instruction::StorePast,
        [0xc5, _, 0xe7 | 0x2b, modrm, ..] if modrm >> 6 != 3 => Instruction::StorePast,
        [0xc4, map, _, 0xe7 | 0x2b, modrm, ..] if map & 31 == 1 && modrm >> 6 != 3 => {
            Instruction::StorePast
        }
        [0x86 | 0x87, modrm, ..] if modrm >> 6 != 3 => Instruction::Locked,
        _ if prefixes.lock => Instruction::Locked,
        _ => Instruction::Other,
    }
}

fn prefixes(mut bytes: &[u8]) -> (Prefixes, &[u8]) {
    let mut found = Prefixes::default();
    while let [first, rest @ ..] = bytes {
        match first {
            0xf0 => found.lock = true,
            0x66 => found.size = true,
            0xf2 | 0xf3 => found.repeat = true,
            0x26 | 0x2e | 0x36 | 0x3e | 0x64 | 0x65 | 0x67 => {}
            0x40..=0x4f => {
                found.rex = *first;
                return (found, rest);
            }
            _ => break,
        }
        bytes = rest;
    }
    (found, bytes)
}

/// The operand in memory that a ModRM byte and what follows it name.
fn operand(rex: u8, bytes: &[u8]) -> Option<Operand> {
    let (&modrm, mut rest) = bytes.split_first()?;
    let (mode, low) = (modrm >> 6, modrm & 7);
    let mut operand = Operand { base: None, index: None, offset: 0, relative: false };
    let extended = |low: u8, bit: u8| low | (rex >> bit & 1) << 3;
    let mut wide = mode == 2;
    if low == 4 {
        let (&sib, after) = rest.split_first()?;
        rest = after;
        let index = extended(sib >> 3 & 7, 1);
        operand.index = (index != 4).then_some((index, 1 << (sib >> 6)));
        let no_base = sib & 7 == 5 && mode == 0;
        wide |= no_base;
        operand.base = (!no_base).then_some(extended(sib & 7, 0));
    } else if low == 5 && mode == 0 {
        (operand.relative, wide) = (true, true);
    } else {
        operand.base = Some(extended(low, 0));
    }
    if wide {
        operand.offset = i32::from_le_bytes(rest.get(..4)?.try_into().ok()?);
    } else if mode == 1 {
        operand.offset = *rest.first()? as i8 as i32;
    }
    Some(operand)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(base: Option<u8>, index: Option<(u8, u8)>, offset: i32) -> Instruction {
        Instruction::Flush(Operand { base, index, offset, relative: false })
    }

    #[test]
    fn flushes_and_where_they_go() {
        // As the assembler writes them.
        let table: [(&[u8], Instruction); 9] = [
            (b"\x66\x0f\xae\x30", at(Some(0), None, 0)),
            (b"\x66\x41\x0f\xae\x37", at(Some(15), None, 0)),
            (b"\x66\x0f\xae\x7e\x40", at(Some(6), None, 64)),
            (b"\x3e\x0f\xae\x3b", at(Some(3), None, 0)),
            (b"\x66\x0f\xae\x74\x24\x08", at(Some(4), None, 8)),
            (b"\x66\x42\x0f\xae\x34\xb8", at(Some(0), Some((15, 4)), 0)),
            (b"\x66\x0f\xae\xb5\x00\xff\xff\xff", at(Some(5), None, -256)),
            (b"\x66\x0f\xae\x34\x25\x00\x10\x00\x00", at(None, None, 4096)),
            (b"\x66\x41\x0f\xae\x34\x24", at(Some(12), None, 0)),
        ];
        for (bytes, wanted) in table {
            assert_eq!(decode(bytes), wanted, "{bytes:x?}");
        }
        let Instruction::Flush(near) = decode(b"\x0f\xae\x3d\x10\x00\x00\x00") else { panic!() };
        assert_eq!(near.address(0x1000, |_| 0), 0x1010);
        let Instruction::Flush(far) = decode(b"\x66\x42\x0f\xae\x74\xb8\xf8") else { panic!() };
        assert_eq!(far.address(0, |n| [0x100, 0x10][(n != 0) as usize]), 0x100 + 0x40 - 8);
    }

    #[test]
    fn fences_locks_and_stores_past_the_caches() {
        use Instruction::{Cpuid, Fence, Locked, Other, StorePast};
        let table: [(&[u8], Instruction); 17] = [
            (b"\x0f\xae\xf8", Fence),
            (b"\x0f\xae\xf0", Fence),
            (b"\x0f\xae\xe8", Other),
            (b"\x48\x0f\xc3\x07", StorePast),
            (b"\x0f\xc3\x07", StorePast),
            (b"\x66\x0f\xe7\x07", StorePast),
            (b"\xc5\xfd\xe7\x07", StorePast),
            (b"\xc4\xc1\x7d\xe7\x07", StorePast),
            (b"\xf0\x48\x0f\xb1\x0f", Locked),
            (b"\x48\x87\x07", Locked),
            (b"\x48\x87\xc7", Other),
            (b"\x0f\xa2", Cpuid),
            (b"\x48\x89\x07", Other),
            // xsaveopt, umonitor, stmxcsr, nothing.
            (b"\x0f\xae\x37", Other),
            (b"\xf3\x0f\xae\xf0", Other),
            (b"\x0f\xae\x1f", Other),
            (b"", Other),
        ];
        for (bytes, wanted) in table {
            assert_eq!(decode(bytes), wanted, "{bytes:x?}");
        }
        // A flush whose operand is cut off is none.
        assert_eq!(decode(b"\x66\x0f\xae\x74"), Other);
    }
}

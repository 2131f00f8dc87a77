// SPDX-License-Identifier: MIT OR Apache-2.0
//! Which code makes system calls of its own, and whether they matter here: a pure
//! function over machine code.
//!
//! Two bytes are a `syscall` instruction, or part of some other one: in a megabyte of
//! code some fifteen such pairs are there by chance. A real one is preceded by a load
//! of the call's number, or takes it from an argument, as a function like libc's
//! `syscall` does. A number that cannot touch descriptors, offsets or signal handlers
//! is fine. It is a net, with the widest mesh that catches what compilers make.

/// How far before the instruction its number is looked for.
const BEFORE: usize = 40;

/// Numbers that change nothing this library relies on.
const HARMLESS: &[u32] = &[
    2, 4, 5, 6, 7, 9, 10, 11, 12, 17, 18, 21, 23, 24, 25, 26, 27, 28, 34, 35, 37, 39, 49, 50, 51,
    52, 54, 55, 60, 61, 62, 63, 74, 75, 76, 77, 79, 80, 82, 83, 84, 85, 86, 87, 88, 89, 90, 91, 92,
    95, 96, 97, 98, 99, 102, 104, 107, 108, 110, 121, 124, 137, 138, 157, 158, 162, 186, 187, 200,
    201, 202, 203, 204, 217, 218, 219, 221, 228, 229, 230, 231, 234, 237, 238, 239, 247, 248, 249,
    250, 251, 252, 254, 255, 257, 258, 262, 263, 264, 265, 266, 267, 268, 269, 270, 271, 273, 277,
    285, 298, 302, 309, 314, 315, 316, 317, 318, 319, 321, 323, 324, 325, 332, 334, 424, 434, 437,
    439, 441, 444, 445, 446, 449, 452, 454, 455, 456,
];

/// Whether there is an instruction in it that could go behind this library's back.
pub fn is_dangerous(code: &[u8]) -> bool {
    memchr::memmem::find_iter(code, &[0x0f, 0x05])
        .any(|at| dangerous(&code[at.saturating_sub(BEFORE)..at], &code[at + 2..]))
}

/// Whether these two bytes are a distance within another instruction: no code goes on with
/// a 0 behind a call, and some instructions end in a distance of four bytes.
fn is_distance(before: &[u8], after: &[u8]) -> bool {
    let relative = |modrm: u8| modrm & 0xc7 == 0x05;
    match before {
        _ if after.first() == Some(&0) => true,
        [.., 0xe8 | 0xe9, _] | [.., 0xe8 | 0xe9] => true,
        [.., opcode, modrm] | [.., opcode, modrm, _] if relative(*modrm) => {
            matches!(opcode, 0x63 | 0x80..=0x8d | 0x38..=0x3b | 0xc6 | 0xc7 | 0xf6 | 0xf7 | 0xff)
        }
        _ => false,
    }
}

/// Judges one, by what stands before it and after it.
fn dangerous(before: &[u8], after: &[u8]) -> bool {
    if is_distance(before, after) {
        return false;
    }
    if let Some(number) = number(before) {
        return !is_harmless(number);
    }
    // The number comes from elsewhere: as the first argument, or from the stack.
    let taken =
        [&[0x48, 0x89, 0xf8][..], &[0x89, 0xf8], &[0x48, 0x8b, 0x44, 0x24], &[0x8b, 0x44, 0x24]];
    let takes = taken.iter().any(|load| before.windows(load.len()).any(|bytes| bytes == *load));
    // And the answer is looked at as one of a system call's, or handed on.
    let judged = [&[0x48, 0x3d, 0x01, 0xf0, 0xff, 0xff][..], &[0x48, 0x3d, 0x00, 0xf0], &[0xc3]];
    takes && judged.iter().any(|judge| after.starts_with(judge))
}

/// The number that is loaded last: `mov $n,%eax`, `mov $n,%rax`, or `xor %eax,%eax`.
fn number(before: &[u8]) -> Option<u32> {
    (0..before.len()).rev().find_map(|at| {
        let bytes = &before[at..];
        let value = match bytes {
            [0xb8, value @ ..] => value,
            [0x48, 0xc7, 0xc0, value @ ..] => value,
            [0x31, 0xc0, ..] => &[0, 0, 0, 0],
            _ => return None,
        };
        let value = u32::from_le_bytes(value.get(..4)?.try_into().ok()?);
        // No call has a greater one: then it is a part of something else.
        (value < 1024).then_some(value)
    })
}

/// Whether a call of this number can be let pass.
pub fn is_harmless(number: u32) -> bool {
    HARMLESS.contains(&number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_closes_is_found() {
        let close = [0x90, 0xb8, 3, 0, 0, 0, 0x48, 0x63, 0xff, 0x0f, 0x05, 0xc3];
        assert!(is_dangerous(&close));
        let ring = [0x48, 0xc7, 0xc0, 0xa9, 1, 0, 0, 0x0f, 0x05];
        assert!(is_dangerous(&ring));
        let any = [0x48, 0x89, 0xf8, 0x48, 0x89, 0xf7, 0x0f, 0x05, 0x48, 0x3d, 1, 0xf0, 0xff, 0xff];
        assert!(is_dangerous(&any));
        let read = [0x31, 0xc0, 0x0f, 0x05];
        assert!(is_dangerous(&read), "it moves the kernel's offset");
    }

    #[test]
    fn what_waits_is_not() {
        let futex = [0xb8, 202, 0, 0, 0, 0x0f, 0x05];
        assert!(!is_dangerous(&futex));
        assert!(!is_dangerous(&[0x0f, 0x05]));
        assert!(!is_dangerous(&[0xb8, 0x0f, 0x05, 0, 0]), "a number, by chance");
        let call = [0x31, 0xc0, 0xe8, 0x29, 0x0f, 0x05, 0x00, 0x83, 0x3d];
        assert!(!is_dangerous(&call), "a function, as far away by chance");
        assert!(!is_dangerous(&[0x31, 0xc0, 0x48, 0x8d, 0x35, 0x76, 0x0f, 0x05, 0x01]));
        assert!(is_dangerous(&[futex.as_slice(), &[0xb8, 3, 0, 0, 0, 0x0f, 0x05]].concat()));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The list of libc's own call sites: where in its code `read`, `write` and `lseek` are
//! made, and whether the three functions that its streams call can be turned to us, each at
//! its first instruction. Pure functions over machine code; `raw/patch.rs` does it.
//!
//! A list is made by searching all of libc's code, and kept in a file by build id
//! (`raw/cache.rs`). One that was read is an allegation: it is used only where it says what
//! the code says ([`List::fits`]), byte for byte.

/// The three functions, in every array here by this order, and their calls' numbers.
pub const NUMBERS: [u8; 3] = [0, 1, 8];

/// How many bytes of a function are looked at.
pub const LOOK: usize = 32;

/// Bytes of a list.
pub const SIZE: usize = 64;

/// What a list begins with; the last one changes with [`form`].
const MAGIC: [u8; 8] = *b"twzsite\x01";

/// How a function begins, which is what its first instruction has to be made up for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// `cmpb $0, __libc_single_threaded(%rip)`: glibc before 2.41.
    Checks,
    /// `mov $number, %eax`.
    Loads,
    /// `sub $16, %rsp`, on the way to a function that makes the call: glibc from 2.41 on.
    Asks,
}

impl Form {
    /// Bytes of its first instruction.
    pub fn first(self) -> usize {
        match self {
            Self::Checks => 7,
            Self::Loads => 5,
            Self::Asks => 4,
        }
    }

    /// What is to be stored, in this order, as aligned words: where, and what. Whoever was
    /// interrupted in the function finds every instruction but the first as it was.
    ///
    /// `there` is where it is to go, counted from the function's begin.
    pub fn words(self, code: &[u8; LOOK], there: i64) -> Option<[(usize, u64); 2]> {
        let word = |at: usize, with: &[u8], from: usize| {
            let mut bytes = [0u8; 8];
            bytes.copy_from_slice(&code[at..at + 8]);
            bytes[from..from + with.len()].copy_from_slice(with);
            (at, u64::from_le_bytes(bytes))
        };
        let jump = |end: i64| {
            let [a, b, c, d] = i32::try_from(there.checked_sub(end)?).ok()?.to_le_bytes();
            Some([0xe9, a, b, c, d])
        };
        Some(match self {
            Self::Checks | Self::Loads => [word(0, &jump(5)?, 0); 2],
            // Too short for that jump, which goes where the function is padded.
            Self::Asks => {
                [word(PAD & !7, &jump(PAD as i64 + 5)?, PAD & 7), word(0, &[0xeb, 25], 0)]
            }
        })
    }
}

/// Where [`Form::Asks`] has ended, and nothing follows for five bytes.
const PAD: usize = 27;

/// What form a function has, if it is one of those that are known; `flag` is where
/// `__libc_single_threaded` is, counted from the function's begin.
pub fn form(code: &[u8; LOOK], number: u8, flag: i64) -> Option<Form> {
    let load = [0xb8, number, 0, 0, 0];
    let load = if number == 0 { &[0x31, 0xc0][..] } else { &load };
    let calls =
        |code: &[u8]| code.strip_prefix(load).is_some_and(|rest| rest.starts_with(&[0x0f, 0x05]));
    match *code {
        [0x80, 0x3d, a, b, c, d, 0, 0x74, _, ..] => {
            let reached = i64::from(i32::from_le_bytes([a, b, c, d])) + 7;
            (reached == flag && calls(&code[9..])).then_some(Form::Checks)
        }
        _ if number != 0 && calls(code) => Some(Form::Loads),
        _ => {
            let before = [
                0x48, 0x83, 0xec, 16, 0x48, 0x63, 0xff, 0x45, 0x31, 0xc9, 0x45, 0x31, 0xc0, 0x6a,
                number, 0x31, 0xc9, 0xe8,
            ];
            let after = [0x48, 0x83, 0xc4, 24, 0xc3, 0x0f, 0x1f, 0x44, 0, 0];
            (code.starts_with(&before) && code.ends_with(&after)).then_some(Form::Asks)
        }
    }
}

/// One of libc's functions: where in its code it begins and ends.
#[derive(Clone, Copy)]
pub struct Extent {
    pub begin: usize,
    pub end: usize,
}

/// The list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct List {
    /// Where the three functions begin, or nothing if they are to be left as they are.
    pub begins: [u32; 3],
    /// Call sites in them.
    pub inside: u32,
    /// Call sites elsewhere.
    pub left: u32,
}

impl List {
    /// Searches libc's code. `spared` are functions that make such calls, too, but not on
    /// streams that are noted (`inside.rs`); a call that is in none of them could be made
    /// for any stream, and then all is left as it is.
    pub fn make(code: &[u8], functions: &[Extent; 3], spared: &[Extent]) -> Self {
        let within = |all: &[Extent], at| all.iter().any(|f| (f.begin..f.end).contains(&at));
        let (mut inside, mut left, mut strays) = (0, 0, 0);
        for at in sites(code) {
            match () {
                () if within(functions, at) => inside += 1,
                () if within(spared, at) => left += 1,
                () => strays += 1,
            }
        }
        let begins = match strays {
            0 => functions.map(|function| u32::try_from(function.begin).unwrap_or(0)),
            _ => [0; 3],
        };
        Self { begins, inside, left: left + strays }
    }

    /// What is alleged to be the list of this build.
    pub fn read(bytes: &[u8], build: &[u8; 20]) -> Option<Self> {
        let bytes: &[u8; SIZE] = bytes.try_into().ok()?;
        let (said, sum) = bytes.split_at(SIZE - 8);
        let known = sum == hash(said).to_le_bytes() && said.starts_with(&MAGIC);
        let number =
            |at: usize| said[at..].first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
        (known && said[8..28] == *build).then_some(())?;
        Some(Self {
            begins: [number(32)?, number(36)?, number(40)?],
            inside: number(44)?,
            left: number(48)?,
        })
    }

    /// As it is kept.
    pub fn write(&self, build: &[u8; 20]) -> [u8; SIZE] {
        let mut bytes = [0u8; SIZE];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..28].copy_from_slice(build);
        let [a, b, c] = self.begins;
        for (number, room) in
            [a, b, c, self.inside, self.left].iter().zip(bytes[32..].chunks_mut(4))
        {
            room.copy_from_slice(&number.to_le_bytes());
        }
        let sum = hash(&bytes[..SIZE - 8]);
        bytes[SIZE - 8..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// Whether it says where these functions are, or that they are to be left alone.
    pub fn fits(&self, begins: [usize; 3]) -> bool {
        self.is_empty() || self.begins.map(|begin| begin as usize) == begins
    }

    /// Whether nothing is to be done.
    pub fn is_empty(&self) -> bool {
        self.begins == [0; 3]
    }
}

/// Where in the code one of the three calls is made, with its number loaded just before.
fn sites(code: &[u8]) -> impl Iterator<Item = usize> {
    let loads = |before: &[u8]| {
        before.ends_with(&[0x31, 0xc0])
            || NUMBERS.iter().any(|number| before.ends_with(&[0xb8, *number, 0, 0, 0]))
    };
    let calls = code.windows(2).enumerate().filter(|(_, pair)| *pair == [0x0f, 0x05]);
    calls.map(|(at, _)| at).filter(move |at| loads(&code[..*at]))
}

/// FNV-1a: what was torn or overwritten is noticed.
fn hash(bytes: &[u8]) -> u64 {
    let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `read` of glibc 2.36, with its flag 0xe3338 behind its begin.
    const CHECKS: [u8; LOOK] = [
        0x80, 0x3d, 0x31, 0x33, 0x0e, 0, 0, 0x74, 0x17, 0x31, 0xc0, 0x0f, 0x05, 0x48, 0x3d, 0,
        0xf0, 0xff, 0xff, 0x77, 0x5b, 0xc3, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0,
    ];
    const FLAG: i64 = 0xe3338;

    /// `lseek` of both.
    const LOADS: [u8; LOOK] = [
        0xb8, 8, 0, 0, 0, 0x0f, 0x05, 0x48, 0x3d, 0, 0xf0, 0xff, 0xff, 0x77, 1, 0xc3, 0x48, 0x8b,
        0x15, 0xe9, 0xa9, 0x0d, 0, 0xf7, 0xd8, 0x64, 0x89, 2, 0x48, 0xc7, 0xc0, 0xff,
    ];

    /// `write` of glibc 2.41.
    const ASKS: [u8; LOOK] = [
        0x48, 0x83, 0xec, 0x10, 0x48, 0x63, 0xff, 0x45, 0x31, 0xc9, 0x45, 0x31, 0xc0, 0x6a, 1,
        0x31, 0xc9, 0xe8, 0x0a, 0xad, 0xf8, 0xff, 0x48, 0x83, 0xc4, 0x18, 0xc3, 0x0f, 0x1f, 0x44,
        0, 0,
    ];

    #[test]
    fn forms_are_told_by_every_byte_that_matters() {
        let known =
            [(CHECKS, 0, Form::Checks, 13), (LOADS, 8, Form::Loads, 7), (ASKS, 1, Form::Asks, 32)];
        for (code, number, want, length) in known {
            assert_eq!(form(&code, number, FLAG), Some(want));
            assert_eq!(form(&code, number + 1, FLAG), None, "another call");
            for at in 0..length {
                let mut other = code;
                other[at] ^= 1;
                let free = match want {
                    // How far is jumped, and called: those are libc's.
                    Form::Checks => at == 8,
                    Form::Asks => (18..22).contains(&at),
                    Form::Loads => false,
                };
                assert_eq!(form(&other, number, FLAG).is_some(), free, "{want:?} {at}");
            }
        }
        assert_eq!(form(&CHECKS, 0, FLAG + 1), None, "another flag");
    }

    /// Where a function leads once its words are stored.
    fn leads(code: [u8; LOOK], words: [(usize, u64); 2]) -> (i64, [u8; LOOK]) {
        let mut code = code;
        for (at, word) in words {
            assert_eq!(at % 8, 0);
            code[at..at + 8].copy_from_slice(&word.to_le_bytes());
        }
        let at = if code[0] == 0xeb { 2 + code[1] as usize } else { 0 };
        assert_eq!(code[at], 0xe9);
        let by = i32::from_le_bytes(code[at + 1..at + 5].try_into().unwrap());
        (at as i64 + 5 + i64::from(by), code)
    }

    #[test]
    fn only_the_first_instruction_is_changed() {
        for (code, form) in [(CHECKS, Form::Checks), (LOADS, Form::Loads), (ASKS, Form::Asks)] {
            for there in [-0x7000_0000, -8, 0x1234_5678, 0x7000_0000] {
                let (led, changed) = leads(code, form.words(&code, there).unwrap());
                assert_eq!(led, there);
                let end = if form == Form::Asks { PAD } else { LOOK };
                assert_eq!(changed[form.first()..end], code[form.first()..end], "{form:?}");
            }
            assert_eq!(form.words(&code, 1 << 32), None, "too far");
            assert_eq!(form.words(&code, i64::MIN), None, "too far");
        }
    }

    #[test]
    fn a_call_that_is_nowhere_known_has_all_left_alone() {
        let code = [CHECKS, [0x90; LOOK], LOADS, ASKS].concat();
        let at = |begin| Extent { begin, end: begin + LOOK };
        let functions = [at(0), at(96), at(64)];
        let list = List::make(&code, &functions, &[]);
        assert_eq!(list, List { begins: [0, 96, 64], inside: 2, left: 0 });
        assert!(list.fits([0, 96, 64]) && !list.fits([0, 96, 65]));
        let stray = [&code[..], &[0xb8, 1, 0, 0, 0, 0x0f, 0x05]].concat();
        let list = List::make(&stray, &functions, &[]);
        assert!(list.is_empty() && list.left == 1 && list.fits([1, 2, 3]));
        let list = List::make(&stray, &functions, &[at(128)]);
        assert!(!list.is_empty() && list.left == 1);
    }

    #[test]
    fn a_list_is_read_as_it_was_written_or_not_at_all() {
        let build = [7; 20];
        let list = List { begins: [1, 2, 3], inside: 4, left: 5 };
        let bytes = list.write(&build);
        assert_eq!(List::read(&bytes, &build), Some(list));
        assert_eq!(List::read(&bytes, &[8; 20]), None);
        assert_eq!(List::read(&bytes[..63], &build), None);
        assert_eq!(List::read(&[], &build), None);
        for at in 0..SIZE {
            let mut other = bytes;
            other[at] ^= 0x10;
            assert_eq!(List::read(&other, &build), None, "{at}");
        }
    }
}

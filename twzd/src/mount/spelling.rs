// SPDX-License-Identifier: MIT OR Apache-2.0
//! Names as programs have them, which may be any bytes, and as the pool has them, which are
//! UTF-8. A byte that is in no UTF-8 is there the code point U+EF00 and its value, of those
//! for private use; where a program's name has one of these (U+EF80 to U+EFFF), its three
//! bytes are spelled so, too. So each name has one spelling.

use std::{
    borrow::Cow,
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

const STAND_INS: std::ops::RangeInclusive<u32> = 0xef80..=0xefff;

/// How a program's name is spelled in the pool.
pub fn in_pool(name: &OsStr) -> Cow<'_, str> {
    match name.to_str() {
        Some(text) if !text.contains(is_stand_in) => text.into(),
        _ => spelled(name.as_bytes()).into(),
    }
}

/// The name that is spelled so in the pool; none, if nothing is.
pub fn for_programs(name: &str) -> Option<OsString> {
    if !name.contains(is_stand_in) {
        return Some(name.into());
    }
    let mut bytes = Vec::with_capacity(name.len());
    for char in name.chars() {
        match is_stand_in(char) {
            true => bytes.push(char as u8),
            false => bytes.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    (spelled(&bytes) == name).then(|| OsString::from_vec(bytes))
}

fn spelled(bytes: &[u8]) -> String {
    let stand_in = |byte: &u8| char::from_u32(0xef00 + u32::from(*byte)).unwrap_or_default();
    let mut text = String::new();
    for chunk in bytes.utf8_chunks() {
        for char in chunk.valid().chars() {
            match is_stand_in(char) {
                true => text.extend(char.encode_utf8(&mut [0; 4]).as_bytes().iter().map(stand_in)),
                false => text.push(char),
            }
        }
        text.extend(chunk.invalid().iter().map(stand_in));
    }
    text
}

fn is_stand_in(char: char) -> bool {
    STAND_INS.contains(&u32::from(char))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_bytes_come_back_and_no_two_names_meet() {
        let odd: [&[u8]; 7] = [
            b"plain \xc3\xa4\xe2\x98\x83",
            b"\xff\xfe",
            b"half \xc3",
            b"\xee\xbe\x80",
            b"\xed\xa0\x80 surrogate",
            b"\xc3\xa4\xe4",
            b"\x80",
        ];
        let mut spellings: Vec<_> =
            odd.iter().map(|name| in_pool(OsStr::from_bytes(name)).into_owned()).collect();
        for (name, spelling) in odd.iter().zip(&spellings) {
            assert_eq!(for_programs(spelling).unwrap().as_bytes(), *name);
        }
        assert_eq!(spellings[0], "plain ä☃");
        assert_eq!(spellings[1], "\u{efff}\u{effe}");
        spellings.sort();
        spellings.dedup();
        assert_eq!(spellings.len(), odd.len());
    }

    #[test]
    fn what_no_program_can_have_named_so_is_nobodys() {
        // These bytes are a letter, which is spelled as itself.
        assert_eq!(for_programs("\u{efc3}\u{efa4}"), None);
        assert_eq!(for_programs("\u{efc3}"), Some(OsString::from_vec(vec![0xc3])));
    }
}

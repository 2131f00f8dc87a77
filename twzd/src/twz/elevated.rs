// SPDX-License-Identifier: MIT OR Apache-2.0
//! Programs that begin with rights of their own, which `twz run` ([`super::run`]) cannot
//! load a library into: setuid, setgid, and those with file capabilities.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::Read as _,
    os::unix::{
        ffi::OsStrExt as _,
        fs::{FileTypeExt as _, MetadataExt as _},
    },
    path::{Path, PathBuf},
};

use nix::{
    sys::{
        prctl,
        statvfs::{FsFlags, statvfs},
    },
    unistd::{AccessFlags, access, getgid, getuid},
};

use crate::exit::{Exit, Fail, Outcome};

/// Refuses a program that begins with rights that its caller has not: there the loader
/// ignores what is preloaded, and says nothing.
pub fn refuse(program: &OsStr) -> Outcome {
    let mut path = found(program);
    // What runs a script is what counts, and that may be a script as well.
    for _ in 0..5 {
        let Some(this) = path else { break };
        match interpreter(&this) {
            Some(next) => path = Some(next),
            None => {
                let Some(what) = elevated(&this) else { break };
                let message = format!(
                    "{} is {what}: it gets rights that are not yours, and loads no library \
                     that you choose",
                    this.display()
                );
                return Err(Fail::unsupported(
                    message,
                    "run it without 'twz run': it works on the same files, and is not faster",
                ));
            }
        }
    }
    Ok(Exit::Done)
}

/// The file that a program's name means, as a shell looks for it.
fn found(program: &OsStr) -> Option<PathBuf> {
    if program.as_bytes().contains(&b'/') {
        return Some(program.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/bin:/usr/bin".into());
    std::env::split_paths(&path)
        .map(|directory| directory.join(program))
        .find(|file| file.is_file() && access(file, AccessFlags::X_OK).is_ok())
}

/// What a script names in its first line.
fn interpreter(script: &Path) -> Option<PathBuf> {
    // What is no file may have nothing to read, and wait.
    if fs::metadata(script).ok()?.file_type().is_fifo() {
        return None;
    }
    let mut begin = Vec::new();
    File::open(script).ok()?.take(256).read_to_end(&mut begin).ok()?;
    let line = begin.strip_prefix(b"#!")?.split(|byte| *byte == b'\n').next()?;
    let blank = |byte: &u8| matches!(byte, b' ' | b'\t');
    let name = line.split(blank).find(|word| !word.is_empty())?;
    Some(OsStr::from_bytes(name).into())
}

/// How a program gets rights that its caller has not, if it does.
fn elevated(program: &Path) -> Option<&'static str> {
    let file = fs::metadata(program).ok()?;
    let has = |bits| file.mode() & bits == bits;
    let user = getuid();
    let what = if has(libc::S_ISUID) && file.uid() != user.as_raw() {
        "setuid"
    } else if has(libc::S_ISGID | libc::S_IXGRP) && file.gid() != getgid().as_raw() {
        "setgid"
    } else if !user.is_root() && has_capabilities(program) {
        "given capabilities"
    } else {
        return None;
    };
    let counts = || {
        let on = statvfs(program).is_ok_and(|on| on.flags().contains(FsFlags::ST_NOSUID));
        !on && !prctl::get_no_new_privs().unwrap_or(false)
    };
    (file.is_file() && counts()).then_some(what)
}

/// Whether a file gives capabilities to whoever runs it. (Root has them anyway.)
fn has_capabilities(program: &Path) -> bool {
    let mut bytes = [0; 64];
    let found = rustix::fs::getxattr(program, c"security.capability", &mut bytes[..]);
    found.is_ok_and(|length| gives(bytes.get(..length).unwrap_or_default()))
}

/// Reads the attribute: a revision with the flag *effective* in its lowest bit, then
/// *permitted* and *inheritable*, 32 capabilities of each, and from revision 2 on 32 more.
fn gives(attribute: &[u8]) -> bool {
    let word = |at: usize| {
        let bytes = attribute.get(at..)?.first_chunk::<4>()?;
        Some(u32::from_le_bytes(*bytes))
    };
    let any = |at| word(at).is_some_and(|bits| bits != 0);
    word(0).is_some_and(|head| head & 1 != 0 || any(4) || (head >> 24 >= 2 && any(12)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_those_that_are_permitted_or_effective() {
        let attribute =
            |words: &[u32]| words.iter().flat_map(|word| word.to_le_bytes()).collect::<Vec<u8>>();
        for words in [
            &[0x0100_0000, 0x2000, 0][..],
            &[0x0200_0000, 0, 0, 1, 0],
            &[0x0200_0001, 0, 0x2000, 0, 0],
            &[0x0300_0001, 0x2000, 0, 0, 0, 1000],
        ] {
            assert!(gives(&attribute(words)), "{words:x?}");
        }
        // Only inheritable, none, another revision's words, and no attribute.
        for words in [
            &[0x0200_0000, 0, 0x2000, 0, 7][..],
            &[0x0300_0000, 0, 0, 0, 0, 7],
            &[0x0100_0000, 0, 0, 1],
            &[],
        ] {
            assert!(!gives(&attribute(words)), "{words:x?}");
        }
        assert!(!gives(b"\x01"));
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The code that is loaded in this process: the program and its libraries, without libc,
//! the loader, the kernel's page of clocks and this library itself, whose system calls
//! are accounted for.

use core::{
    ffi::{CStr, c_int, c_void},
    mem::MaybeUninit,
    ops::Range,
    ptr, slice,
};

/// Changes when code is loaded; never 0.
pub fn version() -> u32 {
    let mut version = 1u32;
    extern "C" fn first(info: *mut libc::dl_phdr_info, _: usize, to: *mut c_void) -> c_int {
        // SAFETY: the loader's description of a module, and the place that was passed.
        unsafe { *to.cast::<u32>() = ((*info).dlpi_adds as u32).wrapping_add(1).max(1) };
        1
    }
    // SAFETY: calls `first` with what it is to be called with.
    unsafe { libc::dl_iterate_phdr(Some(first), (&raw mut version).cast()) };
    version
}

/// Whether `test` holds for any stretch of code.
pub fn any_code(test: fn(&[u8]) -> bool) -> bool {
    struct Search {
        test: fn(&[u8]) -> bool,
    }
    extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, search: *mut c_void) -> c_int {
        // SAFETY: the loader's description of a module that stays loaded while the loader's
        // lock is held, which it is; segments that are executable and readable hold bytes.
        unsafe {
            let (info, search) = (&*info, &*search.cast::<Search>());
            let own = each as *const () as usize;
            let segments = slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
            let code = |segment: &&libc::Elf64_Phdr| {
                let wanted = libc::PF_X | libc::PF_R;
                segment.p_type == libc::PT_LOAD && segment.p_flags & wanted == wanted
            };
            let ranges = segments.iter().filter(code).map(|segment| {
                let begin = (info.dlpi_addr + segment.p_vaddr) as usize;
                begin..begin + segment.p_memsz as usize
            });
            if is_known(CStr::from_ptr(info.dlpi_name)) || ranges.clone().any(|r| r.contains(&own))
            {
                return 0;
            }
            let bytes = |range: core::ops::Range<usize>| {
                slice::from_raw_parts(range.start as *const u8, range.len())
            };
            c_int::from(ranges.into_iter().any(|range| (search.test)(bytes(range))))
        }
    }
    let mut search = Search { test };
    // SAFETY: calls `each` with what it is to be called with.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut search).cast()) != 0 }
}

/// libc: its code, and what tells its build from others.
pub struct Libc {
    pub code: Range<usize>,
    pub build: [u8; 20],
}

impl Libc {
    pub fn bytes(&self) -> &'static [u8] {
        // SAFETY: a readable segment of libc's, which is never unloaded. What is turned in
        // it is turned after this was read, by the same thread.
        unsafe { slice::from_raw_parts(self.code.start as *const u8, self.code.len()) }
    }
}

/// Looks where it is.
pub fn libc() -> Option<Libc> {
    extern "C" fn each(info: *mut libc::dl_phdr_info, _: usize, to: *mut c_void) -> c_int {
        // SAFETY: the loader's description of a module that stays loaded, and the place that
        // was passed. Notes are read within their segment.
        unsafe {
            let (info, found) = (&*info, &mut *to.cast::<Option<Libc>>());
            if !CStr::from_ptr(info.dlpi_name).to_bytes().ends_with(b"/libc.so.6") {
                return 0;
            }
            let segments = slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into());
            let range = |segment: &libc::Elf64_Phdr| {
                let begin = (info.dlpi_addr + segment.p_vaddr) as usize;
                begin..begin + segment.p_memsz as usize
            };
            let rights = libc::PF_R | libc::PF_X;
            let is_code = |s: &&libc::Elf64_Phdr| s.p_type == libc::PT_LOAD && s.p_flags == rights;
            let code = segments.iter().find(is_code).map(range);
            let notes = segments.iter().filter(|segment| segment.p_type == libc::PT_NOTE);
            let build = notes.map(range).find_map(|notes| {
                build(slice::from_raw_parts(notes.start as *const u8, notes.len()))
            });
            *found = code.zip(build).map(|(code, build)| Libc { code, build });
            1
        }
    }
    let mut found: Option<Libc> = None;
    // SAFETY: calls `each` with what it is to be called with.
    unsafe { libc::dl_iterate_phdr(Some(each), (&raw mut found).cast()) };
    found
}

/// GNU's build id, if a note of these is one.
fn build(mut notes: &[u8]) -> Option<[u8; 20]> {
    const BUILD_ID: u32 = 3;
    loop {
        let number =
            |at: usize| notes.get(at..)?.first_chunk::<4>().map(|bytes| u32::from_le_bytes(*bytes));
        let (name, length, kind) = (number(0)? as usize, number(4)? as usize, number(8)?);
        let from = 12 + name.checked_next_multiple_of(4)?;
        let id = notes.get(from..from.checked_add(length)?)?;
        if kind == BUILD_ID && notes.get(12..16) == Some(b"GNU\0") {
            return id.try_into().ok();
        }
        notes = notes.get(from + length.next_multiple_of(4)..)?;
    }
}

/// How long a function is, as its symbol has it; 0 if there is none.
pub fn length(function: usize) -> usize {
    const SYMBOL: c_int = 1;
    let mut info = MaybeUninit::<libc::Dl_info>::zeroed();
    let mut symbol: *mut c_void = ptr::null_mut();
    // SAFETY: room for both answers; a symbol that is found is one of a loaded module's, of
    // libc's here, which is never unloaded.
    unsafe {
        let function = function as *const c_void;
        if libc::dladdr1(function, info.as_mut_ptr(), &mut symbol, SYMBOL) == 0 || symbol.is_null()
        {
            return 0;
        }
        (*symbol.cast::<libc::Elf64_Sym>()).st_size as usize
    }
}

/// Whether it is libc, in one of its parts, the loader, or the kernel's.
fn is_known(path: &CStr) -> bool {
    let path = path.to_bytes();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    [&b"libc.so.6"[..], b"ld-linux-x86-64.so.2", b"linux-vdso.so.1", b"libpthread.so.0"]
        .contains(&name)
}

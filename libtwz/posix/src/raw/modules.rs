// SPDX-License-Identifier: MIT OR Apache-2.0
//! The code that is loaded in this process: the program and its libraries, without libc,
//! the loader, the kernel's page of clocks and this library itself, whose system calls
//! are accounted for.

use core::{
    ffi::{CStr, c_int, c_void},
    slice,
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

/// Whether it is libc, in one of its parts, the loader, or the kernel's.
fn is_known(path: &CStr) -> bool {
    let path = path.to_bytes();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    [&b"libc.so.6"[..], b"ld-linux-x86-64.so.2", b"linux-vdso.so.1", b"libpthread.so.0"]
        .contains(&name)
}

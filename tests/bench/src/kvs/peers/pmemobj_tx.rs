// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer `pmemobj_tx`: PMDK's map with transactions. See pmemobj_tx.c. It
//! knows no insert that is not durable.

use std::{
    ffi::{CString, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt as _,
    path::Path,
};

use crate::{error::Failed, kvs::store::Store};

// SAFETY: as pmemobj_tx.c defines them.
unsafe extern "C" {
    fn bench_map_make(path: *const c_char, pairs: u64, key: u64, value: u64) -> *mut c_void;
    fn bench_map_open(path: *const c_char) -> *mut c_void;
    fn bench_map_close(map: *mut c_void);
    fn bench_map_space(map: *mut c_void) -> u64;
    fn bench_map_get(map: *mut c_void, key: *const u8) -> *const u8;
    fn bench_map_put(map: *mut c_void, key: *const u8, value: *const u8) -> c_int;
    fn bench_map_delete(map: *mut c_void, key: *const u8) -> c_int;
    fn bench_map_each(
        map: *mut c_void,
        each: unsafe extern "C" fn(*mut c_void, *const u8),
        with: *mut c_void,
    );
}

/// A map in a pool of its own.
pub struct PmemobjTx(*mut c_void);

// SAFETY: what takes `&self` reads, and libpmemobj's pools may be read by many
// threads; what changes it takes `&mut self`.
unsafe impl Sync for PmemobjTx {}

fn path(directory: &Path) -> Result<CString, Failed> {
    Ok(CString::new(directory.join("pool").as_os_str().as_bytes())?)
}

fn checked(map: *mut c_void) -> Result<PmemobjTx, Failed> {
    match map.is_null() {
        true => Err(Failed::new("libpmemobj has no pool; is there room for it?")),
        false => Ok(PmemobjTx(map)),
    }
}

impl Drop for PmemobjTx {
    fn drop(&mut self) {
        // SAFETY: open, and not used after this.
        unsafe { bench_map_close(self.0) };
    }
}

impl<const K: usize, const V: usize> Store<K, V> for PmemobjTx {
    const NAME: &'static str = "pmemobj_tx";

    fn create(directory: &Path, pairs: usize) -> Result<Self, Failed> {
        let path = path(directory)?;
        // SAFETY: the path ends in NUL.
        checked(unsafe { bench_map_make(path.as_ptr(), pairs as u64, K as u64, V as u64) })
    }

    fn open(directory: &Path) -> Result<Self, Failed> {
        let path = path(directory)?;
        // SAFETY: the path ends in NUL.
        checked(unsafe { bench_map_open(path.as_ptr()) })
    }

    fn insert(
        &mut self,
        mut pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        pairs.try_for_each(|(key, value)| {
            // SAFETY: the map is open, and was made for pairs of these sizes.
            match unsafe { bench_map_put(self.0, key.as_ptr(), value.as_ptr()) } {
                0 => Ok(()),
                _ => Err(Failed::new("a transaction of libpmemobj has failed")),
            }
        })
    }

    fn insert_durable(
        &mut self,
        pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        self.insert(pairs)
    }

    fn get(
        &self,
        first: [u8; K],
        times: u64,
        mut next: impl FnMut(Option<&[u8; V]>) -> [u8; K],
    ) -> Result<(), Failed> {
        let mut key = first;
        for _ in 0..times {
            // SAFETY: the map is open and made for these sizes: what it has found
            // is a value, which stays until it is written to.
            key = next(unsafe { bench_map_get(self.0, key.as_ptr()).cast::<[u8; V]>().as_ref() });
        }
        Ok(())
    }

    fn delete(&mut self, mut keys: impl Iterator<Item = [u8; K]>) -> Result<u64, Failed> {
        // SAFETY: the map is open, and made for keys of this size.
        keys.try_fold(0, |gone, key| match unsafe { bench_map_delete(self.0, key.as_ptr()) } {
            was @ 0.. => Ok(gone + was as u64),
            _ => Err(Failed::new("a transaction of libpmemobj has failed")),
        })
    }

    fn iterate(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Failed> {
        let mut shown = |bytes: &[u8]| each(&bytes[..K], &bytes[K..]);
        let mut shown: &mut dyn FnMut(&[u8]) = &mut shown;
        /// # Safety
        /// `with` is a `&mut dyn FnMut(&[u8])`, `bytes` an entry with `K + V` of them.
        unsafe extern "C" fn show<const K: usize, const V: usize>(
            with: *mut c_void,
            bytes: *const u8,
        ) {
            // SAFETY: by the caller.
            unsafe {
                let shown = &mut *with.cast::<&mut dyn FnMut(&[u8])>();
                shown(std::slice::from_raw_parts(bytes, K + V));
            }
        }
        // SAFETY: the map is open; what is handed over is what `show` takes it for.
        unsafe { bench_map_each(self.0, show::<K, V>, (&raw mut shown).cast()) };
        Ok(())
    }

    fn space(&self) -> Result<u64, Failed> {
        // SAFETY: the map is open.
        Ok(unsafe { bench_map_space(self.0) })
    }
}

// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peers `lmdb` and `lmdb_sync`: Debian's liblmdb. A batch is one
//! transaction. As `lmdb` it never waits for the medium, not even where the
//! others are durable: it is what a durable insert is to be faster than. As
//! `lmdb_sync` each durable insert is a transaction that is synced.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uint, c_void},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    ptr,
};

use crate::{
    error::Failed,
    kvs::{
        racer::What,
        store::{Store, files, whole},
    },
};

const NOSYNC: c_uint = 0x1_0000;
const NORDAHEAD: c_uint = 0x80_0000;
const RDONLY: c_uint = 0x2_0000;
const CREATE: c_uint = 0x4_0000;
const NOTFOUND: c_int = -30798;
const NEXT: c_uint = 8;

/// Its view of some bytes.
#[repr(C)]
struct Val {
    size: usize,
    data: *mut c_void,
}

impl Val {
    fn of(bytes: &[u8]) -> Self {
        Self { size: bytes.len(), data: bytes.as_ptr().cast_mut().cast() }
    }

    fn none() -> Self {
        Self { size: 0, data: ptr::null_mut() }
    }

    /// # Safety
    /// LMDB filled it in, within a transaction that is still open.
    unsafe fn bytes(&self) -> &[u8] {
        // SAFETY: by the caller.
        unsafe { std::slice::from_raw_parts(self.data.cast(), self.size) }
    }
}

type Handle = *mut c_void;

// SAFETY: as lmdb.h declares them.
unsafe extern "C" {
    fn mdb_strerror(error: c_int) -> *const c_char;
    fn mdb_env_create(env: *mut Handle) -> c_int;
    fn mdb_env_set_mapsize(env: Handle, size: usize) -> c_int;
    fn mdb_env_open(env: Handle, path: *const c_char, flags: c_uint, mode: libc::mode_t) -> c_int;
    fn mdb_env_close(env: Handle);
    fn mdb_txn_begin(env: Handle, parent: Handle, flags: c_uint, txn: *mut Handle) -> c_int;
    fn mdb_txn_commit(txn: Handle) -> c_int;
    fn mdb_txn_abort(txn: Handle);
    fn mdb_dbi_open(txn: Handle, name: *const c_char, flags: c_uint, dbi: *mut c_uint) -> c_int;
    fn mdb_get(txn: Handle, dbi: c_uint, key: *mut Val, data: *mut Val) -> c_int;
    fn mdb_put(txn: Handle, dbi: c_uint, key: *mut Val, data: *mut Val, flags: c_uint) -> c_int;
    fn mdb_del(txn: Handle, dbi: c_uint, key: *mut Val, data: *mut Val) -> c_int;
    fn mdb_cursor_open(txn: Handle, dbi: c_uint, cursor: *mut Handle) -> c_int;
    fn mdb_cursor_get(cursor: Handle, key: *mut Val, data: *mut Val, op: c_uint) -> c_int;
    fn mdb_cursor_close(cursor: Handle);
}

fn done(status: c_int) -> Result<(), Failed> {
    if status == 0 {
        return Ok(());
    }
    // SAFETY: it has a static text for every number.
    let text = unsafe { CStr::from_ptr(mdb_strerror(status)) };
    Err(Failed::new(format!("LMDB: {}", text.to_string_lossy())))
}

/// A transaction, given up unless it is committed.
struct Txn {
    txn: Handle,
    dbi: c_uint,
}

impl Txn {
    fn begin(env: Handle, dbi: c_uint, flags: c_uint) -> Result<Self, Failed> {
        let mut txn = ptr::null_mut();
        // SAFETY: the environment is open, and `txn` ours to be written.
        done(unsafe { mdb_txn_begin(env, ptr::null_mut(), flags, &mut txn) })?;
        Ok(Self { txn, dbi })
    }

    fn commit(self) -> Result<(), Failed> {
        let txn = self.txn;
        std::mem::forget(self);
        // SAFETY: open, and given up by this.
        done(unsafe { mdb_txn_commit(txn) })
    }

    fn put(&self, key: &[u8], value: &[u8]) -> Result<(), Failed> {
        // SAFETY: the transaction is open; LMDB copies both.
        done(unsafe { mdb_put(self.txn, self.dbi, &mut Val::of(key), &mut Val::of(value), 0) })
    }
}

impl Drop for Txn {
    fn drop(&mut self) {
        // SAFETY: open, and given up by this.
        unsafe { mdb_txn_abort(self.txn) };
    }
}

/// An environment with one database.
pub struct Lmdb<const SYNC: bool> {
    env: Handle,
    dbi: c_uint,
    directory: PathBuf,
}

// SAFETY: an environment is for all threads; a transaction is for one, and lives
// within a call.
unsafe impl<const SYNC: bool> Sync for Lmdb<SYNC> {}

/// More than any race puts in; only what is used takes memory.
const MAP: usize = 8 << 30;

impl<const SYNC: bool> Lmdb<SYNC> {
    fn at(directory: &Path) -> Result<Self, Failed> {
        let path = CString::new(directory.as_os_str().as_bytes())?;
        let flags = NORDAHEAD | if SYNC { 0 } else { NOSYNC };
        let mut env = ptr::null_mut();
        // SAFETY: `env` is ours to be written, and an environment from then on.
        done(unsafe { mdb_env_create(&mut env) })?;
        let mut made = Self { env, dbi: 0, directory: directory.into() };
        // SAFETY: as above; the path ends in NUL.
        unsafe {
            done(mdb_env_set_mapsize(env, MAP))?;
            done(mdb_env_open(env, path.as_ptr(), flags, 0o600))?;
        }
        let txn = Txn::begin(env, 0, 0)?;
        // SAFETY: the transaction is open, and `dbi` ours to be written.
        done(unsafe { mdb_dbi_open(txn.txn, ptr::null(), CREATE, &mut made.dbi) })?;
        txn.commit()?;
        Ok(made)
    }
}

impl<const SYNC: bool> Drop for Lmdb<SYNC> {
    fn drop(&mut self) {
        // SAFETY: open, and no transaction is.
        unsafe { mdb_env_close(self.env) };
    }
}

impl<const SYNC: bool, const K: usize, const V: usize> Store<K, V> for Lmdb<SYNC> {
    const NAME: &'static str = if SYNC { "lmdb_sync" } else { "lmdb" };

    fn races(what: What) -> bool {
        !SYNC || what == What::InsertDurable
    }

    fn create(directory: &Path, _: usize) -> Result<Self, Failed> {
        Self::at(directory)
    }

    fn open(directory: &Path) -> Result<Self, Failed> {
        Self::at(directory)
    }

    fn insert(
        &mut self,
        mut pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        let txn = Txn::begin(self.env, self.dbi, 0)?;
        pairs.try_for_each(|(key, value)| txn.put(&key, &value))?;
        txn.commit()
    }

    fn insert_durable(
        &mut self,
        mut pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        if !SYNC {
            return self.insert(pairs);
        }
        pairs.try_for_each(|(key, value)| {
            let txn = Txn::begin(self.env, self.dbi, 0)?;
            txn.put(&key, &value)?;
            txn.commit()
        })
    }

    fn get(
        &self,
        first: [u8; K],
        times: u64,
        mut next: impl FnMut(Option<&[u8; V]>) -> [u8; K],
    ) -> Result<(), Failed> {
        let txn = Txn::begin(self.env, self.dbi, RDONLY)?;
        let mut key = first;
        for _ in 0..times {
            let mut found = Val::none();
            // SAFETY: the transaction is open until after the last use of `found`.
            match unsafe { mdb_get(txn.txn, self.dbi, &mut Val::of(&key), &mut found) } {
                NOTFOUND => key = next(None),
                status => {
                    done(status)?;
                    // SAFETY: as above.
                    key = next(Some(whole(unsafe { found.bytes() })?));
                }
            }
        }
        Ok(())
    }

    fn delete(&mut self, keys: impl Iterator<Item = [u8; K]>) -> Result<u64, Failed> {
        let txn = Txn::begin(self.env, self.dbi, 0)?;
        let mut gone = 0;
        for key in keys {
            // SAFETY: the transaction is open.
            match unsafe { mdb_del(txn.txn, self.dbi, &mut Val::of(&key), ptr::null_mut()) } {
                NOTFOUND => {}
                status => {
                    done(status)?;
                    gone += 1;
                }
            }
        }
        txn.commit()?;
        Ok(gone)
    }

    fn iterate(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Failed> {
        let txn = Txn::begin(self.env, self.dbi, RDONLY)?;
        let mut cursor = ptr::null_mut();
        // SAFETY: the transaction is open, and `cursor` ours to be written.
        done(unsafe { mdb_cursor_open(txn.txn, self.dbi, &mut cursor) })?;
        loop {
            let (mut key, mut value) = (Val::none(), Val::none());
            // SAFETY: both are open.
            match unsafe { mdb_cursor_get(cursor, &mut key, &mut value, NEXT) } {
                // SAFETY: filled in just now, and used before the transaction ends.
                0 => unsafe { each(key.bytes(), value.bytes()) },
                status => {
                    // SAFETY: open, and not used after this.
                    unsafe { mdb_cursor_close(cursor) };
                    return if status == NOTFOUND { Ok(()) } else { done(status) };
                }
            }
        }
    }

    fn space(&self) -> Result<u64, Failed> {
        files(&self.directory)
    }
}

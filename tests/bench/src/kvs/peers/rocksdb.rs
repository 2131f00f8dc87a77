// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer `rocksdb`: Debian's librocksdb through its C interface, with a cache
//! that holds everything and Bloom filters. It inserts without a log, and
//! durably with one that is synced. What it does in the background after a batch
//! is waited for, and so counts.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_uchar, c_void},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    ptr,
    time::Duration,
};

use crate::{
    error::Failed,
    kvs::store::{Store, files, whole},
};

type Handle = *mut c_void;
type Error = *mut *mut c_char;

// SAFETY: as rocksdb/c.h declares them.
unsafe extern "C" {
    fn rocksdb_options_create() -> Handle;
    fn rocksdb_options_destroy(options: Handle);
    fn rocksdb_options_set_create_if_missing(options: Handle, yes: c_uchar);
    fn rocksdb_options_set_block_based_table_factory(options: Handle, table: Handle);
    fn rocksdb_block_based_options_create() -> Handle;
    fn rocksdb_block_based_options_destroy(table: Handle);
    fn rocksdb_block_based_options_set_block_cache(table: Handle, cache: Handle);
    fn rocksdb_block_based_options_set_filter_policy(table: Handle, policy: Handle);
    fn rocksdb_filterpolicy_create_bloom_full(bits: f64) -> Handle;
    fn rocksdb_cache_create_lru(bytes: usize) -> Handle;
    fn rocksdb_cache_destroy(cache: Handle);
    fn rocksdb_open(options: Handle, path: *const c_char, error: Error) -> Handle;
    fn rocksdb_close(db: Handle);
    fn rocksdb_free(bytes: *mut c_void);
    fn rocksdb_readoptions_create() -> Handle;
    fn rocksdb_readoptions_destroy(options: Handle);
    fn rocksdb_writeoptions_create() -> Handle;
    fn rocksdb_writeoptions_destroy(options: Handle);
    fn rocksdb_writeoptions_set_sync(options: Handle, yes: c_uchar);
    fn rocksdb_writeoptions_disable_WAL(options: Handle, yes: c_int);
    fn rocksdb_put(
        db: Handle,
        options: Handle,
        key: *const u8,
        key_len: usize,
        value: *const u8,
        value_len: usize,
        error: Error,
    );
    fn rocksdb_delete(db: Handle, options: Handle, key: *const u8, len: usize, error: Error);
    fn rocksdb_get_pinned(
        db: Handle,
        options: Handle,
        key: *const u8,
        len: usize,
        error: Error,
    ) -> Handle;
    fn rocksdb_pinnableslice_value(slice: Handle, len: *mut usize) -> *const u8;
    fn rocksdb_pinnableslice_destroy(slice: Handle);
    fn rocksdb_create_iterator(db: Handle, options: Handle) -> Handle;
    fn rocksdb_iter_seek_to_first(iter: Handle);
    fn rocksdb_iter_valid(iter: Handle) -> c_uchar;
    fn rocksdb_iter_next(iter: Handle);
    fn rocksdb_iter_key(iter: Handle, len: *mut usize) -> *const u8;
    fn rocksdb_iter_value(iter: Handle, len: *mut usize) -> *const u8;
    fn rocksdb_iter_destroy(iter: Handle);
    fn rocksdb_property_int(db: Handle, name: *const c_char, value: *mut u64) -> c_int;
    fn rocksdb_flushoptions_create() -> Handle;
    fn rocksdb_flushoptions_destroy(options: Handle);
    fn rocksdb_flush(db: Handle, options: Handle, error: Error);
}

/// Calls something that may leave the text of an error.
fn checked<R>(call: impl FnOnce(Error) -> R) -> Result<R, Failed> {
    let mut text = ptr::null_mut();
    let answer = call(&mut text);
    if text.is_null() {
        return Ok(answer);
    }
    // SAFETY: it ends in NUL, and is ours to be freed.
    let said = unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned();
    // SAFETY: as above.
    unsafe { rocksdb_free(text.cast()) };
    Err(Failed::new(format!("RocksDB: {said}")))
}

/// A database.
pub struct Rocksdb {
    db: Handle,
    reading: Handle,
    volatile: Handle,
    durable: Handle,
    directory: PathBuf,
}

const CACHE: usize = 2 << 30;

impl Rocksdb {
    fn at(directory: &Path) -> Result<Self, Failed> {
        let path = CString::new(directory.as_os_str().as_bytes())?;
        // SAFETY: makes options, gives them to a database, and gives up what it
        // has copied or counts by itself.
        unsafe {
            let (options, table) = (rocksdb_options_create(), rocksdb_block_based_options_create());
            let cache = rocksdb_cache_create_lru(CACHE);
            rocksdb_block_based_options_set_block_cache(table, cache);
            let filter = rocksdb_filterpolicy_create_bloom_full(10.0);
            rocksdb_block_based_options_set_filter_policy(table, filter);
            rocksdb_options_set_block_based_table_factory(options, table);
            rocksdb_options_set_create_if_missing(options, 1);
            let db = checked(|error| rocksdb_open(options, path.as_ptr(), error));
            rocksdb_cache_destroy(cache);
            rocksdb_block_based_options_destroy(table);
            rocksdb_options_destroy(options);
            let (volatile, durable) =
                (rocksdb_writeoptions_create(), rocksdb_writeoptions_create());
            rocksdb_writeoptions_disable_WAL(volatile, 1);
            rocksdb_writeoptions_set_sync(durable, 1);
            let (reading, directory) = (rocksdb_readoptions_create(), directory.into());
            Ok(Self { db: db?, reading, volatile, durable, directory })
        }
    }

    fn put(&self, options: Handle, key: &[u8], value: &[u8]) -> Result<(), Failed> {
        // SAFETY: the database is open, and copies both.
        checked(|error| unsafe {
            let (key, len) = (key.as_ptr(), key.len());
            rocksdb_put(self.db, options, key, len, value.as_ptr(), value.len(), error);
        })
    }

    /// What a lookup has found, for as long as it takes to look at it.
    fn find<R>(&self, key: &[u8], look: impl FnOnce(Option<&[u8]>) -> R) -> Result<R, Failed> {
        // SAFETY: the database is open; what it pins stays until it is let go.
        unsafe {
            let slice = checked(|error| {
                rocksdb_get_pinned(self.db, self.reading, key.as_ptr(), key.len(), error)
            })?;
            if slice.is_null() {
                return Ok(look(None));
            }
            let mut len = 0;
            let value = rocksdb_pinnableslice_value(slice, &mut len);
            let answer = look(Some(std::slice::from_raw_parts(value, len)));
            rocksdb_pinnableslice_destroy(slice);
            Ok(answer)
        }
    }

    /// Waits until it does nothing any more.
    fn settle(&self) {
        let busy = |name: &CStr| {
            let mut value = 0;
            // SAFETY: the database is open, and `value` ours to be written.
            unsafe { rocksdb_property_int(self.db, name.as_ptr(), &mut value) };
            value != 0
        };
        while busy(c"rocksdb.num-running-flushes")
            || busy(c"rocksdb.mem-table-flush-pending")
            || busy(c"rocksdb.num-running-compactions")
            || busy(c"rocksdb.compaction-pending")
        {
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Writes out what is only in memory.
    fn flush(&self) -> Result<(), Failed> {
        // SAFETY: the database is open, the options are ours.
        let flushed = checked(|error| unsafe {
            let options = rocksdb_flushoptions_create();
            rocksdb_flush(self.db, options, error);
            rocksdb_flushoptions_destroy(options);
        });
        self.settle();
        flushed
    }
}

impl Drop for Rocksdb {
    fn drop(&mut self) {
        // SAFETY: all open, and not used after this.
        unsafe {
            rocksdb_readoptions_destroy(self.reading);
            rocksdb_writeoptions_destroy(self.volatile);
            rocksdb_writeoptions_destroy(self.durable);
            rocksdb_close(self.db);
        }
    }
}

impl<const K: usize, const V: usize> Store<K, V> for Rocksdb {
    const NAME: &'static str = "rocksdb";
    const SLOW: bool = true;

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
        pairs.try_for_each(|(key, value)| self.put(self.volatile, &key, &value))?;
        self.settle();
        Ok(())
    }

    fn insert_durable(
        &mut self,
        mut pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        pairs.try_for_each(|(key, value)| self.put(self.durable, &key, &value))?;
        self.settle();
        Ok(())
    }

    fn get(
        &self,
        first: [u8; K],
        times: u64,
        mut next: impl FnMut(Option<&[u8; V]>) -> [u8; K],
    ) -> Result<(), Failed> {
        let mut key = first;
        for _ in 0..times {
            key = self.find(&key, |found| found.map(whole).transpose().map(&mut next))??;
        }
        Ok(())
    }

    /// It deletes without looking, so it looks first, as all who are to tell do.
    fn delete(&mut self, keys: impl Iterator<Item = [u8; K]>) -> Result<u64, Failed> {
        let mut gone = 0;
        for key in keys {
            gone += self.find(&key, |found| u64::from(found.is_some()))?;
            // SAFETY: the database is open, and copies the key.
            checked(|error| unsafe {
                rocksdb_delete(self.db, self.volatile, key.as_ptr(), K, error);
            })?;
        }
        self.settle();
        Ok(gone)
    }

    fn iterate(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Failed> {
        // SAFETY: the database is open; keys and values stay until the next step.
        unsafe {
            let iter = rocksdb_create_iterator(self.db, self.reading);
            rocksdb_iter_seek_to_first(iter);
            while rocksdb_iter_valid(iter) != 0 {
                let (mut key_len, mut len) = (0, 0);
                let (key, value) =
                    (rocksdb_iter_key(iter, &mut key_len), rocksdb_iter_value(iter, &mut len));
                each(
                    std::slice::from_raw_parts(key, key_len),
                    std::slice::from_raw_parts(value, len),
                );
                rocksdb_iter_next(iter);
            }
            rocksdb_iter_destroy(iter);
        }
        Ok(())
    }

    fn space(&self) -> Result<u64, Failed> {
        self.flush()?;
        files(&self.directory)
    }
}

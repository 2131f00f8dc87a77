// SPDX-License-Identifier: MIT OR Apache-2.0
//! The peer `sqlite`: Debian's libsqlite3, with all that makes it fast for one
//! process: exclusive locking, a mapped file, statements prepared once, 8-byte
//! keys as row numbers. A batch is one transaction; a durable insert is one that
//! is synced, with a write-ahead log.

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    os::unix::ffi::OsStrExt as _,
    path::{Path, PathBuf},
    ptr,
};

use crate::{
    error::Failed,
    kvs::store::{Store, files, whole},
};

const ROW: c_int = 100;
const DONE: c_int = 101;

const PRAGMAS: &CStr = c"PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=WAL; \
    PRAGMA synchronous=OFF; PRAGMA cache_size=-1000000; PRAGMA mmap_size=8000000000;";

type Handle = *mut c_void;

// SAFETY: as sqlite3.h declares them.
unsafe extern "C" {
    fn sqlite3_open(path: *const c_char, db: *mut Handle) -> c_int;
    fn sqlite3_close(db: Handle) -> c_int;
    fn sqlite3_errmsg(db: Handle) -> *const c_char;
    fn sqlite3_exec(
        db: Handle,
        sql: *const c_char,
        row: *const c_void,
        arg: *const c_void,
        error: *mut *mut c_char,
    ) -> c_int;
    fn sqlite3_prepare_v2(
        db: Handle,
        sql: *const c_char,
        len: c_int,
        statement: *mut Handle,
        rest: *mut *const c_char,
    ) -> c_int;
    fn sqlite3_bind_int64(statement: Handle, at: c_int, value: i64) -> c_int;
    fn sqlite3_bind_blob(
        statement: Handle,
        at: c_int,
        data: *const u8,
        len: c_int,
        destructor: *const c_void,
    ) -> c_int;
    fn sqlite3_step(statement: Handle) -> c_int;
    fn sqlite3_reset(statement: Handle) -> c_int;
    fn sqlite3_finalize(statement: Handle) -> c_int;
    fn sqlite3_column_int64(statement: Handle, at: c_int) -> i64;
    fn sqlite3_column_blob(statement: Handle, at: c_int) -> *const u8;
    fn sqlite3_column_bytes(statement: Handle, at: c_int) -> c_int;
    fn sqlite3_changes(db: Handle) -> c_int;
}

/// A connection.
struct Connection(Handle);

impl Connection {
    fn done(&self, status: c_int) -> Result<(), Failed> {
        if matches!(status, 0 | DONE) {
            return Ok(());
        }
        // SAFETY: a connection has the text of its last error.
        let text = unsafe { CStr::from_ptr(sqlite3_errmsg(self.0)) };
        Err(Failed::new(format!("SQLite: {}", text.to_string_lossy())))
    }

    fn exec(&self, sql: &CStr) -> Result<(), Failed> {
        let none = ptr::null();
        // SAFETY: the connection is open, and the text ends in NUL.
        self.done(unsafe { sqlite3_exec(self.0, sql.as_ptr(), none, none, ptr::null_mut()) })
    }

    fn prepare(&self, sql: &CStr) -> Result<Statement, Failed> {
        let (mut made, rest) = (ptr::null_mut(), ptr::null_mut());
        // SAFETY: as above, and `made` is ours to be written.
        self.done(unsafe { sqlite3_prepare_v2(self.0, sql.as_ptr(), -1, &mut made, rest) })?;
        Ok(Statement(made))
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: open, and not used after this.
        unsafe { sqlite3_close(self.0) };
    }
}

/// A prepared statement.
struct Statement(Handle);

impl Statement {
    /// What is bound has to stay until the statement is reset.
    fn bind(&self, at: c_int, bytes: &[u8]) {
        // SAFETY: the statement is there; the bytes are, by what is said above.
        unsafe { sqlite3_bind_blob(self.0, at, bytes.as_ptr(), bytes.len() as c_int, ptr::null()) };
    }

    fn bind_key<const K: usize>(&self, key: &[u8; K]) {
        match key.first_chunk::<8>() {
            // SAFETY: the statement is there.
            Some(word) if K == 8 => unsafe {
                sqlite3_bind_int64(self.0, 1, i64::from_le_bytes(*word));
            },
            _ => self.bind(1, key),
        }
    }

    fn step(&self) -> c_int {
        // SAFETY: the statement is there.
        unsafe { sqlite3_step(self.0) }
    }

    fn reset(&self) {
        // SAFETY: the statement is there.
        unsafe { sqlite3_reset(self.0) };
    }

    /// A column of the row that it is at, until the next step.
    fn column(&self, at: c_int) -> &[u8] {
        // SAFETY: it is at a row, and stays there as long as it is not stepped.
        unsafe {
            let (data, len) = (sqlite3_column_blob(self.0, at), sqlite3_column_bytes(self.0, at));
            match data.is_null() {
                true => &[],
                false => std::slice::from_raw_parts(data, len as usize),
            }
        }
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        // SAFETY: there, and not used after this.
        unsafe { sqlite3_finalize(self.0) };
    }
}

/// A database of one table.
pub struct Sqlite {
    // Statements go before their connection.
    get: Statement,
    put: Statement,
    delete: Statement,
    all: Statement,
    connection: Connection,
    directory: PathBuf,
}

impl Sqlite {
    fn at(directory: &Path, table: Option<&CStr>) -> Result<Self, Failed> {
        let path = CString::new(directory.join("sqlite").as_os_str().as_bytes())?;
        let mut db = ptr::null_mut();
        // SAFETY: the path ends in NUL, and `db` is ours to be written.
        let status = unsafe { sqlite3_open(path.as_ptr(), &mut db) };
        let connection = Connection(db);
        connection.done(status)?;
        connection.exec(PRAGMAS)?;
        table.map_or(Ok(()), |table| connection.exec(table))?;
        Ok(Self {
            get: connection.prepare(c"SELECT v FROM kvs WHERE k = ?1")?,
            put: connection.prepare(c"INSERT OR REPLACE INTO kvs VALUES (?1, ?2)")?,
            delete: connection.prepare(c"DELETE FROM kvs WHERE k = ?1")?,
            all: connection.prepare(c"SELECT k, v FROM kvs")?,
            connection,
            directory: directory.into(),
        })
    }

    fn put<const K: usize, const V: usize>(
        &self,
        mut pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        pairs.try_for_each(|(key, value)| {
            self.put.bind_key(&key);
            self.put.bind(2, &value);
            let status = self.put.step();
            self.put.reset();
            self.connection.done(status)
        })
    }
}

impl<const K: usize, const V: usize> Store<K, V> for Sqlite {
    const NAME: &'static str = "sqlite";
    const SLOW: bool = true;

    fn create(directory: &Path, _: usize) -> Result<Self, Failed> {
        let table = match K {
            8 => c"CREATE TABLE kvs (k INTEGER PRIMARY KEY, v BLOB)",
            _ => c"CREATE TABLE kvs (k BLOB PRIMARY KEY, v BLOB) WITHOUT ROWID",
        };
        Self::at(directory, Some(table))
    }

    fn open(directory: &Path) -> Result<Self, Failed> {
        Self::at(directory, None)
    }

    fn insert(&mut self, pairs: impl Iterator<Item = ([u8; K], [u8; V])>) -> Result<(), Failed> {
        self.connection.exec(c"BEGIN")?;
        self.put(pairs)?;
        self.connection.exec(c"COMMIT")
    }

    fn insert_durable(
        &mut self,
        pairs: impl Iterator<Item = ([u8; K], [u8; V])>,
    ) -> Result<(), Failed> {
        self.connection.exec(c"PRAGMA synchronous=FULL")?;
        self.put(pairs)?;
        self.connection.exec(c"PRAGMA synchronous=OFF")
    }

    fn get(
        &self,
        first: [u8; K],
        times: u64,
        mut next: impl FnMut(Option<&[u8; V]>) -> [u8; K],
    ) -> Result<(), Failed> {
        self.connection.exec(c"BEGIN")?;
        let mut key = first;
        for _ in 0..times {
            self.get.bind_key(&key);
            let following = match self.get.step() {
                ROW => next(Some(whole(self.get.column(0))?)),
                status => {
                    self.connection.done(status)?;
                    next(None)
                }
            };
            self.get.reset();
            key = following;
        }
        self.connection.exec(c"COMMIT")
    }

    fn delete(&mut self, keys: impl Iterator<Item = [u8; K]>) -> Result<u64, Failed> {
        self.connection.exec(c"BEGIN")?;
        let mut gone = 0;
        for key in keys {
            self.delete.bind_key(&key);
            let status = self.delete.step();
            self.delete.reset();
            self.connection.done(status)?;
            // SAFETY: the connection is open.
            gone += unsafe { sqlite3_changes(self.connection.0) } as u64;
        }
        self.connection.exec(c"COMMIT")?;
        Ok(gone)
    }

    fn iterate(&self, mut each: impl FnMut(&[u8], &[u8])) -> Result<(), Failed> {
        loop {
            match self.all.step() {
                ROW if K == 8 => {
                    // SAFETY: the statement is at a row.
                    let key = unsafe { sqlite3_column_int64(self.all.0, 0) };
                    each(&key.to_le_bytes(), self.all.column(1));
                }
                ROW => each(self.all.column(0), self.all.column(1)),
                status => {
                    self.all.reset();
                    return self.connection.done(status);
                }
            }
        }
    }

    fn space(&self) -> Result<u64, Failed> {
        self.connection.exec(c"PRAGMA wal_checkpoint(TRUNCATE)")?;
        files(&self.directory)
    }
}

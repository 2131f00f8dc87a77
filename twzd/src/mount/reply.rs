// SPDX-License-Identifier: MIT OR Apache-2.0
//! How [`super::calls`] passes on what came of a call: the answer, or the error.

use std::{sync::OnceLock, time::Duration};

use fuser::{
    Errno, FileAttr, Generation, INodeNo, Notifier, ReplyAttr, ReplyEmpty, ReplyEntry, ReplyLseek,
    ReplyXattr,
};

use super::attr::Attr;

/// An inode that was looked up or made; `valid` is how long that may be relied on.
pub fn entry(valid: Duration, made: Result<FileAttr, Errno>, reply: ReplyEntry) {
    match made {
        Ok(attr) => reply.entry(&valid, &attr, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

/// That nothing has the name, for as long as the kernel makes nothing itself.
pub fn nothing(valid: Duration, reply: ReplyEntry) {
    // Of an inode with the number 0 nothing but that is read.
    let attr = Attr::of_directory(0, (0, 0)).told(0, 0, 0, 0);
    reply.entry(&valid, &attr, Generation(0));
}

/// What stat(2) says.
pub fn attr(valid: Duration, attr: Result<FileAttr, Errno>, reply: ReplyAttr) {
    match attr {
        Ok(attr) => reply.attr(&valid, &attr),
        Err(errno) => reply.error(errno),
    }
}

/// That what the kernel knows of an inode's attributes holds no more. It does not wait for
/// who is answered meanwhile.
pub fn forget(notifier: &OnceLock<Notifier>, ino: INodeNo) {
    if let Some(notifier) = notifier.get() {
        // One that it does not know any more it needs not forget.
        let _ = notifier.inval_inode(ino, -1, 0);
    }
}

/// That it was done.
pub fn empty(done: Result<(), Errno>, reply: ReplyEmpty) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

/// Where something was found.
pub fn offset(found: Result<i64, Errno>, reply: ReplyLseek) {
    match found {
        Ok(found) => reply.offset(found),
        Err(errno) => reply.error(errno),
    }
}

/// An extended attribute, or how long it is.
pub fn sized(value: Result<Vec<u8>, Errno>, size: u32, reply: ReplyXattr) {
    match (value, size as usize) {
        (Err(errno), _) => reply.error(errno),
        (Ok(value), 0) => reply.size(value.len() as u32),
        (Ok(value), room) if room < value.len() => reply.error(Errno::ERANGE),
        (Ok(value), _) => reply.data(&value),
    }
}

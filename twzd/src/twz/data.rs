// SPDX-License-Identifier: MIT OR Apache-2.0
//! The bytes of an object: `twz cat`, `twz write`, `twz resize`.

use std::{
    fs::File,
    io::{self, Read},
    path::{Path, PathBuf},
};

use clap::{Args, ValueHint};
use twz::{Backend, DATA_START, Joined, MAX_DATA, ObjectId, joined};

use crate::{
    exit::{Exit, Fail, Outcome},
    find, json,
    object::must_be_writable,
    progress::Progress,
    session::Session,
    size,
    term::count,
};

/// Bytes that are moved at a time.
const STEP: usize = 1 << 20;

/// Write an object's bytes to the standard output
///
/// With --json the bytes are text in the document, or base64 where they are
/// not UTF-8.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz cat /greeting
  twz cat 3f2a --offset 4K --length 16 | xxd")]
pub struct CatArgs {
    /// The object
    object: String,
    /// Byte to begin with
    #[arg(long, value_parser = size::parse, default_value = "0", hide_default_value = true)]
    offset: u64,
    /// How many bytes at most [default: all]
    #[arg(long, value_parser = size::parse)]
    length: Option<u64>,
}

impl CatArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let id = find::object(&*pool, &self.object)?;
        pool.stat(id)?;
        let file = Joined::find(&*pool, id)?;
        let Some(left) = file.length.checked_sub(self.offset) else {
            return Err(Fail::no(
                format!(
                    "object {id} has {} bytes, and {} is past its end",
                    file.length, self.offset
                ),
                "give a smaller --offset",
            ));
        };
        let length = left.min(self.length.unwrap_or(left));
        if session.json() {
            let mut data = Vec::new();
            read(&*pool, &file, self.offset, length, &mut |part| {
                data.extend_from_slice(part);
                Ok(())
            })?;
            let (encoding, data) = match String::from_utf8(data) {
                Ok(text) => ("utf-8", text),
                Err(error) => ("base64", base64(error.as_bytes())),
            };
            let id = id.to_string();
            let document = json::Data { id, offset: self.offset, length, encoding, data };
            session.answer(&document, |_, _| Ok(()))?;
        } else {
            let out = session.raw();
            read(&*pool, &file, self.offset, length, &mut |part| {
                out.write_all(part).map_err(Fail::stdout)
            })?;
        }
        Ok(Exit::Done)
    }
}

/// Reads `length` bytes of a file in parts.
fn read(
    pool: &dyn Backend,
    file: &Joined,
    offset: u64,
    length: u64,
    each: &mut dyn FnMut(&[u8]) -> Outcome<()>,
) -> Outcome<()> {
    let mut buffer = vec![0; STEP.min(length as usize)];
    let mut done = 0;
    while done < length {
        let step = (length - done).min(STEP as u64) as usize;
        let part = &mut buffer[..step];
        file.read(pool, offset + done, part)?;
        each(part)?;
        done += step as u64;
    }
    Ok(())
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |i: usize| three.get(i).copied().unwrap_or(0) as usize;
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for i in 0..4 {
            match i <= three.len() {
                true => text.push(DIGITS[bits >> (18 - 6 * i) & 63] as char),
                false => text.push('='),
            }
        }
    }
    text
}

/// Write bytes into an object
///
/// The object grows as far as it needs to. What lies behind the last byte
/// written stays, unless --truncate cuts it off.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  echo hello | twz write /greeting --truncate
  twz write 3f2a picture.png
  printf '\\1' | twz write /flags - --offset 16")]
pub struct WriteArgs {
    /// The object
    object: String,
    /// The file to read, or - for the standard input
    #[arg(default_value = "-", hide_default_value = true, value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Byte to begin at
    #[arg(long, value_parser = size::parse, default_value = "0", hide_default_value = true)]
    offset: u64,
    /// End the object behind the last byte written
    #[arg(long)]
    truncate: bool,
}

impl WriteArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let id = find::object(&*pool, &self.object)?;
        let stat = pool.stat(id)?;
        must_be_writable(&*pool, &stat)?;
        let mut source = Source::open(&self.file)?;
        source.must_fit(self.offset)?;
        let mut bar = session.progress("writing");
        let target = Target { pool: &*pool, id, at: self.offset, size: stat.size, fixed: false };
        let length = target.fill(&mut source, &mut bar)?;
        drop(bar);
        let end = self.offset + length;
        let mut size = Joined::find(&*pool, id)?.length;
        if self.truncate && size != end {
            joined::resize(&*pool, id, end)?;
            size = end;
        }
        pool.sync(id)?;
        let id = id.to_string();
        let sentence =
            format!("wrote {} at {}; {id} has {size} now", count(length, "byte"), self.offset);
        session.confirm(&json::Written { id, offset: self.offset, length, size }, &sentence)?;
        Ok(Exit::Done)
    }
}

/// Bytes from a file or the standard input.
pub struct Source {
    reader: Box<dyn Read>,
    path: PathBuf,
    /// How many there are, where that is known.
    length: Option<u64>,
}

impl Source {
    pub fn open(path: &Path) -> Outcome<Self> {
        if path == Path::new("-") {
            return Ok(Self { reader: Box::new(io::stdin()), path: path.into(), length: None });
        }
        let file = File::open(path).map_err(Fail::file("open", path))?;
        let stat = file.metadata().map_err(Fail::file("open", path))?;
        let length = stat.is_file().then_some(stat.len());
        Ok(Self { reader: Box::new(file), path: path.into(), length })
    }

    /// How many bytes there are; 0 where nobody knows.
    pub fn total(&self) -> u64 {
        self.length.unwrap_or(0)
    }

    /// Refuses, before anything is written, what no object can hold.
    pub fn must_fit(&self, offset: u64) -> Outcome<()> {
        match offset.checked_add(self.total()) {
            Some(end) if end <= MAX_DATA => Ok(()),
            end => Err(twz::Error::BadSize(end.unwrap_or(u64::MAX)).into()),
        }
    }

    /// Fills `buffer` as far as there are bytes.
    fn next(&mut self, buffer: &mut [u8]) -> Outcome<usize> {
        let mut have = 0;
        while have < buffer.len() {
            match self.reader.read(&mut buffer[have..]) {
                Ok(0) => break,
                Ok(got) => have += got,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Fail::file("read", &self.path)(error)),
            }
        }
        Ok(have)
    }
}

/// Where bytes go.
pub struct Target<'a> {
    pub pool: &'a dyn Backend,
    pub id: ObjectId,
    /// Byte to begin at.
    pub at: u64,
    /// Bytes of data the object has.
    pub size: u64,
    /// Whether it may not grow.
    pub fixed: bool,
}

impl Target<'_> {
    /// Writes all there is, and returns how much that was.
    pub fn fill(mut self, source: &mut Source, bar: &mut Progress) -> Outcome<u64> {
        let mut buffer = vec![0; STEP];
        let mut done = 0;
        loop {
            let got = source.next(&mut buffer)?;
            if got == 0 {
                return Ok(done);
            }
            let at = self.at + done;
            self.grow(at + got as u64)?;
            self.pool.write(self.id, DATA_START + at, &buffer[..got])?;
            done += got as u64;
            bar.bytes(done, source.total());
        }
    }

    fn grow(&mut self, end: u64) -> Outcome<()> {
        if end <= self.size {
            return Ok(());
        }
        if self.fixed {
            return Err(Fail::usage(
                format!("there are more bytes than the {} that --size gives the object", self.size),
                "leave --size out, or give a larger one",
            ));
        }
        self.pool.resize(self.id, end)?;
        self.size = end;
        Ok(())
    }
}

/// Change how many bytes an object has
///
/// New bytes are zeros, and take no space until they are written.
#[derive(Args)]
#[command(after_help = "EXAMPLES
  twz resize /log 64M
  twz resize 3f2a 0")]
pub struct ResizeArgs {
    /// The object
    object: String,
    /// Bytes of data it shall have
    #[arg(value_parser = size::parse)]
    size: u64,
}

impl ResizeArgs {
    pub fn run(&self, session: &mut Session) -> Outcome {
        let pool = session.open()?;
        let id = find::object(&*pool, &self.object)?;
        let stat = pool.stat(id)?;
        must_be_writable(&*pool, &stat)?;
        joined::resize(&*pool, id, self.size)?;
        pool.sync(id)?;
        let id = id.to_string();
        let sentence = format!("{id} has {} now, and had {}", count(self.size, "byte"), stat.size);
        let document = json::Written { id, offset: 0, length: 0, size: self.size };
        session.confirm(&document, &sentence)?;
        Ok(Exit::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_the_usual_one() {
        let cases = [
            ("", ""),
            ("f", "Zg=="),
            ("fo", "Zm8="),
            ("foo", "Zm9v"),
            ("foob", "Zm9vYg=="),
            ("fooba", "Zm9vYmE="),
            ("foobar", "Zm9vYmFy"),
        ];
        for (bytes, text) in cases {
            assert_eq!(base64(bytes.as_bytes()), text);
        }
        assert_eq!(base64(&[0xff, 0xfe, 0xfd]), "//79");
    }
}

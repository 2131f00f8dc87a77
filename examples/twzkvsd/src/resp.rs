// SPDX-License-Identifier: MIT OR Apache-2.0
//! The Redis protocol: requests out of bytes that may be anything, and replies.
//! `server.rs` has the bytes, `command.rs` does what they ask.

/// Words of a request, and bytes of one, at most.
const WORDS: usize = 1 << 20;
const BULK: usize = 512 << 20;
/// Bytes of a line at most: of numbers, or of a request as typed.
const LINE: usize = 64 << 10;

/// What the bytes begin with.
#[derive(Debug, PartialEq, Eq)]
pub enum Parsed<'a> {
    /// A request, and how many bytes it takes.
    Request(Vec<&'a [u8]>, usize),
    /// Not all of one, which will have so many bytes at least.
    More(usize),
}

/// Looks for a request at the beginning of `bytes`; an error is to be the last reply.
pub fn parse(bytes: &[u8]) -> Result<Parsed<'_>, &'static str> {
    let Some((first, mut at)) = line(bytes, 0)? else { return Ok(Parsed::More(bytes.len() + 1)) };
    let Some((b'*', count)) = first.split_first() else {
        let words = first.split(|byte| byte.is_ascii_whitespace()).filter(|word| !word.is_empty());
        return Ok(Parsed::Request(words.collect(), at));
    };
    let count = number(count, WORDS).ok_or("Protocol error: invalid multibulk length")?;
    let mut words = Vec::with_capacity(count.min(64));
    for _ in 0..count {
        let Some((head, start)) = line(bytes, at)? else { break };
        let Some((b'$', len)) = head.split_first() else {
            return Err("Protocol error: expected '$'");
        };
        let len = number(len, BULK).ok_or("Protocol error: invalid bulk length")?;
        let Some(word) = bytes.get(start..start + len) else {
            return Ok(Parsed::More(start + len + 2));
        };
        match bytes.get(start + len..start + len + 2) {
            None => return Ok(Parsed::More(start + len + 2)),
            Some(b"\r\n") => words.push(word),
            Some(_) => return Err("Protocol error: a bulk string does not end where it says"),
        }
        at = start + len + 2;
    }
    match words.len() == count {
        true => Ok(Parsed::Request(words, at)),
        false => Ok(Parsed::More(bytes.len() + 1)),
    }
}

/// The line that begins at `at`, and where the next one does.
fn line(bytes: &[u8], at: usize) -> Result<Option<(&[u8], usize)>, &'static str> {
    let rest = bytes.get(at..).unwrap_or_default();
    match rest.iter().take(LINE).position(|&byte| byte == b'\n') {
        Some(end) => {
            let line = &rest[..end];
            Ok(Some((line.strip_suffix(b"\r").unwrap_or(line), at + end + 1)))
        }
        None if rest.len() >= LINE => Err("Protocol error: too big inline request"),
        None => Ok(None),
    }
}

/// A number of at most `most`; redis-cli sends no signs and no spaces.
pub fn number(digits: &[u8], most: usize) -> Option<usize> {
    if digits.is_empty() || digits.len() > 19 || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    usize::try_from(number).ok().filter(|&number| number <= most)
}

/// Replies that have not been sent yet.
#[derive(Default)]
pub struct Reply {
    pub bytes: Vec<u8>,
    /// Where those begin that are true only when what they answer is durable.
    promised: Vec<usize>,
}

impl Reply {
    /// The word `OK`, to be kept or taken back by [`Reply::settle`].
    pub fn promise(&mut self) {
        self.promised.push(self.bytes.len());
        self.simple("OK");
    }

    /// Has what was promised be true, or has this error in its place.
    pub fn settle(&mut self, failed: Option<&str>) {
        let promised = std::mem::take(&mut self.promised);
        let Some(why) = failed.filter(|_| !promised.is_empty()) else { return };
        let all = std::mem::take(&mut self.bytes);
        let mut from = 0;
        for at in promised {
            self.bytes.extend_from_slice(&all[from..at]);
            self.error(why);
            from = at + b"+OK\r\n".len();
        }
        self.bytes.extend_from_slice(&all[from..]);
    }

    /// Forgets all of them.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.promised.clear();
    }

    /// A word of the protocol, such as `OK`.
    pub fn simple(&mut self, text: &str) {
        self.head(b'+', text.as_bytes());
    }

    /// An error, of one line.
    pub fn error(&mut self, text: &str) {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        self.head(b'-', text.as_bytes());
    }

    /// A number.
    pub fn number(&mut self, number: u64) {
        self.head(b':', number.to_string().as_bytes());
    }

    /// Bytes, or nothing.
    pub fn bulk(&mut self, bytes: Option<&[u8]>) {
        let Some(bytes) = bytes else { return self.head(b'$', b"-1") };
        self.head(b'$', bytes.len().to_string().as_bytes());
        self.bytes.extend_from_slice(bytes);
        self.bytes.extend_from_slice(b"\r\n");
    }

    /// The beginning of so many replies that are one.
    pub fn array(&mut self, len: usize) {
        self.head(b'*', len.to_string().as_bytes());
    }

    fn head(&mut self, kind: u8, text: &[u8]) {
        self.bytes.push(kind);
        self.bytes.extend_from_slice(text);
        self.bytes.extend_from_slice(b"\r\n");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &[u8] = b"*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$4\r\na\r\nb\r\n";

    #[test]
    fn a_request_is_found_and_its_every_beginning_is_not_one_yet() {
        let words = vec![&b"SET"[..], b"k", b"a\r\nb"];
        assert_eq!(parse(SET), Ok(Parsed::Request(words, SET.len())));
        for len in 0..SET.len() {
            assert!(matches!(parse(&SET[..len]), Ok(Parsed::More(more)) if more > len), "{len}");
        }
        let typed = parse(b"  get  k\r\nrest");
        assert_eq!(typed, Ok(Parsed::Request(vec![&b"get"[..], b"k"], 10)));
        assert_eq!(parse(b"\r\n"), Ok(Parsed::Request(vec![], 2)));
        assert_eq!(parse(b"*0\r\n"), Ok(Parsed::Request(vec![], 4)));
    }

    #[test]
    fn what_could_not_be_kept_is_taken_back() {
        let mut reply = Reply::default();
        reply.promise();
        reply.settle(None);
        // What is settled stays.
        reply.settle(Some("ERR late"));
        assert_eq!(reply.bytes, b"+OK\r\n");
        reply.clear();
        reply.promise();
        reply.number(1);
        reply.promise();
        reply.simple("OK");
        reply.settle(Some("ERR full"));
        assert_eq!(reply.bytes, b"-ERR full\r\n:1\r\n-ERR full\r\n+OK\r\n");
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for wrong in [
            &b"*-1\r\n"[..],
            b"*x\r\n",
            b"*99999999999999999999999\r\n",
            b"*2000000\r\n",
            b"*1\r\n:1\r\n",
            b"*1\r\n$-1\r\n",
            b"*1\r\n$536870913\r\n",
            b"*1\r\n$1\r\nab\r\n",
        ] {
            assert!(parse(wrong).is_err(), "{:?}", String::from_utf8_lossy(wrong));
        }
        assert!(parse(&vec![b'a'; 1 << 17]).is_err());
    }

    #[test]
    fn nothing_makes_it_panic_or_read_past_the_end() {
        let mut state = 1u64;
        let mut dice = |sides: u64| {
            state = state
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % sides
        };
        let alphabet = b"*$0123456789-\r\n\r\n\r\nSETk\0\xff";
        let mut requests = 0;
        for _ in 0..200_000 {
            let mut bytes = match dice(2) {
                0 => SET.to_vec(),
                _ => {
                    (0..dice(40)).map(|_| alphabet[dice(alphabet.len() as u64) as usize]).collect()
                }
            };
            for _ in 0..dice(4) {
                if !bytes.is_empty() {
                    let at = dice(bytes.len() as u64) as usize;
                    bytes[at] = alphabet[dice(alphabet.len() as u64) as usize];
                }
            }
            match parse(&bytes) {
                Ok(Parsed::Request(_, len)) => {
                    assert!(len > 0 && len <= bytes.len());
                    requests += 1;
                }
                Ok(Parsed::More(more)) => assert!(more > bytes.len()),
                Err(_) => {}
            }
        }
        assert!(requests > 10_000, "{requests}");
    }
}

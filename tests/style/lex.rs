// SPDX-License-Identifier: MIT OR Apache-2.0
//! Just enough of Rust's grammar for the rules: code without its comments and
//! strings, the functions in it, and the parts that are only for tests.

use std::ops::Range;

/// The same text, line for line and byte for byte, with every comment, string
/// and character literal blanked, so that a word found in it is code.
pub fn code(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut out = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = blank_end(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut out[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Where the comment or literal that starts at `at` ends; `at` if none does.
fn blank_end(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    let starts_word = at == 0 || !is_word(bytes[at - 1]);
    match rest[0] {
        b'/' if rest.starts_with(b"//") => at + find(rest, b"\n").unwrap_or(rest.len()),
        b'/' if rest.starts_with(b"/*") => at + block_comment(rest),
        b'"' => at + quoted(rest, b'"'),
        b'r' | b'b' | b'c' if starts_word => at + raw_string(rest).unwrap_or(0),
        // A lifetime has no closing quote after one character; a char literal has.
        b'\'' if rest.get(1) == Some(&b'\\') => at + quoted(rest, b'\''),
        b'\'' => {
            let letter = std::str::from_utf8(&rest[1..rest.len().min(5)])
                .unwrap_or_else(|e| {
                    std::str::from_utf8(&rest[1..1 + e.valid_up_to()]).unwrap_or_default()
                })
                .chars()
                .next()
                .map_or(0, char::len_utf8);
            if letter > 0 && rest.get(1 + letter) == Some(&b'\'') { at + letter + 2 } else { at }
        }
        _ => at,
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

/// The length of a block comment; they nest.
fn block_comment(rest: &[u8]) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        if rest[at..].starts_with(b"/*") {
            (depth, at) = (depth + 1, at + 2);
        } else if rest[at..].starts_with(b"*/") {
            (depth, at) = (depth - 1, at + 2);
            if depth == 0 {
                return at;
            }
        } else {
            at += 1;
        }
    }
    rest.len()
}

/// The length of a literal with backslash escapes, from its opening quote.
fn quoted(rest: &[u8], quote: u8) -> usize {
    let mut at = 1;
    while at < rest.len() && rest[at] != quote {
        at += 1 + usize::from(rest[at] == b'\\');
    }
    rest.len().min(at + 1)
}

/// The length of `r"…"`, `br#"…"#` and their like.
fn raw_string(rest: &[u8]) -> Option<usize> {
    let prefix = rest.iter().take_while(|b| matches!(b, b'r' | b'b' | b'c')).count();
    if prefix > 2 || rest[prefix - 1] != b'r' {
        return None;
    }
    let hashes = rest[prefix..].iter().take_while(|b| **b == b'#').count();
    let body = prefix + hashes + 1;
    if rest.get(body - 1) != Some(&b'"') {
        return None;
    }
    let close = [&b"\""[..], &b"#".repeat(hashes)].concat();
    Some(find(&rest[body..], &close).map_or(rest.len(), |end| body + end + close.len()))
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

/// Where a word stands by itself.
pub fn words<'a>(text: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let bytes = text.as_bytes();
    text.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let after = bytes.get(at + word.len());
        (at == 0 || !is_word(bytes[at - 1])) && !after.is_some_and(|b| is_word(*b))
    })
}

/// The 1-based line of a byte.
pub fn line_of(text: &str, at: usize) -> usize {
    text[..at].matches('\n').count() + 1
}

/// The bytes from `at` to the end of the item there: its closing brace, or its
/// semicolon if it has no body.
pub fn item(code: &str, at: usize) -> Range<usize> {
    let (mut round, mut curly) = (0, 0);
    for (i, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'(' | b'[' => round += 1,
            b')' | b']' => round -= 1,
            b'{' => curly += 1,
            b'}' => {
                curly -= 1;
                if curly <= 0 && round <= 0 {
                    return at..i + 1;
                }
            }
            b';' if round <= 0 && curly == 0 => return at..i + 1,
            _ => {}
        }
    }
    at..code.len()
}

/// Where the first square bracket from `at` on is closed again.
pub fn bracket_end(code: &str, at: usize) -> usize {
    let mut depth = 0;
    for (i, byte) in code.bytes().enumerate().skip(at) {
        match byte {
            b'[' => depth += 1,
            b']' if depth == 1 => return i,
            b']' => depth -= 1,
            _ => {}
        }
    }
    code.len()
}

/// Every named function: its name, and where its signature and body stand.
pub fn functions(code: &str) -> Vec<(&str, Range<usize>)> {
    words(code, "fn")
        .filter_map(|at| {
            let after = code[at + 2..].trim_start();
            let name = &after[..after.bytes().take_while(|b| is_word(*b)).count()];
            // `fn(u8)` is a type.
            (!name.is_empty()).then(|| (name, item(code, at)))
        })
        .collect()
}

/// The code with every item under `#[cfg(test)]` or `#[test]` blanked.
pub fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    for mark in ["#[cfg(test)]", "#[test]", "#[cfg(any(test"] {
        let mut from = 0;
        while let Some(found) = out[from..].find(mark) {
            let at = from + found;
            // Past the attribute, so that its brackets are not the item's.
            let range = at..item(&out, bracket_end(&out, at) + 1).end;
            let blank: String =
                out[range.clone()].chars().map(|c| if c == '\n' { c } else { ' ' }).collect();
            from = at + blank.len();
            out.replace_range(range, &blank);
        }
    }
    out
}

#[test]
fn comments_and_literals_are_blanked_in_place() {
    let text = "a /* b /* c */ d */ e // f\n\"g\\\"h\" 'i' '\\'' 'j: r#\"k\"l\"# b\"m\" brim 'é' n";
    let code = code(text);
    assert_eq!(code.len(), text.len());
    let left: Vec<&str> = code.split_whitespace().collect();
    assert_eq!(left, ["a", "e", "'j:", "b", "brim", "n"]);
}

#[test]
fn functions_end_where_they_end() {
    let code = "trait T { fn a(x: [u8; 4]); }\nfn b() {\n  if x { y }\n}\ntype F = fn(u8);";
    let found: Vec<_> = functions(code).into_iter().map(|(n, r)| (n, &code[r])).collect();
    assert_eq!(found, [("a", "fn a(x: [u8; 4]);"), ("b", "fn b() {\n  if x { y }\n}")]);
}

#[test]
fn tests_are_blanked() {
    let code = "fn a() {}\n#[cfg(test)]\nmod tests {\n fn b() { c }\n}\nfn d() {}";
    let left = without_tests(code);
    assert!(left.contains("fn a") && left.contains("fn d") && !left.contains("fn b"));
    assert_eq!(left.lines().count(), code.lines().count());
}

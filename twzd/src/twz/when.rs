// SPDX-License-Identifier: MIT OR Apache-2.0
//! Instants on the command line: `+90m`, `@1780000000`, `2026-11-21T08:30Z`.
//! Inside they are nanoseconds since 1970, as grants have them.

use crate::size::date as date_in_words;

const SECOND: u64 = 1_000_000_000;
const DAY: u64 = 86_400;

/// What the help says.
pub const FORMS: &str =
    "+90m from now (s, m, h, d), @SECONDS since 1970, or 2026-11-21[T08:30[:00]]Z";

/// Reads an instant.
pub fn parse(text: &str) -> Result<u64, String> {
    let refuse = || format!("an instant is {FORMS}");
    let seconds = match text.as_bytes().first() {
        Some(b'+') => {
            let ahead = duration(&text[1..]).ok_or_else(refuse)?;
            (twz::security::now() / SECOND).checked_add(ahead)
        }
        Some(b'@') => text[1..].parse().ok(),
        _ => Some(date(text).ok_or_else(refuse)?),
    };
    seconds.and_then(|seconds| seconds.checked_mul(SECOND)).ok_or_else(refuse)
}

fn duration(text: &str) -> Option<u64> {
    let unit = match text.bytes().last()? {
        b's' => 1,
        b'm' => 60,
        b'h' => 3600,
        b'd' => DAY,
        _ => return None,
    };
    text.get(..text.len() - 1)?.parse::<u64>().ok()?.checked_mul(unit)
}

fn date(text: &str) -> Option<u64> {
    let text = text.strip_suffix('Z')?;
    let (date, time) = text.split_once('T').unwrap_or((text, "00:00"));
    let mut parts = date.splitn(3, '-').map(number);
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    let mut parts = time.splitn(3, ':').map(number);
    let (hour, minute) = (parts.next()??, parts.next()??);
    let second = parts.next().unwrap_or(Some(0))?;
    let right = (1970..10_000).contains(&year)
        && (1..=12).contains(&month)
        && (1..=days_in(year, month)).contains(&day)
        && (hour < 24 && minute < 60 && second < 60);
    right.then(|| days(year, month, day) * DAY + hour * 3600 + minute * 60 + second)
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.len() <= 4 && text.bytes().all(|c| c.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

fn is_leap(year: u64) -> bool {
    year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
}

fn days_in(year: u64, month: u64) -> u64 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Days from 1970 to a date.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let years: u64 = (1970..year).map(|year| 365 + is_leap(year) as u64).sum();
    let months: u64 = (1..month).map(|month| days_in(year, month)).sum();
    years + months + day - 1
}

/// An instant in words.
pub fn show(nanoseconds: u64) -> String {
    date_in_words(nanoseconds / SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read() {
        for (text, seconds) in [
            ("1970-01-01Z", 0),
            ("2000-02-29Z", 951_782_400),
            ("2026-11-21T08:30Z", 1_795_249_800),
            ("2026-11-21T08:30:05Z", 1_795_249_805),
            ("@77", 77),
        ] {
            let read = parse(text);
            assert_eq!(read, Ok(seconds * SECOND), "{text}");
        }
        assert_eq!(show(1_795_249_805 * SECOND), "2026-11-21 08:30:05 UTC");
        let hour = parse("+1h").unwrap();
        assert!(hour > twz::security::now() + 3_590 * SECOND);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "+",
            "+5",
            "+5y",
            "-1h",
            "@",
            "@x",
            "2026-11-21",
            "2026-02-29Z",
            "2026-13-01Z",
            "1969-01-01Z",
            "2026-1-1T24:00Z",
            "@99999999999999999999",
            "+99999999999999999d",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}

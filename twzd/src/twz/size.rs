// SPDX-License-Identifier: MIT OR Apache-2.0
//! Sizes and points in time as people write and read them. A JSON document
//! always has plain bytes and seconds instead.

const UNITS: [(char, u64); 3] = [('K', 1 << 10), ('M', 1 << 20), ('G', 1 << 30)];

/// Reads `4096`, `4K`, `64M`, `1G`, also as `64MiB`.
pub fn parse(text: &str) -> Result<u64, String> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let unit = match text[digits.len()..].to_ascii_uppercase().as_str() {
        "" | "B" => 1,
        suffix => {
            let known = UNITS.iter().find(|(letter, _)| {
                suffix.strip_prefix(*letter).is_some_and(|rest| matches!(rest, "" | "IB"))
            });
            known.ok_or("a size is a number of bytes, or one with K, M or G behind it")?.1
        }
    };
    let number: u64 = digits.parse().map_err(
        |_| "a size is a whole number of bytes, as in 4096, or one with K, M or G, as in 64M",
    )?;
    number.checked_mul(unit).ok_or_else(|| "no object or pool can be that large".into())
}

/// Writes `17 B`, `4.0 KiB`, `1.5 MiB`.
pub fn human(bytes: u64) -> String {
    match UNITS.iter().rev().find(|(_, unit)| bytes >= *unit) {
        Some((letter, unit)) => format!("{:.1} {letter}iB", bytes as f64 / *unit as f64),
        None => format!("{bytes} B"),
    }
}

/// Writes seconds since 1970 as `2026-03-21 14:05:09 UTC`.
pub fn date(seconds: u64) -> String {
    let (days, second) = (seconds / 86400, seconds % 86400);
    // Years that begin in March, in cycles of 400: the leap day comes last.
    let shifted = days + 719_468;
    let (cycle, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = cycle * 400 + year + u64::from(month <= 2);
    let (h, m, s) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {h:02}:{m:02}:{s:02} UTC")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read() {
        assert_eq!(parse("0"), Ok(0));
        assert_eq!(parse("4096"), Ok(4096));
        assert_eq!(parse("17B"), Ok(17));
        assert_eq!(parse("4k"), Ok(4096));
        assert_eq!(parse("64M"), Ok(64 << 20));
        assert_eq!(parse("64MiB"), Ok(64 << 20));
        assert_eq!(parse("1G"), Ok(1 << 30));
    }

    #[test]
    fn what_is_no_size_is_refused() {
        for bad in ["", "M", "-1", "1.5M", "4X", "4Mi", "4KK", "1 M", "0x10", "99999999999999G"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes_are_written() {
        assert_eq!(human(0), "0 B");
        assert_eq!(human(1023), "1023 B");
        assert_eq!(human(4096), "4.0 KiB");
        assert_eq!(human(3 << 19), "1.5 MiB");
        assert_eq!(human(5 << 30), "5.0 GiB");
    }

    #[test]
    fn dates_are_written() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(951_782_399), "2000-02-28 23:59:59 UTC");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00 UTC");
        assert_eq!(date(1_774_102_000), "2026-03-21 14:06:40 UTC");
        assert_eq!(date(4_107_542_400), "2100-03-01 00:00:00 UTC");
    }
}

//! How things are written: bounded, and without a character that does something to a terminal.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long a name is shown.
pub(crate) const NAME: usize = 1200;

/// Text of unknown content, so much of it: what is no text as `\xNN`, and what controls a terminal, escaped.
pub(crate) fn plain(bytes: &[u8], most: usize) -> String {
    let shown = &bytes[..bytes.len().min(most)];
    let mut text = String::with_capacity(shown.len());
    for chunk in shown.utf8_chunks() {
        for character in chunk.valid().chars() {
            match character {
                '\\' => text.push_str("\\\\"),
                ' '..='~' => text.push(character),
                _ => text.extend(character.escape_debug()),
            }
        }
        for byte in chunk.invalid() {
            // There is no error when a string is written to.
            let _ = write!(text, "\\x{byte:02x}");
        }
    }
    if shown.len() < bytes.len() {
        let _ = write!(text, ".. ({} more)", size(bytes.len() - shown.len()));
    }
    text
}

/// The text that [`plain`] writes like this. `None` where it writes nothing so.
pub(crate) fn from_plain(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, escape)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let kind = escape.chars().next()?;
        let after = &escape[kind.len_utf8()..];
        let code = |digits: &str| u32::from_str_radix(digits, 16).ok();
        rest = match kind {
            '\\' | '\'' | '"' => {
                bytes.push(kind as u8);
                after
            }
            'n' | 'r' | 't' | '0' => {
                bytes.push(b"\n\r\t\0"["nrt0".find(kind)?]);
                after
            }
            'x' => {
                bytes.push(u8::try_from(code(after.get(..2)?)?).ok()?);
                &after[2..]
            }
            'u' => {
                let (digits, after) = after.strip_prefix('{')?.split_once('}')?;
                let character = char::from_u32(code(digits)?)?;
                bytes.extend_from_slice(character.encode_utf8(&mut [0; 4]).as_bytes());
                after
            }
            _ => return None,
        };
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

/// The lines of a text, each written as [`plain`] does, for what is shown as it is.
pub(crate) fn plain_lines(bytes: &[u8], most: usize) -> String {
    let lines: Vec<_> = bytes[..bytes.len().min(most)]
        .split(|byte| *byte == b'\n')
        .map(|line| plain(line.strip_suffix(b"\r").unwrap_or(line), usize::MAX))
        .collect();
    let mut text = lines.join("\n");
    if bytes.len() > most {
        let _ = write!(text, "\n.. ({} more)", size(bytes.len() - most));
    }
    text
}

/// A length, `1.2 KiB` for instance.
pub(crate) fn size(bytes: usize) -> String {
    if bytes == 1 {
        return "1 byte".to_owned();
    }
    let units = [("GiB", 30), ("MiB", 20), ("KiB", 10)];
    match units.iter().find(|(_, shift)| bytes >> shift > 0) {
        // Exact enough for people.
        Some((unit, shift)) => format!("{:.1} {unit}", bytes as f64 / (1_u64 << shift) as f64),
        None => format!("{bytes} bytes"),
    }
}

/// A time, in the two largest units that it has.
pub(crate) fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    let two = |[(large, first), (small, second)]: [(u64, &str); 2]| match small {
        0 => format!("{large} {first}"),
        _ => format!("{large} {first} {small} {second}"),
    };
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..60 => format!("{seconds}.{} s", time.subsec_millis() / 100),
        60..3600 => two([(seconds / 60, "min"), (seconds % 60, "s")]),
        3600..86_400 => two([(seconds / 3600, "h"), (seconds / 60 % 60, "min")]),
        _ => two([(seconds / 86_400, "d"), (seconds / 3600 % 24, "h")]),
    }
}

/// A date and a time, UTC.
pub(crate) fn date(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
    // Howard Hinnant's civil_from_days: years begin in March.
    let days = since / 86_400 + 719_468;
    let (era, of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let (month, turn) = if month < 10 { (month + 3, 0) } else { (month - 9, 1) };
    let year = year_of_era + era * 400 + turn;
    format!("{year}-{month:02}-{day:02} {} UTC", clock(since))
}

/// The time of the day, UTC.
pub(crate) fn time_of_day(at: SystemTime) -> String {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    format!("{}.{:03}", clock(since.as_secs()), since.subsec_millis())
}

fn clock(since: u64) -> String {
    format!("{:02}:{:02}:{:02}", since / 3600 % 24, since / 60 % 60, since % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_is_written_does_something_to_a_terminal() {
        let hostile = "a\r\n\x1b[31m\u{202e}b\0\u{9b}\\ü".as_bytes();
        let written = plain(&[hostile, b"\xff"].concat(), NAME);
        assert_eq!(written, r"a\r\n\u{1b}[31m\u{202e}b\0\u{9b}\\ü\xff");
        assert_eq!(plain(b"abcd", 2), "ab.. (2 bytes more)");
        assert_eq!(plain_lines(b"a\r\nb\x07\n", 100), "a\nb\\u{7}\n");
    }

    #[test]
    fn what_was_written_can_be_given_back() {
        for bytes in [&b"plain"[..], b"a\\b\n\0\x1b\xff\xfe", "käse\u{202e}日本".as_bytes()] {
            assert_eq!(from_plain(&plain(bytes, NAME)).as_deref(), Some(bytes));
        }
        for text in ["\\", "\\x", "\\xg0", "\\u{110000}", "\\u{", "\\q", "\\xü"] {
            assert_eq!(from_plain(text), None, "{text}");
        }
    }

    #[test]
    fn times_and_lengths_are_for_people() {
        let at = |seconds| UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(date(at(0)), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(at(951_827_696)), "2000-02-29 12:34:56 UTC");
        assert_eq!(date(at(253_402_300_799)), "9999-12-31 23:59:59 UTC");
        for (millis, text) in [
            (0, "0 ms"),
            (999, "999 ms"),
            (1500, "1.5 s"),
            (61_000, "1 min 1 s"),
            (7_200_000, "2 h"),
        ] {
            assert_eq!(span(Duration::from_millis(millis)), text);
        }
        assert_eq!(span(Duration::MAX), "213503982334601 d 7 h");
        for (bytes, text) in [(0, "0 bytes"), (1, "1 byte"), (1536, "1.5 KiB"), (3 << 30, "3.0 GiB")] {
            assert_eq!(size(bytes), text);
        }
    }
}

//! [`Readable`]: a name as it may appear in a log.

use std::fmt::{self, Write};

/// The most characters that are shown.
const MOST: usize = 256;

/// Shows a name of unknown content: keys may hold anything that a client sends.
#[derive(Clone, Copy)]
pub(crate) struct Readable<'a>(pub(crate) &'a str);

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0;
        let end = text.char_indices().nth(MOST).map_or(text.len(), |(end, _)| end);
        for character in text[..end].chars() {
            match character {
                ' '..='~' => f.write_char(character)?,
                _ => write!(f, "{}", character.escape_debug())?,
            }
        }
        if end < text.len() {
            write!(f, "... ({} bytes)", text.len())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_bounded_and_harmless() {
        for plain in ["t:{GET //a/b \"c\"}", "käse 日本"] {
            assert_eq!(Readable(plain).to_string(), plain);
        }
        let hostile = "a\r\n\x1b[31m\u{202e}b\0";
        assert_eq!(Readable(hostile).to_string(), r"a\r\n\u{1b}[31m\u{202e}b\0");
        let long = "ü".repeat(500);
        assert_eq!(
            Readable(&long).to_string(),
            format!("{}... (1000 bytes)", "ü".repeat(256))
        );
    }
}

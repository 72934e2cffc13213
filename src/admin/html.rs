//! Writes the texts of pages.

use std::fmt::{self, Write};
use std::time::Duration;

/// A text between tags, or in quotes.
pub(super) struct HtmlText<T>(pub(super) T);

impl<T: fmt::Display> fmt::Display for HtmlText<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        struct Writer<'a, 'b>(&'a mut fmt::Formatter<'b>);
        impl Write for Writer<'_, '_> {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                for character in text.chars() {
                    match character {
                        '&' => self.0.write_str("&amp;")?,
                        '<' => self.0.write_str("&lt;")?,
                        '>' => self.0.write_str("&gt;")?,
                        '"' => self.0.write_str("&quot;")?,
                        '\'' => self.0.write_str("&#39;")?,
                        _ => self.0.write_char(character)?,
                    }
                }
                Ok(())
            }
        }
        write!(Writer(f), "{}", self.0)
    }
}

pub(super) fn section<T>(
    page: &mut String,
    title: &str,
    none: &str,
    columns: &[&str],
    items: &[T],
    row: impl Fn(&mut String, &T) -> fmt::Result,
) {
    let _ = writeln!(page, "<section>\n<h2>{title}</h2>");
    if items.is_empty() {
        let _ = writeln!(page, "<p class=\"hint\">{none}</p>\n</section>");
        return;
    }
    page.push_str("<div class=\"scroll\"><table>\n<thead><tr>");
    for column in columns {
        let _ = write!(page, "<th scope=\"col\">{column}</th>");
    }
    page.push_str("</tr></thead>\n<tbody>\n");
    for item in items {
        page.push_str("<tr>");
        let _ = row(page, item);
        page.push_str("</tr>\n");
    }
    page.push_str("</tbody></table></div>\n</section>\n");
}

pub(super) struct Percent(pub(super) Option<f64>);

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(ratio) => write!(f, "{:.1} %", ratio * 100.0),
            None => f.write_str("\u{2013}"),
        }
    }
}

/// A time span, as coarse as people read it.
pub(super) struct Time(pub(super) Duration);

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        match seconds {
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..=9 => write!(f, "{:.1} s", self.0.as_secs_f64()),
            10..=119 => write!(f, "{seconds} s"),
            120..=7199 => write!(f, "{} min", seconds / 60),
            _ => write!(f, "{} h", seconds / 3600),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::key::Readable;

    #[test]
    fn what_a_key_holds_is_text() {
        let key = "t:{GET //a/<script>alert('1')</script>&\"\u{202e}";
        assert_eq!(
            HtmlText(Readable(key)).to_string(),
            r"t:{GET //a/&lt;script&gt;alert(&#39;1&#39;)&lt;/script&gt;&amp;&quot;\u{202e}"
        );
    }
}

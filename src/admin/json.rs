//! [`JsonText`]: writes JSON.

use std::fmt::{Display, Write};

/// JSON that grows.
#[derive(Default)]
pub(super) struct JsonText {
    text: String,
    /// Whether the next value has one before it.
    follows: bool,
}

impl JsonText {
    pub(super) fn into_text(self) -> String {
        self.text
    }

    fn separate(&mut self) {
        if std::mem::replace(&mut self.follows, true) {
            self.text.push(',');
        }
    }

    fn nest(&mut self, [open, close]: [char; 2], fill: impl FnOnce(&mut Self)) {
        self.separate();
        self.text.push(open);
        self.follows = false;
        fill(self);
        self.text.push(close);
        self.follows = true;
    }

    pub(super) fn object(&mut self, fill: impl FnOnce(&mut Self)) {
        self.nest(['{', '}'], fill);
    }

    pub(super) fn array<T>(&mut self, items: impl IntoIterator<Item = T>, mut each: impl FnMut(&mut Self, T)) {
        self.nest(['[', ']'], |json| {
            items.into_iter().for_each(|item| each(json, item));
        });
    }

    /// The name of the next value.
    pub(super) fn name(&mut self, name: &str) -> &mut Self {
        self.text(name);
        self.text.push(':');
        self.follows = false;
        self
    }

    pub(super) fn text(&mut self, text: &str) {
        self.separate();
        self.text.push('"');
        for character in text.chars() {
            match character {
                '"' | '\\' => self.text.extend(['\\', character]),
                // The last two are ends of a line in JavaScript.
                '\0'..='\x1f' | '\x7f' | '\u{2028}' | '\u{2029}' => {
                    // Only the writer could fail.
                    let _ = write!(self.text, "\\u{:04x}", u32::from(character));
                }
                _ => self.text.push(character),
            }
        }
        self.text.push('"');
    }

    /// A number, or `true` or `false`.
    pub(super) fn plain(&mut self, value: impl Display) {
        self.separate();
        let _ = write!(self.text, "{value}");
    }

    /// A number with three decimals, or `null`.
    pub(super) fn decimal(&mut self, value: Option<f64>) {
        match value {
            Some(value) => self.plain(format_args!("{value:.3}")),
            None => self.plain("null"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_apart_and_texts_escaped() {
        let mut json = JsonText::default();
        json.object(|json| {
            json.name("a\"b").text("\\\n\u{1f}\u{2028}\u{e4}</script>");
            json.name("list").array([1, 2], |json, number| json.plain(number));
            json.name("none").array([0; 0], |json, number| json.plain(number));
            json.name("objects").array(["x", "y"], |json, name| {
                json.object(|json| json.name(name).decimal(Some(0.5)));
            });
            json.name("null").decimal(None);
        });
        assert_eq!(
            json.into_text(),
            r#"{"a\"b":"\\\u000a\u001f\u2028ä</script>","list":[1,2],"none":[],"objects":[{"x":0.500},{"y":0.500}],"null":null}"#
        );
    }
}

//! [`Label`]: a tag of a value, in bounded form.

use std::collections::BinaryHeap;
use std::fmt;

use sha2::{Digest, Sha256};

use super::builder::push_hex;
use super::readable::Readable;

/// The most labels of one value.
pub const MAX_LABELS: usize = 256;

/// The longest tag of a value, in bytes, that its label holds to the letter; the label of a longer tag holds its
/// SHA-256.
const MAX_PLAIN: usize = 64;

/// A tag of a value, in the form in which stores keep it: at most 65 bytes.
///
/// Not to be confused with a [`Tag`](super::Tag), which names the kind of resource that a value is of. Any string
/// except the empty one can be the tag of a value.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

impl Label {
    /// The label of a value's tag.
    ///
    /// # Errors
    ///
    /// [`LabelError::Empty`] where the tag has no characters.
    pub fn new(tag: &str) -> Result<Self, LabelError> {
        if tag.is_empty() {
            return Err(LabelError::Empty);
        }
        Ok(Self::bounded(["t", "h"], tag))
    }

    /// The label of a group of responses of one origin, which has no blank (RFC 9875). No tag has the same.
    pub(crate) fn group(origin: &str, name: &str) -> Self {
        Self::bounded(["g", "i"], &[origin, " ", name].concat())
    }

    fn bounded([plain, digested]: [&str; 2], text: &str) -> Self {
        if text.len() <= MAX_PLAIN {
            return Self([plain, text].concat());
        }
        let mut label = String::with_capacity(65);
        label.push_str(digested);
        push_hex(&mut label, &Sha256::digest(text.as_bytes()));
        Self(label)
    }

    /// The labels of a value's tags, each once.
    ///
    /// # Errors
    ///
    /// A [`LabelError`] where there are more than [`MAX_LABELS`], or a text cannot be a tag.
    pub fn all<T: AsRef<str>>(tags: &[T]) -> Result<Vec<Self>, LabelError> {
        let labels: Result<Vec<_>, _> = tags.iter().map(|tag| Self::new(tag.as_ref())).collect();
        let labels = Self::each_once(labels?);
        if labels.len() > MAX_LABELS {
            return Err(LabelError::TooMany(labels.len()));
        }
        Ok(labels)
    }

    /// These labels, sorted, and each once.
    pub(crate) fn each_once(labels: Vec<Self>) -> Vec<Self> {
        // A heap needs a tenth of the code of a sort, and they are few.
        let mut labels = BinaryHeap::from(labels).into_sorted_vec();
        labels.dedup();
        labels
    }

    /// The label that another process wrote.
    pub(crate) fn from_written(label: &str) -> Option<Self> {
        label.starts_with(['t', 'h', 'g', 'i']).then(|| Self(label.to_owned()))
    }

    /// The label as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Label({})", Readable(&self.0))
    }
}

/// What is wrong with the tags of a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LabelError {
    /// A tag has no characters.
    #[error("the tag of a value is empty")]
    Empty,
    /// There are more than [`MAX_LABELS`].
    #[error("the value has {0} tags, the most is {MAX_LABELS}")]
    TooMany(usize),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_string_has_a_label_of_bounded_length() {
        let long = "x".repeat(MAX_PLAIN);
        let longer = "x".repeat(MAX_PLAIN + 1);
        for tag in ["a", "a b:c{d}", "größe\0", &long] {
            assert_eq!(Label::new(tag).unwrap().as_str(), ["t", tag].concat());
        }
        assert_eq!(Label::new(&longer).unwrap().as_str().len(), 65);
        assert_ne!(Label::new(&longer), Label::new(&"x".repeat(MAX_PLAIN + 2)));
        let digest = Label::new(&longer).unwrap();
        assert_ne!(Label::new(digest.as_str()), Ok(digest), "a digest is no tag");
        assert_eq!(Label::new(""), Err(LabelError::Empty));
    }

    #[test]
    fn labels_are_each_there_once_and_not_too_many() {
        assert_eq!(Label::all(&["b", "a", "b"]).unwrap(), Label::all(&["a", "b"]).unwrap());
        let many: Vec<_> = (0..=MAX_LABELS).map(|n| n.to_string()).collect();
        assert_eq!(Label::all(&many), Err(LabelError::TooMany(MAX_LABELS + 1)));
        assert_eq!(Label::all(&many[1..]).unwrap().len(), MAX_LABELS);
        assert_eq!(Label::all(&["a", ""]), Err(LabelError::Empty));
    }
}

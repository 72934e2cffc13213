//! [`Tag`]: a kind of resource.

use std::fmt;

use super::error::KeyError;

/// The longest tag, in bytes, that [`Tag::new`] takes.
pub const MAX_TAG_LEN: usize = 128;

/// The name of a kind of resource: the part in front of the colon in every name that is kept in the store.
///
/// ```
/// use tower_memolock::Tag;
///
/// assert!(Tag::new("report").is_ok());
/// assert!(Tag::new("report/lock").is_err());
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tag {
    with_colon: String,
}

impl Tag {
    /// Checks that `tag` can name keys and channels.
    ///
    /// # Errors
    ///
    /// A [`KeyError`] where the tag is empty, longer than [`MAX_TAG_LEN`] bytes, holds a colon, a blank, a control
    /// character or one of `*?[]\{}`, or ends in `/lock`, `/notif`, `/ctl`, `/gen` or `/part`.
    pub fn new(tag: impl Into<String>) -> Result<Self, KeyError> {
        let mut tag: String = tag.into();
        if tag.is_empty() {
            return Err(KeyError::EmptyTag);
        }
        if tag.len() > MAX_TAG_LEN {
            return Err(KeyError::TagTooLong(tag.len()));
        }
        let forbidden = |c: char| c.is_control() || c.is_whitespace() || r":*?[]\{}".contains(c);
        if let Some(c) = tag.chars().find(|c| forbidden(*c)) {
            return Err(KeyError::TagCharacter(c));
        }
        for reserved in ["/lock", "/notif", "/ctl", "/gen", "/part"] {
            if tag.ends_with(reserved) {
                return Err(KeyError::ReservedTag(reserved));
            }
        }
        tag.push(':');
        Ok(Self { with_colon: tag })
    }

    /// A tag that the program itself wrote down.
    ///
    /// # Panics
    ///
    /// If it is not one.
    #[track_caller]
    pub(crate) fn from_literal<T>(tag: T) -> Self
    where
        T: TryInto<Self>,
        T::Error: Into<KeyError>,
    {
        match tag.try_into().map_err(Into::into) {
            Ok(tag) => tag,
            Err(error) => panic!("not a tag: {error}"),
        }
    }

    /// The tag as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.with_colon[..self.with_colon.len() - 1]
    }

    /// The beginning of every name that has the tag in it.
    pub(super) fn with_colon(&self) -> &str {
        &self.with_colon
    }
}

impl TryFrom<&str> for Tag {
    type Error = KeyError;

    fn try_from(tag: &str) -> Result<Self, KeyError> {
        Self::new(tag)
    }
}

impl TryFrom<String> for Tag {
    type Error = KeyError;

    fn try_from(tag: String) -> Result<Self, KeyError> {
        Self::new(tag)
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tag").field(&self.as_str()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_collide_or_be_a_pattern_is_no_tag() {
        for (tag, error) in [
            ("", KeyError::EmptyTag),
            ("a:b", KeyError::TagCharacter(':')),
            ("a b", KeyError::TagCharacter(' ')),
            ("a*", KeyError::TagCharacter('*')),
            ("{a}", KeyError::TagCharacter('{')),
            ("a\n", KeyError::TagCharacter('\n')),
            ("likes/lock", KeyError::ReservedTag("/lock")),
            ("likes/notif", KeyError::ReservedTag("/notif")),
            ("likes/ctl", KeyError::ReservedTag("/ctl")),
            ("likes/gen", KeyError::ReservedTag("/gen")),
            ("likes/part", KeyError::ReservedTag("/part")),
        ] {
            assert_eq!(Tag::new(tag), Err(error), "{tag:?}");
        }
        assert_eq!(Tag::new("a".repeat(129)), Err(KeyError::TagTooLong(129)));
        for tag in ["likes", "likes/locks", "v1.2_x-y", "größe"] {
            assert!(Tag::new(tag).is_ok(), "{tag}");
        }
    }
}

//! [`KeyError`].

use super::id::MAX_ID_LEN;
use super::tag::MAX_TAG_LEN;

/// What is wrong with a tag or an id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// The tag has no characters.
    #[error("the tag is empty")]
    EmptyTag,
    /// The id has no characters.
    #[error("the id is empty")]
    EmptyId,
    /// The tag has more than [`MAX_TAG_LEN`] bytes.
    #[error("the tag has {0} bytes, the most is {MAX_TAG_LEN}")]
    TagTooLong(usize),
    /// The id has more than [`MAX_ID_LEN`] bytes.
    #[error("the id has {0} bytes, the most is {MAX_ID_LEN}")]
    IdTooLong(usize),
    /// The tag has a character that Redis reads as part of a pattern or a hash tag, that separates tag and id, or
    /// that cannot be printed.
    #[error("the tag has the character {0:?}; use letters, digits, '-', '_', '.' and '/'")]
    TagCharacter(char),
    /// The tag ends like the name of another tag's lock or channel, so the two would collide.
    #[error("the tag ends in {0:?}, which names the locks or channels of another tag")]
    ReservedTag(&'static str),
}

impl From<std::convert::Infallible> for KeyError {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

//! [`StoredResponseError`]: why there are no bytes for a response, or no response in the bytes.

/// Why a response cannot be encoded, or why bytes are not a stored response.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoredResponseError {
    /// The bytes are something else, or of another version.
    #[error("neither a stored response of version 1 nor a binary HTTP response")]
    Magic,
    /// The length in the frame is not that of the bytes.
    #[error("the entry is {declared} bytes long, and {actual} are there")]
    Length {
        /// The length that the frame names.
        declared: usize,
        /// The number of bytes.
        actual: usize,
    },
    /// The bytes are not those that were written.
    #[error("the checksum does not match")]
    Checksum,
    /// The entry belongs to another address.
    #[error("the entry was stored under another address, or names none")]
    Address,
    /// The time at which the response was stored is not within the years 1970 to 9999.
    #[error("the time of storing is not within the years 1970 to 9999")]
    StoredAt,
    /// A span of the metadata is too long, a flag is unknown, or there is a variant that no flag announces.
    #[error("the metadata are invalid")]
    Metadata,
    /// The message is not a known-length response.
    #[error("the message is not a known-length response")]
    Framing,
    /// The status is not one of a final response, 200 to 599.
    #[error("{0} is not the status of a final response")]
    Status(u64),
    /// Something is missing at the end, or a length leads beyond it.
    #[error("the entry ends too early")]
    Truncated,
    /// Something stands behind the end of the message.
    #[error("there are bytes behind the message")]
    TrailingBytes,
    /// The name of a field is not a token in lower case.
    #[error("a field has an invalid name")]
    FieldName,
    /// The value of a field has a control character, or a blank at one of its ends.
    #[error("a field has an invalid value")]
    FieldValue,
    /// A section has more than 4096 fields.
    #[error("there are too many fields")]
    TooManyFields,
    /// The message says that it is not to be shared, or has a `Vary`, or belongs to a group.
    #[error("the message is not one to share")]
    NotShared,
    /// The content is not as long as the message says, or a gRPC response has no status.
    #[error("the message is not complete")]
    Incomplete,
    /// There is more to the response than its body, or the bytes are an entry rather than a body.
    #[error("a body alone is not this response")]
    NotRaw,
    /// The entry would be longer than 2³¹ − 1 bytes.
    #[error("the response is too long")]
    TooLong,
}

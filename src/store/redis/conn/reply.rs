//! Replies in terms of the contract.

use std::time::Duration;

use bytes::Bytes;

use super::error;
use crate::error::StoreError;
use crate::store::Lock;
use crate::store::redis::resp::Reply;
use crate::store::value::Value;

/// The reply to a `GET`.
#[derive(Debug)]
pub(crate) enum GetReply {
    /// A string in the read buffer, which it shares with others: for a caller that looks at it and lets it go.
    Lent(Bytes),
    Other(Reply),
}

impl From<GetReply> for Reply {
    fn from(reply: GetReply) -> Self {
        match reply {
            GetReply::Lent(bytes) => Self::BulkString(bytes.to_vec()),
            GetReply::Other(reply) => reply,
        }
    }
}

/// The reply to `GET`.
pub(crate) fn value(reply: Reply) -> Result<Option<Value>, StoreError> {
    match reply {
        Reply::BulkString(bytes) => Ok(Some(Value::encoded(bytes))),
        Reply::Nil => Ok(None),
        Reply::ServerError(error) if error.code() == "WRONGTYPE" => Ok(Some(Value::unreadable())),
        Reply::ServerError(error) => Err(error::rejected(&error)),
        _ => Err(error::unexpected()),
    }
}

/// The reply to `PTTL` on a lock that was not free.
pub(crate) fn held(reply: Reply) -> Result<Lock, StoreError> {
    let remaining = match reply {
        Reply::Int(-1) => None,
        // -2: it became free in between.
        Reply::Int(millis) => Some(Duration::from_millis(u64::try_from(millis).unwrap_or(0))),
        Reply::ServerError(error) => return Err(error::rejected(&error)),
        _ => return Err(error::unexpected()),
    };
    Ok(Lock::Held { remaining })
}

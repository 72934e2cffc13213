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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::StoreErrorKind;
    use crate::store::redis::resp::ServerError;

    fn refused(line: &str) -> Reply {
        Reply::ServerError(ServerError::new(line))
    }

    fn rejects<T>(result: Result<T, StoreError>, cause: &str) {
        let Err(error) = result else { panic!("no error") };
        assert_eq!(error.kind(), StoreErrorKind::Rejected);
        let source = std::error::Error::source(&error).unwrap().to_string();
        assert!(source.contains(cause), "{source}");
    }

    #[test]
    fn a_key_has_a_value_or_none_or_something_else() {
        assert!(value(Reply::BulkString(Vec::new())).unwrap().is_some());
        assert!(value(Reply::Nil).unwrap().is_none());
        // Of no use, and yet there.
        assert!(value(refused("WRONGTYPE Operation")).unwrap().is_some());
        for (other, cause) in [
            (refused("ERR what"), "ERR what"),
            (Reply::Okay, "unknown form"),
            (Reply::Int(1), "unknown form"),
        ] {
            rejects(value(other), cause);
        }
    }

    #[test]
    fn a_lock_ends_some_time_or_never_or_has_ended() {
        let remaining = |reply| match held(reply).unwrap() {
            Lock::Held { remaining } => remaining,
            Lock::Granted => panic!("it is held"),
        };
        assert_eq!(remaining(Reply::Int(-1)), None);
        assert_eq!(remaining(Reply::Int(-2)), Some(Duration::ZERO));
        assert_eq!(remaining(Reply::Int(0)), Some(Duration::ZERO));
        assert_eq!(remaining(Reply::Int(1500)), Some(Duration::from_millis(1500)));
        for (other, cause) in [
            (refused("ERR what"), "ERR what"),
            (Reply::Okay, "unknown form"),
            (Reply::Nil, "unknown form"),
        ] {
            rejects(held(other), cause);
        }
    }
}

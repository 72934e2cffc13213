//! RESP, the protocol of Redis: commands to it, and replies from it.

mod command;
mod error;
pub(crate) mod extent;
mod push;
mod reply;

pub(crate) use self::command::{Command, Pipeline};
pub(crate) use self::error::{RedisError, RedisResult, ServerError};
pub(crate) use self::push::PushKind;
pub(crate) use self::reply::{Push, PushHandler, Reply};

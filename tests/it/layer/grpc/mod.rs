//! Calls of gRPC methods, message by message.

mod deadlines;
pub(super) mod fixture;
mod hostile;
mod identity;
mod methods;
mod replies;
mod streams;

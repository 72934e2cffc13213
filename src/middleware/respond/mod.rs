//! What a client gets.

pub(crate) mod body;
pub(crate) mod future;
pub(crate) mod refusal;
pub(crate) mod replay;
pub(crate) mod tally;
pub(crate) mod told_key;
pub(crate) mod trailers_only;

//! What one process remembers. Each is a hint: it costs or saves calls, and changes no answer.

pub(crate) mod credential_history;
pub(crate) mod demand;
pub(crate) mod hit_for_pass;
pub(crate) mod misuse;
pub(crate) mod pauses;
pub(crate) mod vary_index;

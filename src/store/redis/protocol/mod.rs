//! Names and forms on the wire, without I/O.

pub(crate) mod keyspace;
pub(crate) mod slot;

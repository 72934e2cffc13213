//! The identity of a request.

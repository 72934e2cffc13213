//! The form in which a response is stored.

//! Which requests may share a response, and which responses may be shared.

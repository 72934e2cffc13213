//! Tests from outside: the examples as processes, over a real Redis, as a client sees them.

mod reverse_proxy;
mod support;

//! What goes wrong between the nodes and Redis, and what the clients notice of it: nothing, or some latency.

mod leaders;
mod messages;
mod outages;
mod proxy;

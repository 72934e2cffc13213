//! What goes wrong between the nodes and Redis, and what the clients notice of it: nothing, or some latency.

mod errors;
mod fixture;
mod forgery;
mod large;
mod leaders;
mod messages;
mod mixup;
mod outages;
mod proxy;

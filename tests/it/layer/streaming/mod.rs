//! Followers that read a response while it comes: they get what they would have got at its end, or an error.

mod along;
mod distant;
mod elsewhere;
mod endings;
mod fixture;
mod flow;
mod invalidation;
mod sharing;
mod wire;

//! Responses that somebody else gives: three processes, a Redis, and a worker in Python.

mod fixture;
mod grpc;
mod hostile;
mod outage;
mod reports;

//! Responses that another program gives: three processes, a Redis, and a worker in Python.

mod fixture;
mod grpc;
mod hostile;
mod outage;
mod reports;

//! Each request has one outcome and one reason: in its response, in the log and in the metrics.

mod elsewhere;
mod here;
mod watch;

//! gRPC beneath the layer: servers in this process, on real sockets, as tonic's client and others see them.
//!
//! `memolock.test.v1.rs` and the descriptors in `workshop.bin` are what tonic-prost-build makes of
//! `proto/workshop.proto`.

mod credentials;
mod deadlines;
mod encodings;
mod fixture;
mod malformed;
mod python;
mod raw;
mod replay;
mod routers;
mod sharing;
mod statuses;
mod streams;
mod workshop;

mod proto {
    #![allow(missing_docs, unreachable_pub, unused_qualifications, reason = "generated")]
    include!("memolock.test.v1.rs");
}

//! The values that a layer takes its settings from.
//!
//! What a value does not set stays as it is in the layer, so their order means nothing.

#[cfg(feature = "admin")]
mod audit;
mod cache_status;
mod failures;
mod freshness;
mod grpc_method;
mod privacy;
mod response_limits;

use std::error::Error;

use http::header::HeaderName;

#[cfg(feature = "admin")]
pub use self::audit::Audit;
pub use self::cache_status::CacheStatus;
pub use self::failures::Failures;
pub use self::freshness::Freshness;
pub use self::grpc_method::{GrpcMethod, GrpcMethodError};
pub use self::privacy::Privacy;
pub use self::response_limits::ResponseLimits;

/// The name of a field that the program itself wrote down.
///
/// # Panics
///
/// If it is not one.
#[track_caller]
pub(crate) fn field_name<N>(name: N) -> HeaderName
where
    N: TryInto<HeaderName>,
    N::Error: Error,
{
    match name.try_into() {
        Ok(name) => name,
        Err(error) => panic!("not the name of a header field: {error}"),
    }
}

/// Sets what is given, and leaves the rest.
fn set<T>(to: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *to = value;
    }
}

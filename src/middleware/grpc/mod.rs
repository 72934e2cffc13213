//! gRPC: which methods are collapsed, and what of the protocol the layer has to know for it.
//!
//! ```text
//! request -> methods.rs: one of the listed methods, or untouched
//!            key_extractor/grpc_key.rs: one message (framing.rs), or a bypass
//!            timeout.rs: the call's own deadline bounds whatever it waits for
//!            policy/grpc.rs: one message and its status, or not shared
//!            status.rs: what the layer has to say itself
//! ```

mod framing;
mod sightings;
mod timeout;

use http::HeaderMap;
use http::header::CONTENT_TYPE;

pub(crate) use self::framing::Framing;
pub(crate) use self::sightings::Sightings;
pub(crate) use self::timeout::{TIMEOUT, deadline, until};

/// Whether a message with these fields is one of gRPC over HTTP/2; gRPC-Web is not.
pub(crate) fn is_call(headers: &HeaderMap) -> bool {
    const TYPE: &[u8] = b"application/grpc";
    let Some(content_type) = headers.get(CONTENT_TYPE) else {
        return false;
    };
    match content_type.as_bytes().split_at_checked(TYPE.len()) {
        Some((start, rest)) => start.eq_ignore_ascii_case(TYPE) && matches!(rest, [] | [b'+' | b';' | b' ', ..]),
        None => false,
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn grpc_is_told_from_its_like() {
        let is_call = |text: &'static str| {
            let value = HeaderValue::from_static(text);
            is_call(&HeaderMap::from_iter([(CONTENT_TYPE, value)]))
        };
        for text in [
            "application/grpc",
            "Application/gRPC",
            "application/grpc+proto",
            "application/grpc+json",
            "application/grpc; charset=utf-8",
        ] {
            assert!(is_call(text), "{text}");
        }
        for text in [
            "",
            "application/grp",
            "application/json",
            "application/grpc-web",
            "application/grpc-web-text+proto",
            "application/grpcx",
        ] {
            assert!(!is_call(text), "{text}");
        }
    }
}

//! The syntax of header fields that more than one rule reads.

use http::HeaderMap;
use http::header::{HeaderName, HeaderValue};

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// `tchar` (RFC 9110, 5.6.2).
pub(crate) fn is_tchar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

/// The members of a list, in all lines of a field, without the blanks around them. No member is quoted.
pub(crate) fn members<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> + use<'a> {
    let lines = headers.get_all(name).into_iter();
    lines.flat_map(|line| line.as_bytes().split(|byte| *byte == b',').map(<[u8]>::trim_ascii))
}

/// What header and trailer fields have as the status of a gRPC call.
pub(super) fn grpc_statuses<'a>(
    headers: &'a HeaderMap,
    trailers: Option<&'a HeaderMap>,
) -> impl Iterator<Item = &'a HeaderValue> {
    let sections = [Some(headers), trailers].into_iter().flatten();
    sections.flat_map(|fields| fields.get_all(GRPC_STATUS))
}

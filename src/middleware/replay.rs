//! Stored responses on their way back to clients.

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::header::AGE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};

use super::body::MemoBody;
use super::stored_response::{Meta, StoredResponse};

/// The response to somebody who waited for it: as it was.
pub(crate) fn followed<B>(stored: Arc<StoredResponse>) -> Response<MemoBody<B>> {
    let status = stored.status();
    let (headers, content, trailers) = match Arc::try_unwrap(stored) {
        Ok(own) => own.into_content(),
        Err(shared) => (
            shared.headers().clone(),
            shared.body().clone(),
            shared.trailers().cloned(),
        ),
    };
    response(status, headers, content, trailers)
}

/// The response to somebody who came later: with its age (RFC 9111, section 5.1).
pub(crate) fn hit<B>(stored: Arc<StoredResponse>) -> Response<MemoBody<B>> {
    let status = stored.status();
    let age = decimal(age(stored.meta()));
    // From a store elsewhere it is nobody else's, and can be taken apart.
    let (headers, content, trailers) = match Arc::try_unwrap(stored) {
        Ok(own) => {
            let (mut headers, content, trailers) = own.into_content();
            headers.insert(AGE, age);
            (headers, content, trailers)
        }
        Err(shared) => (
            shared.aged_headers(age),
            shared.body().clone(),
            shared.trailers().cloned(),
        ),
    };
    response(status, headers, content, trailers)
}

fn response<B>(
    status: StatusCode,
    headers: HeaderMap,
    content: Bytes,
    trailers: Option<HeaderMap>,
) -> Response<MemoBody<B>> {
    let mut response = Response::new(MemoBody::replay(content, trailers));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// In whole seconds.
fn age(meta: &Meta) -> u64 {
    // Another node's clock may be ahead or behind; what is still stored is no older than it may be.
    let resident = SystemTime::now().duration_since(meta.stored_at).unwrap_or_default();
    meta.age.saturating_add(resident.min(meta.fresh_for)).as_secs()
}

/// The number as a field value. Up to 99 it takes no memory.
fn decimal(number: u64) -> HeaderValue {
    const PAIRS: &str = "00010203040506070809101112131415161718192021222324252627282930313233343536373839\
                         40414243444546474849505152535455565758596061626364656667686970717273747576777879\
                         8081828384858687888990919293949596979899";
    match usize::try_from(number) {
        Ok(n) if n < 10 => HeaderValue::from_static(&PAIRS[2 * n + 1..2 * n + 2]),
        Ok(n) if n < 100 => HeaderValue::from_static(&PAIRS[2 * n..2 * n + 2]),
        _ => HeaderValue::from(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_in_decimal() {
        for number in (0..200).chain([1 << 31, u64::MAX]) {
            assert_eq!(decimal(number), number.to_string());
        }
    }
}

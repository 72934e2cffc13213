//! Stored responses on their way back to clients.

use std::sync::Arc;

use bytes::Bytes;
use http::header::AGE;
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use tokio::time::Instant;

use super::body::MemoBody;
use super::stored_response::StoredResponse;

/// The response to somebody who waited for it: as it was.
pub(crate) fn followed<B>(stored: Arc<StoredResponse>) -> Response<MemoBody<B>> {
    let status = stored.status();
    let (headers, content, trailers) = match Arc::try_unwrap(stored) {
        Ok(own) => own.into_content(),
        Err(shared) => (
            shared.headers().clone(),
            shared.body().clone(),
            shared.trailers().cloned().map(Box::new),
        ),
    };
    response(status, headers, content, trailers)
}

/// The response to somebody who came later: with its age (RFC 9111, section 5.1).
pub(crate) fn hit<B>(stored: Arc<StoredResponse>, now: Instant) -> Response<MemoBody<B>> {
    let status = stored.status();
    // From a store elsewhere it is nobody else's, and can be taken apart.
    let (headers, content, trailers) = match Arc::try_unwrap(stored) {
        Ok(own) => {
            let age = decimal(own.meta().age_now().as_secs());
            let (mut headers, content, trailers) = own.into_content();
            headers.insert(AGE, age);
            (headers, content, trailers)
        }
        Err(shared) => (
            shared.aged_headers(now, |age| decimal(age.as_secs())),
            shared.body().clone(),
            shared.trailers().cloned().map(Box::new),
        ),
    };
    response(status, headers, content, trailers)
}

fn response<B>(
    status: StatusCode,
    headers: HeaderMap,
    content: Bytes,
    trailers: Option<Box<HeaderMap>>,
) -> Response<MemoBody<B>> {
    let mut response = Response::new(MemoBody::replay(content, trailers));
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
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

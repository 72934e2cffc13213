//! How old a response is (RFC 9111, 4.2.3).

use std::time::{Duration, SystemTime};

use http::HeaderMap;
use http::header::{AGE, DATE, HeaderName};

use super::cache_control::delta_seconds;

/// How old a response already is when it arrives: the larger of `apparent_age` and `age_value` (RFC 9111, 4.2.3). `None`
/// where its `Age` cannot be read.
///
/// In whole seconds, as both fields are. The time that the response took (`response_delay`) is not added: beneath the
/// layer is usually the origin itself, and a response that takes longer than it is fresh would be stale at once.
pub(crate) fn on_arrival(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let apparent = date(headers, &DATE).and_then(|date| now.duration_since(date).ok());
    let apparent = Duration::from_secs(apparent.unwrap_or_default().as_secs());
    Some(apparent.max(age_value(headers)?))
}

/// The `Age` field, zero where there is none: the first member where there are several (RFC 9111, 5.1).
///
/// `None` where it is no number. The RFC has such a field ignored, which would make the response younger than a cache
/// before us said. Invalid freshness is stale everywhere else (4.2.1), and so it is here.
fn age_value(headers: &HeaderMap) -> Option<Duration> {
    let Some(line) = headers.get(AGE) else {
        return Some(Duration::ZERO);
    };
    let first = line.as_bytes().split(|byte| *byte == b',').next()?;
    delta_seconds(first.trim_ascii())
}

/// The date in the first line of a field (RFC 9110, 5.6.7).
pub(super) fn date(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::super::headers;
    use super::*;

    #[test]
    fn age_is_the_larger_of_both_clocks() {
        // 500 ms past the full second: parts of a second do not count.
        let now = httpdate::parse_http_date("Sun, 06 Nov 1994 08:50:00 GMT").unwrap() + Duration::from_millis(500);
        let date = |time| ("date", time);
        let age = |age| ("age", age);
        for (lines, expected) in [
            (&[][..], 0),
            (&[date("Sun, 06 Nov 1994 08:49:37 GMT")], 23),
            (&[date("Sun, 06 Nov 1994 08:50:00 GMT")], 0),
            (&[date("Sunday, 06-Nov-94 08:49:37 GMT")], 23),
            (&[date("Sun Nov  6 08:49:37 1994")], 23),
            (&[date("Sun, 06 Nov 1994 09:00:00 GMT")], 0),
            (&[date("yesterday")], 0),
            (&[age("10")], 10),
            (&[age("10"), date("Sun, 06 Nov 1994 08:49:37 GMT")], 23),
            (&[age("30"), date("Sun, 06 Nov 1994 08:49:37 GMT")], 30),
            (&[age("10"), age("20")], 10),
            (&[age("10 , 20")], 10),
            (&[age("18446744073709551616")], 1 << 31),
        ] {
            let found = on_arrival(&headers(lines), now);
            assert_eq!(found, Some(Duration::from_secs(expected)), "{lines:?}");
        }
        for value in ["-1", "1.5", "", "x", "x, 10", "10;x=1", "7200.0"] {
            assert_eq!(on_arrival(&headers(&[age(value)]), now), None, "{value}");
        }
    }
}

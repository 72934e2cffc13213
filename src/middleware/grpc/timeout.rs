//! `grpc-timeout`: how long the client of a call waits.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use http::HeaderMap;
use http::header::HeaderName;
use tokio::time::{Instant, sleep_until};

pub(crate) const TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");

/// When the client of a call that begins now stops waiting. `None` where the client does not say, or says it in a form
/// that cannot be parsed. Of several lines the first counts, as it does for tonic.
pub(crate) fn deadline(headers: &HeaderMap) -> Option<Instant> {
    let timeout = parse(headers.get(TIMEOUT)?.as_bytes())?;
    Instant::now().checked_add(timeout)
}

/// At most eight digits and a unit (gRPC over HTTP/2, "Timeout").
fn parse(text: &[u8]) -> Option<Duration> {
    let (unit, digits) = text.split_last()?;
    if !matches!(digits.len(), 1..=8) || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits
        .iter()
        .fold(0, |number, digit| number * 10 + u64::from(digit - b'0'));
    Some(match unit {
        b'H' => Duration::from_secs(number * 60 * 60),
        b'M' => Duration::from_secs(number * 60),
        b'S' => Duration::from_secs(number),
        b'm' => Duration::from_millis(number),
        b'u' => Duration::from_micros(number),
        b'n' => Duration::from_nanos(number),
        _ => return None,
    })
}

/// The output of `future` if it comes before the deadline. `future` is polled once even if that is past. `None` where
/// it takes longer.
pub(crate) async fn until<F: Future>(deadline: Instant, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    let mut sleep = pin!(sleep_until(deadline));
    poll_fn(|cx| {
        if let Poll::Ready(output) = future.as_mut().poll(cx) {
            return Poll::Ready(Some(output));
        }
        // By the clock, not by the timer alone: of two timers for one moment, the timer of the server around the layer
        // may fire first, and the server's answer is less precise.
        if Instant::now() >= deadline || sleep.as_mut().poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        Poll::Pending
    })
    .await
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use http::HeaderValue;

    use super::*;

    #[test]
    fn timeouts_are_digits_and_a_unit() {
        for (text, expected) in [
            ("1H", Duration::from_secs(3600)),
            ("2M", Duration::from_secs(120)),
            ("007S", Duration::from_secs(7)),
            ("250m", Duration::from_millis(250)),
            ("3u", Duration::from_micros(3)),
            ("0n", Duration::ZERO),
            ("99999999n", Duration::from_nanos(99_999_999)),
            ("99999999H", Duration::from_secs(99_999_999 * 3600)),
        ] {
            assert_eq!(parse(text.as_bytes()), Some(expected), "{text}");
        }
        for text in [
            "",
            "S",
            "1",
            "1s",
            "1h",
            "-1S",
            "+1S",
            "1.5S",
            " 1S",
            "1S ",
            "1 S",
            "1SS",
            "1µ",
            "123456789S",
            "99999999999999999999H",
            "٣S",
        ] {
            assert_eq!(parse(text.as_bytes()), None, "{text}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn malformed_timeouts_count_as_none_and_the_first_of_several_counts() {
        let of = |lines: &[&'static str]| {
            let lines = lines.iter().map(|line| (TIMEOUT, HeaderValue::from_static(line)));
            let headers: HeaderMap = lines.collect();
            deadline(&headers).map(|deadline| deadline - Instant::now())
        };
        for lines in [&["5S"][..], &["5S", "6S"], &["5S", "x"]] {
            assert_eq!(of(lines), Some(Duration::from_secs(5)), "{lines:?}");
        }
        assert!(of(&["99999999H"]).is_none_or(|timeout| timeout > Duration::from_secs(1 << 38)));
        for lines in [&[][..], &["x"], &["x", "5S"], &["5S, 6S"]] {
            assert_eq!(of(lines), None, "{lines:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_ready_counts_even_past_the_deadline() {
        let now = Instant::now();
        let past = now - Duration::from_secs(1);
        assert_eq!(until(past, ready(1)).await, Some(1));
        assert_eq!(until(past, pending::<()>()).await, None);
        assert_eq!(now.elapsed(), Duration::ZERO);
        let second = Duration::from_secs(1);
        assert_eq!(until(now + second, pending::<()>()).await, None);
        assert!(now.elapsed() >= second);
    }
}

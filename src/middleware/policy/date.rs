//! Dates as field values (RFC 9110, 5.6.7).

use std::time::{SystemTime, UNIX_EPOCH};

use http::HeaderValue;

const DAY: u64 = 24 * 60 * 60;

/// Days from the first of March of the year 0, with which a leap day ends a year, to 1970.
const DAYS_TO_1970: u64 = 719_468;

/// The days of 400, 100, 4 years and one, less the leap days at the end of those that have them.
const DAYS_OF_400: u64 = 146_097;
const DAYS_OF_100: u64 = 36_524;
const DAYS_OF_4: u64 = 1_461;

/// The date, `Sun, 06 Nov 1994 08:49:37 GMT`. `None` outside the years from 1970 to 9999.
///
/// Each hit of a store elsewhere writes one, so it is written without the help of a formatter.
pub(in crate::middleware) fn field_value(at: SystemTime) -> Option<HeaderValue> {
    const YEAR_10000: u64 = 253_402_300_800;
    let seconds = at.duration_since(UNIX_EPOCH).ok()?.as_secs();
    if seconds >= YEAR_10000 {
        return None;
    }
    let (days, seconds) = (seconds / DAY, seconds % DAY);
    let (year, month, day) = civil(days);
    let mut text = *b"Thu, 00 Jan 0000 00:00:00 GMT";
    text[..3].copy_from_slice(&WEEKDAYS[(days % 7) as usize]);
    text[8..11].copy_from_slice(&MONTHS[month]);
    for (place, number) in [
        (5, day),
        (12, year / 100),
        (14, year % 100),
        (17, seconds / 3600),
        (20, seconds / 60 % 60),
        (23, seconds % 60),
    ] {
        text[place] += (number / 10) as u8;
        text[place + 1] += (number % 10) as u8;
    }
    HeaderValue::from_bytes(&text).ok()
}

/// From the first of January of 1970 on, a Thursday.
const WEEKDAYS: [[u8; 3]; 7] = [*b"Thu", *b"Fri", *b"Sat", *b"Sun", *b"Mon", *b"Tue", *b"Wed"];

/// From March on.
const MONTHS: [[u8; 3]; 12] = [
    *b"Mar", *b"Apr", *b"May", *b"Jun", *b"Jul", *b"Aug", *b"Sep", *b"Oct", *b"Nov", *b"Dec", *b"Jan", *b"Feb",
];

/// The year, the month from March on, and the day of the month that is so many days after the first one of 1970.
fn civil(days: u64) -> (u64, usize, u64) {
    let days = days + DAYS_TO_1970;
    let (cycles, days) = (days / DAYS_OF_400, days % DAYS_OF_400);
    // The last day of a span that ends with a leap day is still one of it.
    let centuries = (days / DAYS_OF_100).min(3);
    let days = days - centuries * DAYS_OF_100;
    let (fours, days) = (days / DAYS_OF_4, days % DAYS_OF_4);
    let years = (days / 365).min(3);
    let days = days - years * 365;
    // Five months from March on, and from August on, have 153 days.
    let month = (5 * days + 2) / 153;
    let day = days - (153 * month + 2) / 5 + 1;
    let year = 400 * cycles + 100 * centuries + 4 * fours + years + u64::from(month >= 10);
    (year, month as usize, day)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn assert_is_right(seconds: u64) {
        let at = UNIX_EPOCH + Duration::from_secs(seconds);
        assert_eq!(field_value(at).unwrap(), httpdate::fmt_http_date(at));
    }

    #[test]
    fn every_day_of_eight_thousand_years_has_its_date() {
        for day in 0..2_932_897 {
            assert_is_right(day * DAY + day % DAY);
        }
    }

    #[test]
    fn every_second_of_a_day_has_its_time() {
        (0..DAY).for_each(assert_is_right);
    }

    #[test]
    fn other_years_have_none() {
        let end = UNIX_EPOCH + Duration::from_secs(253_402_300_800);
        assert_eq!(field_value(end), None);
        assert_eq!(field_value(UNIX_EPOCH - Duration::from_secs(1)), None);
        assert_eq!(
            field_value(end - Duration::from_secs(1)).unwrap(),
            "Fri, 31 Dec 9999 23:59:59 GMT"
        );
    }
}

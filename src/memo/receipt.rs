//! [`Receipt`]: what an invalidation gives to a caller that wants nothing from before it, and [`Aim`]: what a caller wants.

use std::fmt;
use std::str::FromStr;

use crate::key::Readable;

/// The receipt of an invalidation. A caller that shows it gets no value that was begun before the invalidation.
///
/// It is opaque and short, and can be kept as text, in a cookie or a field. Of two receipts the greater one is the
/// later one. A client can make a receipt up: the store is asked whether it can have given it, and a receipt that it
/// cannot have given is ignored. Any other made-up receipt costs one computation, whose result answers the next request
/// with such a receipt.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub(crate) u64);

impl Receipt {
    /// The receipt of a store that keeps no generations: no value is from before it.
    pub(crate) const NONE: Self = Self(0);

    /// Whether a value that was begun in the generation with this number is from after the invalidation.
    pub(crate) fn is_met_by(self, began: u64) -> bool {
        began >= self.0
    }
}

impl fmt::Display for Receipt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

/// A text is not that of a [`Receipt`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: not a receipt", Readable(.0))]
pub struct ParseReceiptError(String);

impl FromStr for Receipt {
    type Err = ParseReceiptError;

    /// Reads what [`Display`](fmt::Display) writes.
    ///
    /// # Errors
    ///
    /// [`ParseReceiptError`] for any other text.
    fn from_str(text: &str) -> Result<Self, ParseReceiptError> {
        let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let number = Some(text).filter(|text| (1..=16).contains(&text.len()) && text.bytes().all(is_digit));
        let number = number.and_then(|text| u64::from_str_radix(text, 16).ok());
        number
            .map(Self)
            .ok_or_else(|| ParseReceiptError(text.chars().take(32).collect()))
    }
}

/// What a caller wants of a value, besides that it is fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Aim {
    /// Nothing.
    Fresh,
    /// That it was begun in this generation or later.
    Since(Receipt),
    /// That it is computed now, whatever is stored. A value that is being computed will do.
    Now,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_receipt_comes_back_from_its_text_and_no_other_text_is_one() {
        for number in [0, 1, 0x6_4e1b_2c3d, u64::MAX] {
            let text = Receipt(number).to_string();
            assert!(text.len() <= 16);
            assert_eq!(text.parse(), Ok(Receipt(number)));
        }
        assert!(Receipt(9) < Receipt(10));
        for text in [
            "",
            "x",
            "-1",
            "+1",
            " 1",
            "1 ",
            "0x1",
            "A",
            "12345678901234567",
            "ä",
            "1,2",
        ] {
            let error = text.parse::<Receipt>().unwrap_err().to_string();
            assert!(error.ends_with("not a receipt"), "{error}");
        }
    }
}

//! [`TraceContext`]: the name of a span in a trace.

use std::fmt;

/// The name of a computation in the trace that it belongs to: a trace id, and mostly a span id, as W3C Trace Context
/// and OpenTelemetry have them.
///
/// It travels with the lock and with the stored response, so that a follower or a later hit, on any node, can say which
/// computation made its response. Its text form is the trace id, and `-` and the span id behind it, in lower-case
/// hexadecimal digits.
///
/// ```
/// use tower_memolock::TraceContext;
///
/// let traceparent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01";
/// let context = TraceContext::from_traceparent(traceparent).unwrap();
/// assert_eq!(context.to_string(), "4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7");
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceContext {
    trace_id: [u8; 16],
    span_id: Option<[u8; 8]>,
}

impl TraceContext {
    /// A span of a trace. `None` where the trace id is all zeros, which is no trace id. A span id of zeros counts as no
    /// span id.
    #[must_use]
    pub fn new(trace_id: [u8; 16], span_id: Option<[u8; 8]>) -> Option<Self> {
        (trace_id != [0; 16]).then_some(Self {
            trace_id,
            span_id: span_id.filter(|id| *id != [0; 8]),
        })
    }

    /// The span that a `traceparent` field names. `None` where the field is not as W3C Trace Context says.
    #[must_use]
    pub fn from_traceparent(value: &str) -> Option<Self> {
        let (version, rest) = value.split_at_checked(2)?;
        let [version] = digits(version)?;
        let (context, flags) = rest.strip_prefix('-')?.split_at_checked(49)?;
        let (flags, more) = flags.strip_prefix('-')?.split_at_checked(2)?;
        let [_flags] = digits(flags)?;
        // Later versions may say more.
        let ends = more.is_empty() || (version > 0 && more.starts_with('-'));
        let context = Self::from_text(context).filter(|context| context.span_id.is_some());
        context.filter(|_| version != u8::MAX && ends)
    }

    /// The id of the trace.
    #[must_use]
    pub fn trace_id(&self) -> [u8; 16] {
        self.trace_id
    }

    /// The id of the span, if it is known.
    #[must_use]
    pub fn span_id(&self) -> Option<[u8; 8]> {
        self.span_id
    }

    /// Reads the text form, and nothing else.
    pub(crate) fn from_text(text: &str) -> Option<Self> {
        match text.split_once('-') {
            Some((trace, span)) => Self::new(digits(trace)?, Some(digits(span)?)).filter(|read| read.span_id.is_some()),
            None => Self::new(digits(text)?, None),
        }
    }

    /// The form in a stored value: 16 bytes, or 24 with the span id.
    #[cfg(feature = "http")]
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        let span_id = self.span_id.iter().flatten();
        self.trace_id.iter().chain(span_id).copied().collect()
    }

    /// Reads [`to_bytes`](Self::to_bytes), and nothing else.
    #[cfg(feature = "http")]
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (trace_id, rest) = bytes.split_first_chunk()?;
        let context = match rest {
            [] => Self::new(*trace_id, None),
            rest => Self::new(*trace_id, Some(rest.try_into().ok()?)),
        };
        context.filter(|read| read.span_id.is_none() == rest.is_empty())
    }
}

/// As many bytes in lower-case hexadecimal digits.
fn digits<const N: usize>(text: &str) -> Option<[u8; N]> {
    let value = |digit: u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    if text.len() != 2 * N {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = value(pair[0])? << 4 | value(pair[1])?;
    }
    Some(bytes)
}

impl fmt::Display for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.trace_id))?;
        match self.span_id {
            Some(span_id) => write!(f, "-{:016x}", u64::from_be_bytes(span_id)),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for TraceContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TraceContext({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
    const SPAN: &str = "00f067aa0ba902b7";

    #[test]
    fn a_traceparent_names_trace_and_span() {
        let names = |text: &str| TraceContext::from_traceparent(text).map(|context| context.to_string());
        let expected = Some(format!("{TRACE}-{SPAN}"));
        for text in [
            format!("00-{TRACE}-{SPAN}-01"),
            format!("00-{TRACE}-{SPAN}-00"),
            format!("01-{TRACE}-{SPAN}-01"),
            format!("cc-{TRACE}-{SPAN}-01-what-comes-later"),
        ] {
            assert_eq!(names(&text), expected, "{text}");
        }
    }

    #[test]
    fn any_other_traceparent_names_nothing() {
        let zeros = "0".repeat(32);
        for text in [
            String::new(),
            "00".to_owned(),
            TRACE.to_owned(),
            format!("00-{TRACE}"),
            format!("00-{TRACE}-{SPAN}"),
            format!("00-{TRACE}-{SPAN}-"),
            format!("00-{TRACE}-{SPAN}-1"),
            format!("00-{TRACE}-{SPAN}-0g"),
            format!("00-{TRACE}-{SPAN}-01-more"),
            format!("01-{TRACE}-{SPAN}-01more"),
            format!("ff-{TRACE}-{SPAN}-01"),
            format!("0x-{TRACE}-{SPAN}-01"),
            format!("00-{zeros}-{SPAN}-01"),
            format!("00-{TRACE}-{}-01", "0".repeat(16)),
            format!("00-{}-{SPAN}-01", TRACE.to_uppercase()),
            format!("00_{TRACE}_{SPAN}_01"),
            format!(" 00-{TRACE}-{SPAN}-01"),
            format!("00-{}-01", "ü".repeat(24)),
            "ü".repeat(60),
        ] {
            assert_eq!(TraceContext::from_traceparent(&text), None, "{text}");
        }
    }

    #[test]
    fn the_text_form_comes_back_and_nothing_else_is_one() {
        for text in [TRACE.to_owned(), format!("{TRACE}-{SPAN}")] {
            assert_eq!(
                TraceContext::from_text(&text).map(|context| context.to_string()),
                Some(text)
            );
        }
        for text in [
            "",
            "-",
            "4bf9",
            &format!("{TRACE}-"),
            &format!("-{SPAN}"),
            &format!("{TRACE}-{SPAN}-"),
        ] {
            assert_eq!(TraceContext::from_text(text), None, "{text}");
        }
        assert_eq!(TraceContext::new([0; 16], Some([1; 8])), None);
        assert_eq!(
            TraceContext::new([1; 16], Some([0; 8])),
            TraceContext::new([1; 16], None)
        );
    }

    #[cfg(feature = "http")]
    #[test]
    fn the_bytes_come_back_and_no_other_bytes_are_a_context() {
        for context in [
            TraceContext::new([7; 16], None),
            TraceContext::new([7; 16], Some([9; 8])),
        ] {
            let bytes = context.map(TraceContext::to_bytes).unwrap();
            assert_eq!(TraceContext::from_bytes(&bytes), context);
        }
        for len in (0..64).filter(|len| ![16, 24].contains(len)) {
            assert_eq!(TraceContext::from_bytes(&vec![7; len]), None, "{len}");
        }
        assert_eq!(TraceContext::from_bytes(&[0; 16]), None);
        assert_eq!(TraceContext::from_bytes(&[&[7; 16][..], &[0; 8]].concat()), None);
    }
}

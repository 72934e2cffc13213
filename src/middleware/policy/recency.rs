//! How new the response has to be that a request gets: a [`Receipt`] that it carries, or [`Refresh`].

use http::{Extensions, HeaderMap, HeaderName};

use crate::memo::{Aim, Receipt};

/// The field of a request with the receipts that it carries, and of the response to an unsafe request with its own.
pub(crate) const RECEIPT: HeaderName = HeaderName::from_static("memolock-receipt");

/// So many receipts of one request count.
const MOST: usize = 16;

/// An extension of a request from the program itself: the response is computed now, even if one is stored, and takes
/// the place of the stored one.
///
/// One request in the cluster computes at a time. A request that finds another one computing, anywhere, gets that one's
/// response. The stored response answers all other requests meanwhile. This is for requests that may lead: a `GET`,
/// say, without conditions.
///
/// ```
/// use http::Request;
/// use tower_memolock::middleware::Refresh;
///
/// let request = Request::get("/report/42").extension(Refresh).body(());
/// # let _ = request;
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refresh;

/// What a request wants. Its field counts if the layer `heeds` it.
pub(crate) fn aim(headers: &HeaderMap, extensions: &Extensions, heeds: bool) -> Aim {
    if !extensions.is_empty() && extensions.get::<Refresh>().is_some() {
        return Aim::Now;
    }
    let latest = receipts(headers, extensions, heeds).max();
    latest.map_or(Aim::Fresh, Aim::Since)
}

/// The receipts that a request carries. A member that is no receipt is ignored.
pub(crate) fn receipts<'r>(
    headers: &'r HeaderMap,
    extensions: &Extensions,
    heeds: bool,
) -> impl Iterator<Item = Receipt> + 'r {
    let own = extensions.get::<Receipt>().copied();
    let lines = heeds.then(|| headers.get_all(RECEIPT).into_iter());
    let texts = lines.into_iter().flatten().filter_map(|line| line.to_str().ok());
    let texts = texts.flat_map(|line| line.split(',')).take(MOST);
    own.into_iter().chain(texts.filter_map(|text| text.trim().parse().ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::middleware::policy::headers;

    #[test]
    fn the_latest_receipt_counts_and_what_is_none_is_ignored() {
        let lines = headers(&[
            ("memolock-receipt", "zzz, 1f , ,-1"),
            ("memolock-receipt", "a,\t20"),
            ("x", "ff"),
        ]);
        let mut extensions = Extensions::new();
        let aim_of = |extensions: &_, heeds| aim(&lines, extensions, heeds);
        assert_eq!(aim_of(&extensions, true), Aim::Since(Receipt(0x20)));
        assert_eq!(aim_of(&extensions, false), Aim::Fresh);
        extensions.insert(Receipt(0x21));
        assert_eq!(aim_of(&extensions, true), Aim::Since(Receipt(0x21)));
        assert_eq!(aim_of(&extensions, false), Aim::Since(Receipt(0x21)));
        extensions.insert(Refresh);
        assert_eq!(aim_of(&extensions, false), Aim::Now);
    }

    #[test]
    fn only_so_many_are_read() {
        let many = "1,".repeat(MOST) + "ff";
        let lines = headers(&[("memolock-receipt", &many)]);
        assert_eq!(aim(&lines, &Extensions::new(), true), Aim::Since(Receipt(1)));
    }
}

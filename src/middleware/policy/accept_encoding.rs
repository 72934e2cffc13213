//! What `Accept-Encoding` means (RFC 9110, 12.5.3), so that requests that mean the same select the same response.

use http::header::ACCEPT_ENCODING;
use http::{HeaderMap, HeaderValue};

use super::syntax::is_tchar;

/// A weight in thousandths.
type QValue = u16;

/// Which content codings a request accepts and in what order it prefers them, in one spelling for each meaning. `None`
/// where the field cannot be parsed, or contradicts itself.
///
/// Codings are sorted, weights are ranks. Members that say nothing are left out: a refused coding where no `*` accepts
/// it, and `identity` where every other coding is preferred to it.
pub(super) fn canonical(request: &HeaderMap) -> Option<Vec<u8>> {
    let mut codings = Vec::new();
    for line in request.get_all(ACCEPT_ENCODING) {
        parse(line, &mut codings)?;
    }
    codings.sort_unstable();
    codings.dedup();
    if codings.windows(2).any(|pair| pair[0].0 == pair[1].0) {
        return None;
    }
    simplify(&mut codings);
    // Sorted, each once.
    let mut weights = Vec::new();
    for (_, weight) in codings.iter().filter(|(_, weight)| *weight > 0) {
        if let Err(at) = weights.binary_search(weight) {
            weights.insert(at, *weight);
        }
    }
    let mut text = Vec::new();
    for (coding, weight) in &codings {
        let rank = weights
            .iter()
            .position(|known| known == weight)
            .map_or(0, |place| place + 1);
        text.extend_from_slice(format!("{coding};{rank},").as_bytes());
    }
    Some(text)
}

fn simplify(codings: &mut Vec<(String, QValue)>) {
    let weight_of = |codings: &[(String, QValue)], name| {
        let found = codings.iter().find(|(coding, _)| coding == name);
        found.map(|(_, weight)| *weight)
    };
    let any = weight_of(codings, "*");
    let identity = weight_of(codings, "identity");
    if any.is_none_or(|weight| weight == 0) {
        // A coding that is not listed is refused anyhow, except `identity`.
        codings.retain(|(coding, weight)| *weight > 0 || coding == "identity");
        if any.is_some() && identity.is_none() {
            codings.push(("identity".to_owned(), 0));
            codings.sort_unstable();
        }
        let is_last = |identity| {
            codings
                .iter()
                .all(|(coding, weight)| coding == "identity" || *weight > identity)
        };
        if identity.is_some_and(|weight| weight > 0 && is_last(weight)) {
            codings.retain(|(coding, _)| coding != "identity");
        }
    }
}

/// Adds the members of one line.
fn parse(line: &HeaderValue, codings: &mut Vec<(String, QValue)>) -> Option<()> {
    let line = line.to_str().ok()?;
    for member in line.split(',') {
        let member = member.trim_matches([' ', '\t']);
        if member.is_empty() {
            continue;
        }
        let (coding, weight) = match member.split_once(';') {
            Some((coding, weight)) => (coding.trim_end_matches([' ', '\t']), self::weight(weight)?),
            None => (member, 1000),
        };
        if coding.is_empty() || !coding.bytes().all(is_tchar) {
            return None;
        }
        let mut coding = coding.to_ascii_lowercase();
        // RFC 9110, 8.4.1.1 and 8.4.1.3.
        if matches!(coding.as_str(), "x-gzip" | "x-compress") {
            coding.drain(..2);
        }
        codings.push((coding, weight));
    }
    Some(())
}

/// `q=` and a number from 0 to 1 with three decimals at most (RFC 9110, 12.4.2).
fn weight(text: &str) -> Option<QValue> {
    let text = text.trim_matches([' ', '\t']);
    let text = text.strip_prefix(['q', 'Q'])?.strip_prefix('=')?;
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    if decimals.len() > 3 || !decimals.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let decimals: QValue = format!("{decimals:0<3}").parse().ok()?;
    match whole {
        "0" => Some(decimals),
        "1" if decimals == 0 => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::headers;
    use super::*;

    fn of(lines: &[&str]) -> Option<Vec<u8>> {
        let lines: Vec<_> = lines.iter().map(|line| ("accept-encoding", *line)).collect();
        canonical(&headers(&lines))
    }

    #[test]
    fn one_meaning_has_one_spelling() {
        let groups = [
            &[
                &["gzip, deflate, br"][..],
                &["br,gzip,deflate"],
                &[" GZIP ,\tDeflate,, bR;q=1"],
                &["gzip;q=1.0, deflate ; q=1.000, br;Q=1."],
                &["br", "deflate, x-gzip"],
                &["gzip, br", "gzip, deflate"],
                &["gzip;q=0.5, deflate;q=0.5, br;q=0.500"],
                &["gzip, deflate, br, zstd;q=0"],
                &["gzip, deflate, br, identity;q=0.5"],
                &["gzip, deflate, br", ""],
            ][..],
            &[
                &["gzip, deflate;q=0.6, br;q=0.3"],
                &["br;q=0.1,gzip;q=0.9, deflate;q=0.2, identity;q=0.001"],
            ],
            &[&["gzip"], &["x-gzip;q=0.3"], &["gzip, br;q=0"]],
            &[
                &[""],
                &["identity"],
                &["identity, *;q=0"],
                &["identity;q=0.2"],
                &["gzip;q=0"],
                &[",,"],
                &["", ""],
            ],
            &[&["*"], &["*;q=0.1"], &["*;q=0.001"]],
            &[
                &["gzip, *;q=0"],
                &["gzip, identity;q=0"],
                &["*;q=0, gzip;q=0.5, br;q=0"],
            ],
            &[&["identity;q=0"], &["*;q=0"], &["*;q=0.000, gzip;q=0"]],
            &[&["gzip;q=0, *"]],
            &[&["gzip;q=0.5, *"]],
            &[&["gzip;q=0.6, deflate, br;q=0.3"]],
            &[&["gzip, *"], &["*, gzip"]],
            &[&["gzip, *;q=0.5"]],
            &[&["gzip, identity"]],
            &[&["gzip;q=0.5, identity"]],
            &[&["compress"], &["X-Compress"]],
        ];
        for (i, group) in groups.iter().enumerate() {
            for (j, other) in groups.iter().enumerate() {
                for (one, two) in group.iter().flat_map(|one| other.iter().map(move |two| (one, two))) {
                    let (first, second) = (of(one), of(two));
                    assert!(first.is_some() && second.is_some(), "{one:?} {two:?}");
                    assert_eq!(first == second, i == j, "{one:?} {two:?}");
                }
            }
        }
    }

    #[test]
    fn what_cannot_be_read_has_no_meaning() {
        for line in [
            "gzip br",
            "gzip;",
            "gzip;q",
            "gzip;q=",
            "gzip;q=2",
            "gzip;q=1.001",
            "gzip;q=0.0001",
            "gzip;q=-1",
            "gzip;q=.5",
            "gzip;q = 0.5",
            "gzip;q=0.5;q=0.5",
            "gzip;level=1",
            "gzip;q=0,5",
            ";q=1",
            "\"gzip\"",
            "gzip, x-gzip;q=0.5",
        ] {
            let parsed = of(&[line]);
            // `gzip;q=0,5` is one coding that is refused and one named 5.
            assert_eq!(parsed.is_none(), line != "gzip;q=0,5", "{line}");
        }
    }
}

//! Which parameters of a query are part of a key.

use std::borrow::Cow;
use std::sync::Arc;

use http::uri::PathAndQuery;

/// All of the query, or some parameters of it.
#[derive(Debug, Clone, Default)]
pub(super) struct Query(Option<Arc<[String]>>);

impl Query {
    pub(super) fn only(names: impl Iterator<Item = String>) -> Self {
        // Others are never left out.
        let mut names: Vec<_> = names.filter(|name| is_plain(name)).collect();
        names.iter_mut().for_each(|name| name.make_ascii_lowercase());
        names.sort_unstable();
        names.dedup();
        Self(Some(names.into()))
    }

    pub(super) fn is_whole(&self) -> bool {
        self.0.is_none()
    }

    /// What a key says of it.
    pub(super) fn shape(&self) -> Option<String> {
        self.0.as_ref().map(|names| format!("?{}", names.join("&")))
    }

    /// The part of a target that counts.
    pub(super) fn of<'a>(&self, target: &'a PathAndQuery) -> Cow<'a, str> {
        let (Some(names), Some(query)) = (&self.0, target.query()) else {
            return Cow::Borrowed(target.as_str());
        };
        let mut text = target.path().to_owned();
        let mut separator = '?';
        for parameter in query.split('&').filter(|parameter| counts(parameter, names)) {
            text.push(separator);
            text.push_str(parameter);
            separator = '&';
        }
        Cow::Owned(text)
    }
}

/// Whether some service may take a parameter for one of these. To some services names are escaped or have no case, or
/// brackets and dots in them have a meaning; to others `;` separates parameters.
fn counts(parameter: &str, names: &[String]) -> bool {
    let name = parameter.split('=').next().unwrap_or_default();
    !parameter.is_empty() && !is_plain(name)
        || parameter.contains(';')
        || names.iter().any(|known| known.eq_ignore_ascii_case(name))
}

fn is_plain(name: &str) -> bool {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !name.is_empty() && name.bytes().all(is_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_service_could_take_for_a_named_parameter_stays() {
        let query = Query::only(["page", "Q", "filter[x]"].map(String::from).into_iter());
        assert_eq!(query.shape().as_deref(), Some("?page&q"));
        for (target, expected) in [
            ("/a", "/a"),
            ("/a?", "/a"),
            ("/a?utm_source=x", "/a"),
            ("/a?page=1&utm-source=x&q=b", "/a?page=1&q=b"),
            ("/a?q=b&page=1", "/a?q=b&page=1"),
            ("/a?page=1&page=2", "/a?page=1&page=2"),
            ("/a?page", "/a?page"),
            ("/a?PAGE=1&Q=2", "/a?PAGE=1&Q=2"),
            ("/a?%70age=1", "/a?%70age=1"),
            ("/a?page+=1", "/a?page+=1"),
            ("/a?page%00=1", "/a?page%00=1"),
            ("/a?filter[x]=1&page[]=2", "/a?filter[x]=1&page[]=2"),
            ("/a?utm.source=1", "/a?utm.source=1"),
            ("/a?utm=1;page=2", "/a?utm=1;page=2"),
            ("/a?utm=1?page=2", "/a"),
            ("/a?=1&&x", "/a?=1"),
            ("/a/?x/y", "/a/?x/y"),
        ] {
            let target: PathAndQuery = target.parse().unwrap();
            assert_eq!(query.of(&target), expected, "{target}");
        }
        let none = Query::only(std::iter::empty());
        assert_eq!(none.of(&"/a?b=c&d".parse().unwrap()), "/a");
        assert_eq!(Query::default().of(&"/a?b".parse().unwrap()), "/a?b");
    }
}

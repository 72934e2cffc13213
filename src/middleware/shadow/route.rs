//! Routes, and what is counted of each.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{Extensions, Method};

use super::evidence::{FieldEvidence, differing};
use super::flight::Sighting;

/// The longest name of a route, in bytes.
const MOST_NAME: usize = 160;

/// What is counted of one route.
#[derive(Default)]
pub(super) struct RouteFigures {
    pub(super) requests: u64,
    /// Would have been answered by what is stored.
    pub(super) hits: u64,
    /// Would have waited for another request.
    pub(super) followed: u64,
    /// Would have led.
    pub(super) led: u64,
    /// Would have gone to the inner service by themselves, by the reason.
    pub(super) alone: BTreeMap<&'static str, u64>,
    /// Came to no end.
    pub(super) broken: u64,
    /// The time that the inner service took for all requests, and for those that would not have reached it.
    pub(super) spent: Duration,
    pub(super) saved: Duration,
    /// Responses for which another would have stood in, and those among them that were not the same.
    pub(super) compared: u64,
    pub(super) different: u64,
    /// Fields that are credentials: how many requests had each.
    pub(super) credentials: BTreeMap<String, u64>,
    pub(super) fields: FieldEvidence,
    pub(super) parameters: FieldEvidence,
}

impl RouteFigures {
    /// Notes that another response would have stood in for this one.
    pub(super) fn spare(&mut self, is_hit: bool, took: Duration) {
        *(if is_hit { &mut self.hits } else { &mut self.followed }) += 1;
        self.saved += took;
    }

    pub(super) fn compare(&mut self, own: &Sighting, other: &Sighting) {
        self.compared += 1;
        self.different += u64::from(!self.pair(own, other));
    }

    /// Whether both responses are the same.
    pub(super) fn pair(&mut self, own: &Sighting, other: &Sighting) -> bool {
        let is_same = own.digest == other.digest;
        self.fields.add(&differing(&own.fields, &other.fields), is_same);
        is_same
    }
}

/// The name of the route that a request takes: as axum's router has it, or the path without what looks like an id.
pub(super) fn route_of(method: &Method, path: &str, extensions: &Extensions) -> String {
    let mut name = method.as_str().to_owned();
    name.push(' ');
    #[cfg(feature = "axum")]
    if let Some(matched) = extensions.get::<axum::extract::MatchedPath>() {
        name.push_str(matched.as_str());
        return name;
    }
    #[cfg(not(feature = "axum"))]
    let _ = extensions;
    for (at, segment) in path.split('/').enumerate() {
        if at > 0 {
            name.push('/');
        }
        name.push_str(if is_id(segment) { "{}" } else { segment });
    }
    if name.len() > MOST_NAME {
        let end = (0..=MOST_NAME).rev().find(|end| name.is_char_boundary(*end));
        name.truncate(end.unwrap_or_default());
        name.push_str("...");
    }
    name
}

/// Whether a part of a path names one thing of many: a number, or a long word with digits such as a UUID.
fn is_id(segment: &str) -> bool {
    let digits = segment.bytes().filter(u8::is_ascii_digit).count();
    let is_number = digits > 0 && digits == segment.len();
    is_number || (digits > 0 && segment.len() >= 16) || segment.len() > 48
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_left_out_of_the_name() {
        for (path, name) in [
            ("/", "GET /"),
            ("/report/42/pages", "GET /report/{}/pages"),
            ("/v1/report", "GET /v1/report"),
            ("/a/67e55044-10b1-426f-9247-bb680e5fe0c8", "GET /a/{}"),
            ("/assets/application-layout", "GET /assets/application-layout"),
            ("*", "GET *"),
        ] {
            assert_eq!(route_of(&Method::GET, path, &Extensions::new()), name);
        }
        let long = route_of(&Method::GET, &"/ab".repeat(1000), &Extensions::new());
        assert!(long.len() < 200);
    }
}

//! [`Sightings`]: whether calls of a method that was named ever come.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// So many calls of a method that a name may have meant tell that the name is wrong. A single one may be a client's
/// mistake.
const MISSPELT: u32 = 10;
/// So many calls of other methods of the service, of which no method was named, make it likely.
const RELATED: u32 = 1000;

/// What is known of one method that was named. Clones of its layer share it.
#[derive(Debug, Default)]
pub(crate) struct Sightings {
    /// Whether it was called, or the operator was told that it was not.
    settled: AtomicBool,
    misspelt: AtomicU32,
    related: AtomicU32,
}

impl Sightings {
    /// The method was called.
    pub(crate) fn seen(&self) {
        if !self.settled.load(Ordering::Relaxed) {
            self.settled.store(true, Ordering::Relaxed);
        }
    }

    /// A call of `passed`, which is not named, went to the inner service. Warns once.
    pub(crate) fn missed(&self, named: &str, passed: &str) {
        if self.settled.load(Ordering::Relaxed) {
            return;
        }
        let (count, enough) = if is_misspelt(named, passed) {
            (&self.misspelt, MISSPELT)
        } else if is_related(named, passed) {
            (&self.related, RELATED)
        } else {
            return;
        };
        let calls = count.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if calls >= enough && !self.settled.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                method = named,
                passed,
                calls,
                "no call has matched this gRPC method yet, while calls like the one in `passed` go to the handler unshared; \
                 name the method as its .proto does: /package.Service/Method"
            );
        }
    }
}

/// Whether two paths mean one method: they differ in case, in underscores, or one of them has no package.
fn is_misspelt(named: &str, passed: &str) -> bool {
    let [named, passed] = [named, passed].map(|path| path.replace('_', "").to_ascii_lowercase());
    let (Some((one, method)), Some((other, called))) = (named.rsplit_once('/'), passed.rsplit_once('/')) else {
        return false;
    };
    let [one, other] = [one, other].map(|service| service.trim_start_matches('/'));
    let ends = |long: &str, short: &str| {
        long.strip_suffix(short)
            .is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    };
    method == called && (ends(one, other) || ends(other, one))
}

/// Whether two paths are of one service, or of one method of services with one name in different packages.
fn is_related(named: &str, passed: &str) -> bool {
    let (Some((one, method)), Some((other, called))) = (named.rsplit_once('/'), passed.rsplit_once('/')) else {
        return false;
    };
    let name = |service: &str| service.rsplit(['.', '/']).next().unwrap_or_default().to_owned();
    one == other || (method == called && name(one) == name(other))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_mean_one_method_are_told_from_those_of_others() {
        for (named, passed, misspelt, related) in [
            ("/a.B/SayHello", "/a.B/sayhello", true, true),
            ("/a.B/SayHello", "/a.B/say_hello", true, true),
            ("/B/SayHello", "/a.B/SayHello", true, true),
            ("/x.a.B/SayHello", "/a.B/SayHello", true, true),
            ("/a.B/GetUser", "/a.B/GetUsers", false, true),
            ("/a.v1.B/Get", "/a.v2.B/Get", false, true),
            ("/a.v1.B/Get", "/a.v2.B/Set", false, false),
            ("/a.B/Check", "/grpc.health.v1.Health/Check", false, false),
            ("/a.B/Get", "/a.AB/Get", false, false),
            ("/a.B/Get", "nothing", false, false),
        ] {
            assert_eq!(is_misspelt(named, passed), misspelt, "{named} {passed}");
            assert_eq!(
                is_misspelt(named, passed) || is_related(named, passed),
                related,
                "{named} {passed}"
            );
        }
    }
}

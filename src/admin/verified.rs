//! What became of the hits that layers have verified.

use std::fmt::{self, Write};
use std::sync::Arc;

use super::html::{HtmlText, section};
use super::json::JsonText;
use super::source::Source;
use crate::middleware::{VerifiedRoute, Verify};

/// The report of one layer.
pub(super) struct Verified {
    tag: String,
    routes: Vec<VerifiedRoute>,
}

/// The reports of all layers, each once.
pub(super) fn verified<B>(sources: &[Arc<dyn Source<B>>]) -> Vec<Verified> {
    let mut seen: Vec<&Arc<Verify>> = Vec::new();
    let mut all = Vec::new();
    for source in sources {
        let Some(verify) = source.verify() else { continue };
        if seen.iter().any(|known| Arc::ptr_eq(known, verify)) {
            continue;
        }
        seen.push(verify);
        all.push(Verified {
            tag: source.tag().to_owned(),
            routes: verify.report(),
        });
    }
    all
}

impl Verified {
    pub(super) fn write(&self, json: &mut JsonText) {
        json.name("tag").text(&self.tag);
        json.name("routes").array(&self.routes, |json, route| {
            json.object(|json| {
                json.name("route").text(&route.route);
                json.name("verified").plain(route.verified);
                json.name("different").plain(route.different);
                json.name("failed").plain(route.failed);
            });
        });
    }

    pub(super) fn show(&self, page: &mut String) {
        let title = format!("Hits of {} that were verified", HtmlText(&self.tag));
        let columns = ["route", "verified", "different", "failed"];
        section(page, &title, "No hit yet.", &columns, &self.routes, row);
    }
}

fn row(page: &mut String, route: &VerifiedRoute) -> fmt::Result {
    write!(
        page,
        "<th scope=\"row\"><code>{}</code></th><td>{}</td><td>{}</td><td>{}</td>",
        HtmlText(&route.route),
        route.verified,
        route.different,
        route.failed
    )
}

//! What layers in shadow mode would have done.

use std::fmt::{self, Write};
use std::sync::Arc;

use super::html::{HtmlText, Percent, section};
use super::json::JsonText;
use super::source::Source;
use crate::middleware::{RouteReport, Shadow, ShadowReport};

/// The report of one layer.
pub(super) struct Watched {
    tag: String,
    report: ShadowReport,
}

/// The reports of all layers, each once.
pub(super) fn watched<B>(sources: &[Arc<dyn Source<B>>]) -> Vec<Watched> {
    let mut seen: Vec<&Arc<Shadow>> = Vec::new();
    let mut all = Vec::new();
    for source in sources {
        let Some(shadow) = source.shadow() else { continue };
        if seen.iter().any(|known| Arc::ptr_eq(known, shadow)) {
            continue;
        }
        seen.push(shadow);
        all.push(Watched {
            tag: source.tag().to_owned(),
            report: shadow.report(),
        });
    }
    all
}

impl Watched {
    pub(super) fn write(&self, json: &mut JsonText) {
        json.name("tag").text(&self.tag);
        json.name("age_seconds").decimal(Some(self.report.age.as_secs_f64()));
        json.name("switch_on")
            .array(self.report.switch_on(), |json, route| json.text(route));
        json.name("routes").array(&self.report.routes, |json, route| {
            json.object(|json| write_route(json, route));
        });
    }

    pub(super) fn show(&self, page: &mut String) {
        let title = format!("Shadow mode of {}: what the layer would do", HtmlText(&self.tag));
        section(
            page,
            &title,
            "No request yet.",
            &[
                "route",
                "advice",
                "requests",
                "hits",
                "collapsed",
                "calls spared",
                "time spared",
            ],
            &self.report.routes,
            route_row,
        );
        let routes: Vec<_> = self
            .report
            .switch_on()
            .map(|route| HtmlText(route).to_string())
            .collect();
        // Writing to a text cannot fail.
        let _ = match routes.is_empty() {
            true => writeln!(
                page,
                "<p class=\"link\">There is no route yet to switch {} on for.</p>",
                HtmlText(&self.tag)
            ),
            false => writeln!(
                page,
                "<p class=\"link\">Switch it on for these routes: {}.</p>",
                routes.join(", ")
            ),
        };
    }
}

fn write_route(json: &mut JsonText, route: &RouteReport) {
    json.name("route").text(&route.route);
    json.name("advice").text(route.advice.as_str());
    json.name("why").text(&route.why);
    let counts = [
        ("requests", route.requests),
        ("hits", route.hits),
        ("followed", route.followed),
        ("led", route.led),
        ("broken", route.broken),
        ("calls_saved", route.calls_saved()),
        ("compared", route.compared),
        ("different", route.different),
    ];
    for (name, count) in counts {
        json.name(name).plain(count);
    }
    json.name("hit_ratio").decimal(route.hit_ratio());
    json.name("collapse_ratio").decimal(route.collapse_ratio());
    json.name("seconds").decimal(Some(route.spent.as_secs_f64()));
    json.name("seconds_saved").decimal(Some(route.saved.as_secs_f64()));
    json.name("alone").object(|json| {
        for (reason, count) in &route.alone {
            json.name(reason).plain(count);
        }
    });
    json.name("missing_in_key").array(&route.missing, |json, missing| {
        json.object(|json| {
            json.name("field").text(&missing.field);
            json.name("different").plain(missing.different);
            json.name("same").plain(missing.same);
        });
    });
    json.name("credentials").array(&route.credentials, |json, met| {
        json.object(|json| {
            json.name("field").text(&met.field);
            json.name("requests").plain(met.requests);
        });
    });
    json.name("idle_parameters")
        .array(&route.idle_parameters, |json, (name, pairs)| {
            json.object(|json| {
                json.name("name").text(name);
                json.name("pairs").plain(pairs);
            });
        });
}

fn route_row(page: &mut String, route: &RouteReport) -> fmt::Result {
    write!(
        page,
        "<th scope=\"row\"><code>{}</code><p class=\"hint\">{}</p>",
        HtmlText(&route.route),
        HtmlText(&route.why)
    )?;
    hint(
        page,
        "Apart from others",
        route.alone.iter().map(|(reason, count)| format!("{count} {reason}")),
    )?;
    let met = route.credentials.iter();
    hint(
        page,
        "Credentials met",
        met.map(|met| format!("{} in {} requests", met.field, met.requests)),
    )?;
    let idle = route.idle_parameters.iter();
    hint(
        page,
        "Parameters without effect",
        idle.map(|(name, pairs)| format!("{name} ({pairs} pairs)")),
    )?;
    write!(
        page,
        "</th><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{}</td><td>{:.1} of {:.1} s</td>",
        route.advice.as_str(),
        route.requests,
        Percent(route.hit_ratio()),
        Percent(route.collapse_ratio()),
        route.calls_saved(),
        route.saved.as_secs_f64(),
        route.spent.as_secs_f64(),
    )
}

fn hint(page: &mut String, what: &str, items: impl Iterator<Item = String>) -> fmt::Result {
    let items: Vec<_> = items.collect();
    match items.is_empty() {
        true => Ok(()),
        false => write!(page, "<p class=\"hint\">{what}: {}.</p>", HtmlText(items.join(", "))),
    }
}

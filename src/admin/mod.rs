//! The admin service: shows what goes on beneath the layers of a program, and takes invalidations.
//!
//! ```text
//! service.rs     which path gets what
//! guard.rs       no other site sends a browser here
//! query.rs       what is to be invalidated
//! source.rs      what a layer tells, and how it is told
//! state.rs       what there is to show of all layers, at one moment
//! page.rs        the same for people, written with html.rs
//! shadow.rs      what layers in shadow mode would have done
//! verified.rs    what became of hits that were verified
//! json.rs        the same for programs
//! metrics.rs     all figures, as OpenMetrics
//! ```

mod guard;
mod html;
mod json;
mod metrics;
mod page;
mod query;
mod reply;
mod service;
mod shadow;
mod source;
mod state;
mod verified;

pub use self::service::{Admin, AdminFuture};

//! The admin service as operators, browsers and scrapers see it.

mod invalidation;
mod page;
mod proxy;
mod shadow;
mod site;

//! What has a stamp is current, or absent.

pub(crate) mod currency;
pub(crate) mod marking;

//! Together with other members of the memolock family, and with workers in any language: plain Redis commands play them.

mod databases;
mod external;
mod fixture;
mod leaders;
mod letters;
mod listeners;

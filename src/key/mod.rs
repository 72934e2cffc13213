//! The identity of one computation: [`Tag`], [`Key`] and [`Address`].
//!
//! A *tag* names a kind of resource (`report`), a *key* one resource of that kind, and both together are the
//! *address* under which every node of a cluster looks for the stored value, the lock and the promise:
//! `report:{GET //example.com/report/42}`.
//!
//! Two kinds of key exist. [`Key::new`] takes an id **to the letter**, so that programs in other languages can address
//! it. [`KeyBuilder`] derives a key from any number of parts, and no part needs to be trusted: the result is injective
//! (different parts never give the same key), bounded in length, and readable where it is short.

mod address;
mod builder;
mod error;
mod id;
mod label;
mod readable;
mod tag;

pub use self::address::Address;
pub use self::builder::KeyBuilder;
pub use self::error::KeyError;
pub use self::id::{Key, MAX_ID_LEN};
pub use self::label::{Label, LabelError, MAX_LABELS};
pub(crate) use self::readable::Readable;
pub use self::tag::{MAX_TAG_LEN, Tag};

//! Placeholder.
/// x
#[derive(Debug)]
pub struct RedisStore;
/// x
#[derive(Debug)]
pub struct RedisWatch;
/// x
#[derive(Debug)]
pub struct RedisStoreBuilder;

//! [`StreamFollowers`]: who gets a response while it comes.

/// Which followers get a response as it comes, instead of once it is whole, for
/// [`MemoLockLayer::stream_followers`](crate::MemoLockLayer::stream_followers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StreamFollowers {
    /// None. Each gets it once it is whole.
    #[default]
    Off,
    /// Those in the process of their leader.
    Process,
    /// Those in every process, where the store is a [`RedisStore`](crate::RedisStore). With another store, the same as
    /// [`Process`](Self::Process).
    Cluster,
}

//! [`StreamFollowers`]: which followers get a response while it comes.

/// Which followers get a response as it comes, instead of once it is whole, for
/// [`MemoLockLayer::stream_followers`](crate::MemoLockLayer::stream_followers).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum StreamFollowers {
    /// No follower. Each gets the response once it is whole.
    #[default]
    Off,
    /// Followers in the process of their leader.
    Process,
    /// Followers in every process, where the store is a [`RedisStore`](crate::RedisStore). With another store this is
    /// the same as [`Process`](Self::Process).
    Cluster,
}

//! [`WriteSettings`]: the form in which values go to Redis.

#[derive(Debug, Clone, Copy)]
pub(super) struct WriteSettings {
    /// Up to so many bytes a value is published itself.
    pub(super) inline_limit: usize,
    /// From so many bytes on a value is compressed.
    #[cfg(feature = "zstd")]
    pub(super) compress_from: usize,
}

impl WriteSettings {
    pub(super) const DEFAULT: Self = Self {
        inline_limit: 64 << 10,
        #[cfg(feature = "zstd")]
        compress_from: usize::MAX,
    };
}

//! What the crate asks of the system, unless a simulation answers.

#[cfg(any(feature = "http", feature = "redis"))]
use std::hash::{DefaultHasher, Hash, Hasher};
#[cfg(any(feature = "http", feature = "memory", feature = "redis"))]
use std::time::SystemTime;

/// There is no source of randomness.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NoRandomness;

/// Fills `bytes` with random ones.
pub(crate) fn fill(bytes: &mut [u8]) -> Result<(), NoRandomness> {
    #[cfg(feature = "test-util")]
    if let Some(world) = crate::simulation::here() {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&world.random().to_be_bytes()[..chunk.len()]);
        }
        return Ok(());
    }
    getrandom::fill(bytes).map_err(|_| NoRandomness)
}

/// Hashes that no client can foresee.
#[cfg(any(feature = "http", feature = "redis"))]
#[derive(Debug, Clone)]
pub(crate) struct SaltedHash(DefaultHasher);

#[cfg(any(feature = "http", feature = "redis"))]
impl Default for SaltedHash {
    fn default() -> Self {
        let (mut salt, mut hasher) = ([0; 16], DefaultHasher::new());
        // Without randomness there is no salt, and a client can make its names collide.
        let _ = fill(&mut salt);
        hasher.write(&salt);
        Self(hasher)
    }
}

#[cfg(any(feature = "http", feature = "redis"))]
impl SaltedHash {
    pub(crate) fn of(&self, value: &(impl Hash + ?Sized)) -> u64 {
        let mut hasher = self.0.clone();
        value.hash(&mut hasher);
        hasher.finish()
    }
}

/// The time of day.
#[cfg(any(feature = "http", feature = "memory", feature = "redis"))]
pub(crate) fn now() -> SystemTime {
    #[cfg(feature = "test-util")]
    if let Some(world) = crate::simulation::here() {
        return world.now();
    }
    SystemTime::now()
}

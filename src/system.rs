//! What the crate asks of the system, unless a simulation answers.

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

/// The time of day.
#[cfg(any(feature = "http", feature = "memory", feature = "redis"))]
pub(crate) fn now() -> SystemTime {
    #[cfg(feature = "test-util")]
    if let Some(world) = crate::simulation::here() {
        return world.now();
    }
    SystemTime::now()
}

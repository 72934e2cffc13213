//! [`Reservation`]: how much memory one recording may hold, out of the bound of all recordings.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::codec::Codec;
use crate::memo::{Counters, Room, Shared};

/// Given back when dropped, which is once neither the store nor the leader's client needs the recording any more.
pub(crate) struct Reservation {
    counters: Arc<Counters>,
    room: Arc<Room>,
    most: u64,
    bytes: AtomicU64,
}

impl Reservation {
    /// Out of `most` bytes for all recordings.
    pub(crate) fn new<C: Codec>(shared: &Shared<C>, most: u64) -> Self {
        Self {
            counters: Arc::clone(&shared.counters),
            room: Arc::clone(&shared.recording_room),
            most,
            bytes: AtomicU64::new(0),
        }
    }

    /// Reserves further bytes, if there is room.
    pub(crate) fn grow(&self, bytes: u64) -> bool {
        let grown = self.counters.recorded_bytes.try_add(bytes, self.most);
        if grown {
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        grown
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        self.counters.recorded_bytes.subtract(*self.bytes.get_mut());
        self.room.tell();
    }
}

//! The flights of one process, by address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::flight::{Flight, Waiter};
use crate::key::Address;

pub(crate) struct Table<L, O> {
    flights: Mutex<HashMap<Address, Arc<Flight<L, O>>>>,
    /// How many flights there are, so that a hit does not have to take the lock to learn that there is none.
    len: AtomicUsize,
}

/// A place among those who wait.
pub(crate) struct Joined<L, O> {
    pub(crate) waiter: Waiter<L, O>,
    /// The flight, where it is new and needs a keeper.
    pub(crate) started: Option<Arc<Flight<L, O>>>,
}

impl<L, O> Table<L, O> {
    pub(crate) fn new() -> Self {
        Self {
            flights: Mutex::default(),
            len: AtomicUsize::new(0),
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Address, Arc<Flight<L, O>>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many flights are under way.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Joins the flight that is under way, if there is one.
    pub(crate) fn join_existing(&self, address: &Address) -> Option<Waiter<L, O>> {
        if self.len() == 0 {
            return None;
        }
        self.flights().get(address).and_then(Flight::join)
    }

    /// Joins the flight that is under way, or starts one.
    pub(crate) fn join(&self, address: &Address) -> Joined<L, O> {
        let mut flights = self.flights();
        let entry = flights.entry(address.clone());
        if let Entry::Occupied(flight) = &entry
            && let Some(waiter) = Flight::join(flight.get())
        {
            return Joined { waiter, started: None };
        }
        let (flight, waiter) = Flight::start();
        entry.insert_entry(Arc::clone(&flight));
        self.len.store(flights.len(), Ordering::Relaxed);
        Joined {
            waiter,
            started: Some(flight),
        }
    }

    /// Takes `flight` out, so that whoever comes later starts another.
    pub(crate) fn remove(&self, address: &Address, flight: &Arc<Flight<L, O>>) {
        let mut flights = self.flights();
        if flights.get(address).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            flights.remove(address);
            self.len.store(flights.len(), Ordering::Relaxed);
        }
    }

    /// Takes whatever flight there is out. It goes on for those who joined it.
    pub(crate) fn detach(&self, address: &Address) {
        let mut flights = self.flights();
        flights.remove(address);
        self.len.store(flights.len(), Ordering::Relaxed);
    }
}

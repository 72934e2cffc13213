//! The flights of one process, by address.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::clock::Tick;
use super::flight::Flight;
#[cfg(feature = "admin")]
use super::flight::Glance;
use super::line::Room;
use super::waiter::Waiter;
use crate::key::Address;
use crate::memo::limits::{Bounds, Limit};

pub(crate) struct Table<L, O> {
    flights: Mutex<HashMap<Address, Arc<Flight<L, O>>>>,
    /// How many flights there are, so that a hit does not have to take the lock to learn that there is none.
    len: AtomicUsize,
    emptied: Notify,
    /// Told of every flight that is taken out.
    pub(crate) room: Room,
}

/// A caller that has joined a flight.
pub(crate) struct Joined<L, O> {
    pub(crate) waiter: Waiter<L, O>,
    /// The flight, if it is new and needs a keeper.
    pub(crate) started: Option<Arc<Flight<L, O>>>,
}

impl<L, O> Table<L, O> {
    pub(crate) fn new() -> Self {
        Self {
            flights: Mutex::default(),
            len: AtomicUsize::new(0),
            emptied: Notify::new(),
            room: Room::default(),
        }
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Address, Arc<Flight<L, O>>>> {
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many flights are under way.
    pub(crate) fn len(&self) -> usize {
        self.len.load(Ordering::Relaxed)
    }

    /// Resolves once no flight is under way.
    pub(crate) async fn empty(&self) {
        loop {
            // From here on nothing can be missed.
            let emptied = self.emptied.notified();
            if self.len() == 0 {
                return;
            }
            emptied.await;
        }
    }

    fn recount(&self, flights: &HashMap<Address, Arc<Flight<L, O>>>) {
        self.len.store(flights.len(), Ordering::Relaxed);
        if flights.is_empty() {
            self.emptied.notify_waiters();
        }
        self.room.tell();
    }

    /// Whether a flight is under way.
    pub(crate) fn contains(&self, address: &Address) -> bool {
        self.len() > 0 && self.flights().contains_key(address)
    }

    /// The flight that is under way.
    pub(crate) fn get(&self, address: &Address) -> Option<Arc<Flight<L, O>>> {
        self.flights().get(address).cloned()
    }

    /// Whether a caller that asks for `address` now would find room, unless too many wait for that alone.
    pub(crate) fn admits(&self, address: &Address, limits: &Bounds) -> bool {
        self.len() < limits.in_flight || self.contains(address)
    }

    /// Joins the flight that is under way, or starts one, as a caller that `arrived` then. Without `bounds` it always
    /// finds room.
    pub(crate) fn join(
        &self,
        address: &Address,
        arrived: Tick,
        bounds: Option<&Bounds>,
    ) -> Result<Joined<L, O>, Limit> {
        let mut flights = self.flights();
        let full = bounds.is_some_and(|bounds| flights.len() >= bounds.in_flight);
        let entry = flights.entry(address.clone());
        if let Entry::Occupied(flight) = &entry {
            if bounds.is_some_and(|bounds| flight.get().is_full(bounds.waiters)) {
                return Err(Limit::Waiters);
            }
            if let Some(waiter) = Waiter::join(flight.get(), arrived) {
                return Ok(Joined { waiter, started: None });
            }
        } else if full {
            return Err(Limit::InFlight);
        }
        let (flight, waiter) = Waiter::first(arrived);
        entry.insert_entry(Arc::clone(&flight));
        self.len.store(flights.len(), Ordering::Relaxed);
        Ok(Joined {
            waiter,
            started: Some(flight),
        })
    }

    /// Takes `flight` out, so that a later caller starts another.
    pub(crate) fn remove(&self, address: &Address, flight: &Arc<Flight<L, O>>) {
        let mut flights = self.flights();
        if flights.get(address).is_some_and(|known| Arc::ptr_eq(known, flight)) {
            flights.remove(address);
            self.recount(&flights);
        }
    }

    /// Has all callers from here on join flights of their own.
    pub(crate) fn detach_all(&self) {
        let mut flights = self.flights();
        let detached = std::mem::take(&mut *flights);
        self.recount(&flights);
        drop(flights);
        drop(detached);
    }

    /// Takes out the flight, if there is one. It goes on for the waiters that have joined it.
    pub(crate) fn detach(&self, address: &Address) {
        let mut flights = self.flights();
        flights.remove(address);
        self.recount(&flights);
    }

    /// The `most` oldest flights that are under way.
    #[cfg(feature = "admin")]
    pub(crate) fn oldest(&self, most: usize) -> Vec<(Address, Glance)> {
        let flights = self.flights();
        let mut all: Vec<_> = flights
            .iter()
            .map(|(address, flight)| (flight.began(), address))
            .collect();
        all.sort_unstable_by_key(|(began, _)| *began);
        let oldest = all.into_iter().take(most);
        let seen = oldest.filter_map(|(_, address)| Some((address.clone(), flights.get(address)?.glance())));
        seen.collect()
    }
}

#[cfg(test)]
mod tests {
    use std::future::{Future, poll_fn};
    use std::pin::pin;
    use std::task::Poll;

    use super::*;
    use crate::key::{Key, Tag};

    fn address() -> Address {
        Address::new(&Tag::new("t").unwrap(), &Key::new("k").unwrap())
    }

    #[tokio::test]
    async fn a_table_without_flights_is_empty_at_once() {
        let table = Table::<(), &'static str>::new();
        table.empty().await;
        let joined = table.join(&address(), Tick::START, None).ok().unwrap();
        let flight = joined.started.unwrap();
        assert!(table.contains(&address()));
        let mut empty = pin!(table.empty());
        assert!(poll_fn(|cx| Poll::Ready(empty.as_mut().poll(cx).is_pending())).await);
        table.remove(&address(), &flight);
        empty.await;
    }

    #[test]
    fn a_key_in_flight_is_admitted_where_another_finds_no_room() {
        let bounds = Bounds {
            in_flight: 1,
            ..Bounds::DEFAULT
        };
        let other = Address::new(&Tag::new("t").unwrap(), &Key::new("other").unwrap());
        let table = Table::<(), &'static str>::new();
        assert!(table.admits(&address(), &bounds));
        let joined = table.join(&address(), Tick::START, Some(&bounds)).ok().unwrap();
        assert!(table.admits(&address(), &bounds) && !table.admits(&other, &bounds));
        assert_eq!(
            table.join(&other, Tick::START, Some(&bounds)).err(),
            Some(Limit::InFlight)
        );
        table.remove(&address(), &joined.started.unwrap());
        assert!(table.admits(&other, &bounds));
    }

    #[test]
    fn a_flight_that_was_detached_does_not_take_out_the_one_after_it() {
        let table = Table::<(), &'static str>::new();
        let join = || table.join(&address(), Tick::START, None).ok().unwrap();
        let earlier = join();
        table.detach(&address());
        let later = join();
        table.remove(&address(), &earlier.started.unwrap());
        assert!(table.contains(&address()));
        table.remove(&address(), &later.started.unwrap());
        assert!(!table.contains(&address()));
        let _last = join();
        table.detach_all();
        assert_eq!(table.len(), 0);
    }

    #[cfg(feature = "admin")]
    #[tokio::test(start_paused = true)]
    async fn an_operator_sees_the_oldest_flights_first() {
        let table = Table::<(), &'static str>::new();
        let mut began = Vec::new();
        for id in 0..20 {
            let address = Address::new(&Tag::new("t").unwrap(), &Key::new(id.to_string()).unwrap());
            assert!(table.join(&address, Tick::START, None).is_ok());
            began.push(address);
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        }
        let seen: Vec<_> = table.oldest(19).into_iter().map(|(address, _)| address).collect();
        assert_eq!(seen, began[..19]);
    }
}

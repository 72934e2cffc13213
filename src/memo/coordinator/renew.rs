//! How a keeper sees to a computation that is under way: its lease, and what happens around it.

use std::future::poll_fn;

use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

use super::acquire::LockState;
use super::heard::Heard;
use super::landing::ComputationEnd;
use super::progress::Search;
use super::watch::{self, LiveWatch, Spacing};
use super::{Coordinator, MemoCustody, early_result, hear};
use crate::codec::Codec;
use crate::memo::config::Config;
use crate::memo::flights::clock::Arrivals;
use crate::memo::leases::Holding;
use crate::memo::leases::lease::{Extension, Handed, LeaseEnd, LeaseError};
use crate::memo::permit::{Led, Manner};
use crate::simulation::{Planted, planted};
use crate::store::{Notice, Release, Renewed};

/// The lease of a computation under way.
struct Renewal {
    claim: LockState,
    /// Whether there is something to renew.
    held: bool,
    /// When it ends unless it is renewed.
    end: Instant,
    /// When it is to be renewed.
    beat: Instant,
    /// The callers for which the store was last asked for it, answer or no answer.
    asked: Arrivals,
    spacing: Spacing,
    /// Set where the computation says when to renew it.
    handed: Option<Handed>,
}

/// Keeps the lease until there is a verdict, or no lease; gives it back before that where the process shuts down.
/// `asked_at` is when the store was asked for the lease.
pub(super) async fn while_computing<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    claim: &mut LockState,
    asked_at: Instant,
    search: &mut Search<'a, C>,
    holding: &mut Holding<'_>,
    led: &mut Led<C::Value>,
    custody: &mut MemoCustody<C::Value>,
) -> ComputationEnd<C::Value> {
    let mut renewal = renewal(coordinator, *claim, asked_at);
    coordinator.flight.lease_until(renewal.held.then_some(renewal.end));
    let mut confirming = None;
    let mut told_manner = false;
    loop {
        tokio::select! {
            biased;
            ended = early_result::until_concluded(coordinator, *claim, &mut led.expected) => return ended,
            manner = &mut led.manner, if !told_manner => {
                told_manner = true;
                match manner {
                    Ok(Manner::ByHand(handed)) => {
                        renewal.hand_over(handed);
                        // From here on the computation says for how long it goes on.
                        custody.is_never_due();
                    }
                    Ok(Manner::Listening(listens)) => confirming = start_listening(coordinator, &mut search.watch, listens),
                    Err(_) => {}
                }
            }
            (notice, since) = watch::next(&mut search.watch) => match notice {
                Notice::Reread => drop(confirming.take().map(|listens| listens.send(()))),
                Notice::Stored(_) | Notice::Announced | Notice::Kept(_) => if let Heard::Landed(outcome, whom) = hear::notice(coordinator, notice, since).await {
                    return ComputationEnd::Resolved(outcome, whom);
                }
                Notice::Deferred { starts } => search.starts.hear(starts),
                // Only the holder of the lock may say anything else.
                _ => {}
            },
            () = renew_until_lost(coordinator, &mut renewal) => return ComputationEnd::LeaseLost,
            expired = custody.expired() => return ComputationEnd::Expired(expired),
            () = coordinator.shared.leases.closed(), if *claim != LockState::None => {
                if !give_back(coordinator, *claim).await {
                    return ComputationEnd::LeaseLost;
                }
                holding.give_back();
                *claim = LockState::None;
                renewal.end_never();
            }
        }
    }
}

fn renewal<C: Codec>(coordinator: &Coordinator<C>, claim: LockState, asked_at: Instant) -> Renewal {
    Renewal {
        claim,
        held: claim.is_held(),
        end: asked_at + coordinator.config.lease.min(Config::LONG),
        beat: Instant::now() + coordinator.config.lease.min(Config::LONG) / 3,
        asked: coordinator.tenure.last(),
        spacing: Spacing::starting_now(),
        handed: None,
    }
}

/// Listens, and says so as soon as nothing can be missed.
fn start_listening<'a, C: Codec>(
    coordinator: &'a Coordinator<C>,
    watch: &mut Option<LiveWatch<'a, C>>,
    listens: oneshot::Sender<()>,
) -> Option<oneshot::Sender<()>> {
    if watch.is_some() {
        let _ = listens.send(());
        return None;
    }
    *watch = Some(LiveWatch::start(coordinator));
    Some(listens)
}

/// Gives the lease back although the computation goes on. `false` where it was lost.
async fn give_back<C: Codec>(coordinator: &Coordinator<C>, claim: LockState) -> bool {
    let asked = coordinator.shared.clock.tick();
    match coordinator.release(claim, Release::Abandoned).await {
        Some(true) => {
            coordinator.tenure.extend(asked);
            coordinator.shared.counters.given_back.add();
            tracing::debug!(address = %coordinator.address.readable(), "lease given back: the result stays in this process");
            true
        }
        Some(false) if claim.is_held() && !coordinator.is_forgotten(claim) => false,
        Some(false) | None => {
            coordinator.part_from_newcomers();
            true
        }
    }
}

/// Resolves once the lease is lost; without one there is nothing that could end. Cancel safe.
async fn renew_until_lost<C: Codec>(coordinator: &Coordinator<C>, renewal: &mut Renewal) {
    loop {
        let lost = match &mut renewal.handed {
            None => heartbeat(coordinator, renewal).await,
            Some(handed) => {
                let end = renewal.end;
                let extension = tokio::select! {
                    biased;
                    Some(extension) = handed.extensions.recv() => Some(extension),
                    () = sleep_until(end), if renewal.held => None,
                    // Every handle was dropped, and nothing ends.
                    else => std::future::pending().await,
                };
                match extension {
                    Some(extension) => extend(coordinator, renewal, extension).await,
                    None => {
                        // The store's clock is a little behind. No waiter has to wait for that.
                        coordinator.release(renewal.claim, Release::Abandoned).await;
                        true
                    }
                }
            }
        };
        if lost {
            return;
        }
    }
}

/// Waits until it is time, and renews the lease. Whether it was lost.
///
/// It is time soon after a request has joined, too: if the store is lost later on, the lease then vouches for the
/// result to that request as well.
async fn heartbeat<C: Codec>(coordinator: &Coordinator<C>, renewal: &mut Renewal) -> bool {
    let Renewal {
        held,
        beat,
        asked,
        spacing,
        ..
    } = *renewal;
    let joined = async {
        let known = || coordinator.tenure.last().max(asked);
        loop {
            poll_fn(|cx| coordinator.flight.poll_joined(known(), cx)).await;
            // Another command that confirms the lease meanwhile saves this one.
            spacing.pass().await;
            if coordinator.flight.has_joined(known()) {
                break;
            }
        }
    };
    tokio::select! {
        biased;
        () = sleep_until(beat) => {}
        () = joined, if held => {}
    }
    renewal.asked = Arrivals::Before(coordinator.shared.clock.tick());
    let now = Instant::now();
    renewal.beat = now + coordinator.config.lease.min(Config::LONG) / 3;
    coordinator.flight.nudge();
    if !renewal.held || planted(Planted::NotRenewed) {
        return false;
    }
    match coordinator.renew(coordinator.config.lease).await {
        Ok(Renewed::Held | Renewed::Soft) => {
            renewal.end = now + coordinator.config.lease.min(Config::LONG);
            coordinator.flight.lease_until(Some(renewal.end));
        }
        Ok(Renewed::Lost) if !coordinator.is_forgotten(renewal.claim) => return true,
        Ok(Renewed::Lost) => {
            renewal.held = false;
            coordinator.part_from_newcomers();
        }
        Err(_) => {}
    }
    false
}

/// Extends the lease as the computation asks. Whether it was lost.
async fn extend<C: Codec>(
    coordinator: &Coordinator<C>,
    renewal: &mut Renewal,
    Extension { by, answer }: Extension,
) -> bool {
    let now = Instant::now();
    let (answered, lost) = if !renewal.held {
        (Ok(()), false)
    } else if now >= renewal.end {
        coordinator.release(renewal.claim, Release::Abandoned).await;
        (Err(LeaseError::Lost), true)
    } else {
        let end = renewal.end.max(now + by.min(Config::LONG));
        match coordinator.renew(end - now).await {
            Ok(Renewed::Held | Renewed::Soft) => {
                renewal.end_at(end);
                coordinator.flight.lease_until(Some(end));
                (Ok(()), false)
            }
            // The waiters here go on waiting.
            Ok(Renewed::Lost) if coordinator.is_forgotten(renewal.claim) => {
                coordinator.part_from_newcomers();
                renewal.end_never();
                (Ok(()), false)
            }
            Ok(Renewed::Lost) => (Err(LeaseError::Lost), true),
            Err(error) => (Err(LeaseError::Store(error)), false),
        }
    };
    // A computation that does not wait for the answer has one reason less to go on.
    let _ = answer.send(answered);
    lost
}

impl Renewal {
    fn hand_over(&mut self, handed: Handed) {
        self.handed = Some(handed);
        match self.held {
            true => self.end_at(self.end),
            false => self.end_never(),
        }
    }

    fn end_at(&mut self, end: Instant) {
        self.end = end;
        self.say(LeaseEnd::At(end));
    }

    /// What is computed stays in this process.
    fn end_never(&mut self) {
        self.held = false;
        self.claim = LockState::None;
        self.say(LeaseEnd::Never);
    }

    fn say(&self, end: LeaseEnd) {
        if let Some(handed) = &self.handed {
            handed.end.send_replace(end);
        }
    }
}

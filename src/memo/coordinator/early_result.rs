//! How a keeper hands out a preview: what stands for a result before there is one.
//!
//! A result goes to waiters that came before the store was asked to take it: the store's answer says whether anything
//! was invalidated since the computation began. For a preview the keeper asks before there is a result, and again for
//! waiters that come later. If the lease is still held, and no tag was invalidated, at a moment after a waiter came,
//! then every invalidation that the waiter may know of came before the computation. Asking costs one command, or two
//! where there are tags, for all callers that come within [`SPACING`].
//!
//! Where the store cannot be asked, the result would stay in this process, and the preview goes to the same callers as
//! the result: to waiters that came while the lease was known to be held, or to all waiters where there never was a
//! lease.

use std::future::{pending, poll_fn};
use std::sync::Arc;
use std::time::Duration;

use tokio::time::sleep;

use super::acquire::{LockState, RETRY};
use super::landing::ComputationEnd;
use super::{Coordinator, commit, upload};
use crate::codec::Codec;
use crate::memo::flights::clock::{Arrivals, Tick};
use crate::memo::marking::Marking;
use crate::memo::outcome::{Landed, Outcome, Preview, Verdict};
use crate::memo::permit::PendingVerdict;
use crate::store::{Renewed, Standing};

/// How long after one question to the store the next one is asked, at least.
const SPACING: Duration = Duration::from_millis(5);

/// Waits for the verdict, and hands out a preview if there is one before it. Cancel safe.
pub(super) async fn until_concluded<C: Codec>(
    coordinator: &Coordinator<C>,
    claim: LockState,
    expected: &mut PendingVerdict<C::Value>,
) -> ComputationEnd<C::Value> {
    loop {
        let verdict = tokio::select! {
            biased;
            verdict = &mut expected.verdict => verdict,
            () = hand_out_if_any(coordinator, claim, expected.preview.as_deref()) => return ComputationEnd::LeaseLost,
        };
        match verdict {
            Ok(Verdict::Preview(mut preview, rest)) => {
                upload::start(coordinator, claim, &mut preview);
                expected.preview = Some(Box::new(preview));
                expected.verdict = rest;
            }
            Ok(verdict) => return ComputationEnd::Concluded(verdict),
            Err(_) => return ComputationEnd::Abandoned,
        }
    }
}

async fn hand_out_if_any<C: Codec>(
    coordinator: &Coordinator<C>,
    claim: LockState,
    preview: Option<&Preview<C::Value>>,
) {
    match preview {
        // Boxed, because most computations have none.
        Some(preview) => Box::pin(hand_out(coordinator, claim, preview)).await,
        None => pending().await,
    }
}

/// Hands the preview to the waiters that may have it, for as long as the lease lasts.
async fn hand_out<C: Codec>(coordinator: &Coordinator<C>, claim: LockState, preview: &Preview<C::Value>) {
    let outcome = Arc::new(Landed {
        outcome: Ok(Outcome::Ready(preview.value.clone())),
        by: coordinator.by.get(),
    });
    loop {
        poll_fn(|cx| coordinator.flight.poll_unserved(cx)).await;
        // A waiter that comes from here on may know of an invalidation that followed the answer.
        let asked = coordinator.shared.clock.tick();
        let Some(whom) = confirm(coordinator, claim, preview, asked).await else {
            return;
        };
        coordinator.flight.hand_out(Arc::clone(&outcome), whom);
        // Waiters that came later have started anew, or have to wait for the end.
        sleep(if whom < Arrivals::Before(asked) { RETRY } else { SPACING }).await;
    }
}

/// The callers that may have the preview, where the store is `asked` now; `None` where the lease is lost.
async fn confirm<C: Codec>(
    coordinator: &Coordinator<C>,
    claim: LockState,
    preview: &Preview<C::Value>,
    asked: Tick,
) -> Option<Arrivals> {
    let marking = Marking::new(preview.start, preview.labels.clone(), coordinator.shared.stamps_all());
    if !claim.is_held() {
        return Some(commit::whom_here(coordinator, &marking).await);
    }
    // On one connection, both are on their way together.
    let (held, whom) = tokio::join!(
        coordinator.renew(coordinator.config.lease),
        whom(coordinator, marking, asked)
    );
    match held {
        Ok(Renewed::Held) => Some(whom),
        Ok(Renewed::Lost) if !coordinator.is_forgotten(claim) => None,
        Ok(Renewed::Lost) => {
            coordinator.part_from_newcomers();
            Some(whom.min(coordinator.tenure.last()))
        }
        Ok(Renewed::Soft) | Err(_) => Some(whom.min(coordinator.tenure.last())),
    }
}

async fn whom<C: Codec>(coordinator: &Coordinator<C>, marking: Marking, asked: Tick) -> Arrivals {
    let (stamp, begun) = match marking {
        Marking::Plain => return Arrivals::Before(asked),
        Marking::Stamped(stamp, begun) => (stamp, begun),
        // No question to the store says what has been invalidated since.
        Marking::Unknown => return coordinator.tenure.first(),
    };
    let since = match coordinator.shared.standing(&coordinator.address, &stamp).await {
        Some(Standing::Current) => asked,
        Some(Standing::Soft { .. } | Standing::Outdated) | None => begun,
    };
    Arrivals::Before(since)
}

//! Reasons where a leader or the store fails.

use super::*;

#[tokio::test(start_paused = true)]
async fn failures_of_leaders_name_themselves() {
    let gate = Gate::new();
    let failing = Inner::gated(
        &gate,
        move |_, call| {
            if call < 3 { Err(Broken("down")) } else { Ok(fresh("x")) }
        },
    );
    let watched = Watched::new(failing, |layer| layer);
    let asked: Vec<_> = (0..4).map(|_| send(&watched.node, get("/"))).collect();
    gate.reached_by(1).await;
    settle().await;
    gate.open();
    for asked in asked {
        let _ = within("an end", asked).await.expect("no panic");
    }
    watched.has_seen(&[("passed/error", 2), ("bypassed/leader-failed", 2)]);
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_is_lost_or_given_back_is_not_said_to_have_stored() {
    for (what, expected) in [("invalidated", "led/lease-lost"), ("leaving", "led/shutdown")] {
        let gate = Gate::new();
        let watched = Watched::new(gated(&gate, |_| fresh("x")), |layer| layer.lease(3 * SECOND));
        let leader = send(&watched.node, get("/"));
        gate.reached_by(1).await;
        match what {
            "leaving" => watched.layer.handle().shutdown(Duration::ZERO).await,
            _ => {
                watched.layer.handle().invalidate(&key("/")).await.expect("a store");
            }
        }
        // Until the leader has asked for its lease again.
        sleep(4 * SECOND).await;
        gate.open();
        let told = answer(leader).await;
        let told = told.header("cache-status").expect("a status");
        assert_eq!(told, format!("memolock; fwd=uri-miss; detail={}", &expected[4..]));
        watched.has_seen(&[(expected, 1)]);
    }
}

/// A store that answers each command with the same error. Without an error, all locks are another program's and do not
/// end.
#[derive(Clone)]
struct Failing(Option<StoreErrorKind>);

impl Failing {
    fn unless<T>(&self, answer: T) -> Result<T, StoreError> {
        self.0.map_or(Ok(answer), |kind| Err(StoreError::new(kind)))
    }
}

impl Store for Failing {
    type Watch = MemoryWatch;

    async fn lookup(&self, _: &Address) -> Result<Option<Value>, StoreError> {
        self.unless(None)
    }

    async fn acquire(&self, _: &Address, _: Token, _: Duration) -> Result<Acquire, StoreError> {
        let lock = Lock::Held { remaining: None };
        self.unless(Acquire {
            lock,
            value: None,
            holder: None,
        })
    }

    async fn renew(&self, _: &Address, _: Token, _: Duration) -> Result<Renewed, StoreError> {
        self.unless(Renewed::Lost)
    }

    async fn commit(&self, _: &Address, _: Token, _: &Value, _: Duration) -> Result<bool, StoreError> {
        self.unless(false)
    }

    async fn release(&self, _: &Address, _: Token, _: Release) -> Result<bool, StoreError> {
        self.unless(false)
    }

    async fn invalidate(&self, _: &Address) -> Result<(), StoreError> {
        self.unless(())
    }

    fn watch(&self, address: &Address) -> MemoryWatch {
        MemoryStore::new().watch(address)
    }
}

#[tokio::test(start_paused = true)]
async fn a_store_that_fails_names_itself_and_has_stored_nothing() {
    for kind in [
        StoreErrorKind::Unavailable,
        StoreErrorKind::Timeout,
        StoreErrorKind::Rejected,
    ] {
        let watched = Watched::over(Failing(Some(kind)), fresh_for_all(), |layer| layer);
        for _ in 0..2 {
            let told = watched.expect(get("/"), "led/store-down").await;
            assert_eq!(told, "memolock; fwd=uri-miss; detail=store-down");
        }
        let inner = Inner::replying(|_| with(text("x"), "cache-control", "private"));
        let watched = Watched::over(Failing(Some(kind)), inner, |layer| layer);
        watched.expect(get("/"), "passed/private").await;
    }
    let watched = Watched::over(Failing(None), fresh_for_all(), |layer| layer);
    watched.expect(get("/"), "led/no-lease").await;
}

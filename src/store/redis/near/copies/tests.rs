use std::time::Duration;

use super::*;
use crate::store::redis::near::Sent;
use crate::store::redis::near::copy::Currency;

const LAG: Duration = Duration::from_secs(10);

struct Held {
    copies: Arc<NearCopies>,
    lease: Arc<NearLease>,
}

impl std::ops::Deref for Held {
    type Target = Arc<NearCopies>;

    fn deref(&self) -> &Arc<NearCopies> {
        &self.copies
    }
}

fn lease() -> Arc<NearLease> {
    let lease = Arc::new(NearLease::new(LAG));
    lease.grant(Sent::now());
    lease
}

fn copies(most: usize) -> Held {
    Held {
        copies: Arc::new(NearCopies::new(most, Arc::default())),
        lease: lease(),
    }
}

impl Held {
    fn copy(&self, bytes: usize) -> NearCopy {
        NearCopy {
            value: Value::encoded(vec![b'x'; bytes]),
            expires_at: Instant::now() + Duration::from_secs(60),
            from: Backing::of(&self.lease),
            home: None,
            currency: None,
        }
    }
}

fn begin(copies: &Held, name: &str) -> Option<Placeholder> {
    copies.begin(name, Instant::now(), &Backing::of(&copies.lease))
}

fn found(copies: &NearCopies, name: &str, now: Instant) -> bool {
    matches!(copies.get(name, now), NearFound::Value(_))
}

fn held(copies: &NearCopies) -> (u64, u64) {
    (copies.counters.copies.get(), copies.counters.bytes.get())
}

fn has(copies: &NearCopies, name: &str) -> bool {
    found(copies, name, Instant::now())
}

#[test]
fn a_value_takes_the_place_of_its_placeholder() {
    let copies = copies(1 << 20);
    assert!(begin(&copies, "t:a").unwrap().fill(copies.copy(10)));
    assert!(has(&copies, "t:a") && !has(&copies, "t:b"));
    assert_eq!(held(&copies).0, 1);
    // There is nothing to fetch.
    assert!(begin(&copies, "t:a").is_none());
    assert!(copies.remove("t:a") && !copies.remove("t:a"));
    assert!(!has(&copies, "t:a"));
    assert_eq!(held(&copies), (0, 0));
}

#[test]
fn what_is_heard_between_question_and_insert_keeps_the_answer_out() {
    let copies = copies(1 << 20);
    let placeholder = begin(&copies, "t:a").unwrap();
    assert!(copies.remove("t:a"));
    assert!(!placeholder.fill(copies.copy(10)));
    assert!(!has(&copies, "t:a"));
    let placeholder = begin(&copies, "t:a").unwrap();
    copies.clear();
    // A fetch does not fill the place of another fetch.
    let next = begin(&copies, "t:a").unwrap();
    assert!(!placeholder.fill(copies.copy(10)));
    assert!(next.fill(copies.copy(10)) && has(&copies, "t:a"));
}

#[test]
fn one_value_is_on_its_way_at_a_time_and_one_that_is_given_up_leaves_no_trace() {
    let copies = copies(1 << 20);
    let placeholder = begin(&copies, "t:a").unwrap();
    assert!(begin(&copies, "t:a").is_none());
    drop(placeholder);
    assert!(begin(&copies, "t:a").is_some());
    assert_eq!(held(&copies).0, 0);
}

#[tokio::test(start_paused = true)]
async fn a_copy_ends_with_its_time_its_connections_and_its_generation() {
    let copies = copies(1 << 20);
    let generations = Arc::new(AtomicU64::new(7));
    let other = lease();
    let keep = |generations: &Arc<AtomicU64>| {
        let copy = NearCopy {
            home: Some(Backing::of(&other)),
            currency: Some(Currency {
                generations: Arc::clone(generations),
                seen: generations.load(Ordering::Relaxed),
            }),
            expires_at: Instant::now() + LAG / 2,
            ..copies.copy(10)
        };
        assert!(begin(&copies, "t:a").unwrap().fill(copy));
        assert!(has(&copies, "t:a"));
    };
    keep(&generations);
    assert!(!found(&copies, "t:a", Instant::now() + LAG / 2));
    generations.fetch_add(1, Ordering::Relaxed);
    assert!(!has(&copies, "t:a"));
    for lease in [&copies.lease, &other] {
        // A new copy may take the place of a copy that has ended.
        keep(&generations);
        lease.end_term();
        assert!(!has(&copies, "t:a"));
    }
    assert_eq!(held(&copies).0, 1);
}

#[tokio::test(start_paused = true)]
async fn a_copy_is_served_under_both_leases() {
    let copies = copies(1 << 20);
    let other = lease();
    let copy = NearCopy {
        home: Some(Backing::of(&other)),
        ..copies.copy(10)
    };
    assert!(begin(&copies, "t:a").unwrap().fill(copy));
    for lease in [&copies.lease, &other] {
        assert!(has(&copies, "t:a") && !copies.lease.take_wanted());
        lease.revoke();
        assert!(matches!(copies.get("t:a", Instant::now()), NearFound::Late));
        assert!(lease.take_wanted());
        copies.lease.take_wanted();
        lease.grant(Sent::now());
    }
    assert!(has(&copies, "t:a"));
}

#[test]
fn what_relies_on_one_server_goes_alone() {
    let copies = copies(1 << 20);
    let other = lease();
    let keep = |name: &str, from: &Arc<NearLease>, home: Option<&Arc<NearLease>>| {
        let copy = NearCopy {
            from: Backing::of(from),
            home: home.map(Backing::of),
            ..copies.copy(10)
        };
        let placeholder = copies.begin(name, Instant::now(), &copy.from).unwrap();
        assert!(placeholder.fill(copy));
    };
    keep("t:here", &copies.lease, None);
    keep("t:there", &other, None);
    keep("t:both", &copies.lease, Some(&other));
    let pending = ["t:x", "t:y"];
    let [here, there] = [&copies.lease, &other].map(Backing::of);
    let here = copies.begin(pending[0], Instant::now(), &here).unwrap();
    let there = copies.begin(pending[1], Instant::now(), &there).unwrap();
    copies.clear_of(&other);
    assert!(has(&copies, "t:here") && !has(&copies, "t:there") && !has(&copies, "t:both"));
    assert!(here.fill(copies.copy(10)) && !there.fill(copies.copy(10)));
    assert_eq!(held(&copies).0, 2);
}

#[test]
fn bytes_are_bounded_and_what_is_asked_for_stays() {
    let copies = copies(64 * 1024);
    for round in 0..1000 {
        let placeholder = begin(&copies, &format!("t:{round}")).unwrap();
        assert!(placeholder.fill(copies.copy(1000)));
        assert!(held(&copies).1 <= 64 * 1024);
        assert!(has(&copies, "t:0"), "{round}");
    }
    assert!(held(&copies).0 > 30 && copies.counters.evicted.get() > 900);
    // The value is too large for the room that there is.
    assert!(!begin(&copies, "t:large").unwrap().fill(copies.copy(9 * 1024)));
    assert!(begin(&copies, "t:large").is_some());
    copies.clear();
    assert_eq!(held(&copies), (0, 0));
}

#[test]
fn a_key_that_changes_all_the_time_leaves_nothing_behind() {
    let copies = copies(1 << 20);
    for _ in 0..10_000 {
        assert!(begin(&copies, "t:a").unwrap().fill(copies.copy(10)));
        copies.remove("t:a");
    }
    let shard = copies.shard("t:a");
    assert!(shard.ring.len() <= 65 && shard.pending.is_empty());
}

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

#[tokio::test(start_paused = true)]
async fn a_copy_is_not_served_once_the_machine_has_slept_for_too_long() {
    let copies = copies(1 << 20);
    assert!(begin(&copies, "t:a").unwrap().fill(copies.copy(10)));
    copies.lease.grant(Sent::before_sleep(LAG * 2));
    assert!(copies.lease.is_held(Instant::now()));
    assert!(matches!(copies.get("t:a", Instant::now()), NearFound::Late));
    assert!(copies.lease.take_wanted());
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

/// Names that share a lock.
fn neighbours() -> impl Iterator<Item = String> {
    let names = (0..).map(|number| format!("t:{number}"));
    names.filter(|name| index(name) == index("t:0"))
}

#[test]
fn names_that_differ_in_their_last_letters_are_spread_over_the_locks() {
    let mut shares = [0; SHARDS];
    (0..1600).for_each(|number| shares[index(&format!("t:{number}"))] += 1);
    assert!(shares.iter().all(|share| (50..200).contains(share)), "{shares:?}");
}

#[test]
fn few_values_that_share_a_lock_are_on_their_way() {
    let copies = copies(1 << 20);
    let mut names = neighbours();
    let pending: Vec<_> = names.by_ref().take(MOST_PENDING).collect();
    let pending: Vec<_> = pending.iter().map(|name| begin(&copies, name).unwrap()).collect();
    let next = names.next().unwrap();
    assert!(begin(&copies, &next).is_none());
    drop(pending);
    assert!(begin(&copies, &next).is_some());
}

#[test]
fn the_oldest_copy_leaves_first_unless_a_request_asked_for_it() {
    let copies = copies(8 * 1024);
    let keep = |name: &str| assert!(begin(&copies, name).unwrap().fill(copies.copy(500)));
    let names: Vec<_> = neighbours().take(10).collect();
    let (first, later) = names.split_at(3);
    first.iter().for_each(|name| keep(name));
    // The second one counts as younger than the third: it has come once more.
    copies.remove(&first[1]);
    keep(&first[1]);
    assert!(has(&copies, &first[0]));
    let mut gone = Vec::new();
    for name in later {
        keep(name);
        let is_there = |name: &str| copies.shard(name).copies.contains_key(name);
        let missing = first.iter().find(|name| !is_there(name) && !gone.contains(name));
        gone.extend(missing);
    }
    assert_eq!(gone, [&first[2], &first[1]]);
}

#[test]
fn copies_can_leave_however_often_others_were_replaced() {
    // A copy that is not good any more need not be removed first.
    for (times, is_removed) in (1..200).flat_map(|times| [(times, true), (times, false)]) {
        let copies = copies(8 * 1024);
        let keep = |name: &str| assert!(begin(&copies, name).unwrap().fill(copies.copy(500)));
        let mut names = neighbours();
        let first: Vec<_> = names.by_ref().take(3).collect();
        first.iter().for_each(|name| keep(name));
        for _ in 0..times {
            if is_removed {
                copies.remove("t:0");
            } else {
                copies.shard("t:0").copies.get_mut("t:0").unwrap().copy.expires_at = Instant::now();
            }
            keep("t:0");
        }
        assert!(copies.shard("t:0").ring.len() <= 2 * first.len() + 65, "{times}");
        names.take(20).for_each(|name| keep(&name));
        assert!(first.iter().all(|name| !has(&copies, name)), "{times}");
        assert!(held(&copies).1 <= 8 * 1024, "{times}");
    }
}

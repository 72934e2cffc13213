//! Clauses about stamps and generations.

use super::steps::*;
use crate::key::{Label, MAX_LABELS, Tag};
use crate::store::{Generation, Notice, Release, Stamp, Standing, Store, Token};

fn labels(tags: &[&str]) -> Vec<Label> {
    Label::all(tags).expect("labels")
}

async fn generation<S: Store>(store: &S) -> Generation {
    store.generation(&tag()).await.expect("an answer to generation")
}

/// A stamp of a computation that starts now.
async fn stamp<S: Store>(store: &S, tags: &[&str]) -> Stamp {
    Stamp::new(generation(store).await, labels(tags))
}

async fn is_current<S: Store>(store: &S, stamp: &Stamp) -> bool {
    standing(store, stamp).await == Standing::Current
}

async fn standing<S: Store>(store: &S, stamp: &Stamp) -> Standing {
    let standing = store.standing(&tag(), stamp).await;
    standing.expect("an answer to standing")
}

async fn invalidate_labels<S: Store>(store: &S, tags: &[&str]) {
    let invalidated = store.invalidate_labels(&tag(), &labels(tags)).await;
    invalidated.expect("an answer to invalidate_labels");
}

async fn invalidate_all<S: Store>(store: &S) {
    let invalidated = store.invalidate_all(&tag()).await;
    invalidated.expect("an answer to invalidate_all");
}

/// A stamp goes with its value.
pub async fn a_stamp_goes_with_its_value<S: Store>(one: S, two: S) {
    let long = "x".repeat(1000);
    let address = private_address("a");
    for tags in [&[][..], &["a"], &["a", "b c:{d}", "größe\0", &long]] {
        let stamp = stamp(&one, tags).await;
        let stamped = value("content").stamped(stamp.clone());
        let mut watch = watch(&two, &address).await;
        let token = lead(&one, &address).await;
        assert!(release(&one, &address, token, Release::Shared(stamped.clone())).await);
        match hear(&mut watch).await {
            Notice::Released(Release::Shared(shared)) => assert_eq!(shared.stamp(), Some(&stamp)),
            other => panic!("{other:?}"),
        }
        put(&one, &address, &stamped).await;
        match hear(&mut watch).await {
            Notice::Stored(stored) => assert_eq!(stored.stamp(), Some(&stamp)),
            other => panic!("{other:?}"),
        }
        let found = two.lookup(&address).await.expect("an answer").expect("a value");
        assert_eq!(found.stamp(), Some(&stamp));
        let acquired = acquire(&two, &address, Token::random(), SHORT).await;
        assert_eq!(acquired.value.expect("a value").stamp(), Some(&stamp));
        assert_eq!(lookup(&two, &address).await, lookup(&one, &address).await);
        invalidate(&one, &address).await;
    }
    put(&one, &address, &value("plain")).await;
    let found = two.lookup(&address).await.expect("an answer").expect("a value");
    assert_eq!(found.stamp(), None);
}

/// A stamp is current until one of its labels is invalidated.
pub async fn a_stamp_is_current_until_one_of_its_labels_is_invalidated<S: Store>(one: S, two: S) {
    for invalidated in [&["a"][..], &["b"], &["c", "b"]] {
        let (with, without) = (stamp(&one, &["a", "b"]).await, stamp(&two, &["d"]).await);
        let bare = stamp(&one, &[]).await;
        for store in [&one, &two] {
            assert!(is_current(store, &with).await);
            assert!(is_current(store, &without).await);
        }
        invalidate_labels(&two, invalidated).await;
        for store in [&one, &two] {
            assert!(!is_current(store, &with).await, "{invalidated:?}");
            assert!(is_current(store, &without).await, "{invalidated:?}");
            assert!(is_current(store, &bare).await, "{invalidated:?}");
        }
    }
}

/// A generation is there before and after an invalidation.
pub async fn a_generation_is_there_before_and_after_an_invalidation<S: Store>(one: S, two: S) {
    let mut last = generation(&one).await;
    assert_eq!(generation(&two).await, last);
    for _ in 0..100 {
        invalidate_labels(&two, &["a"]).await;
        let next = generation(&one).await;
        assert_eq!(next.incarnation, last.incarnation);
        assert!(next.number > last.number, "{next:?} after {last:?}");
        assert!(is_current(&two, &Stamp::new(next, labels(&["a"]))).await);
        assert!(!is_current(&two, &Stamp::new(last, labels(&["a"]))).await);
        last = next;
    }
}

/// Invalidating everything reaches every stamp.
pub async fn invalidating_everything_reaches_every_stamp<S: Store>(one: S, two: S) {
    // No value has to be there for that.
    invalidate_all(&one).await;
    invalidate_labels(&one, &["a"]).await;
    for _ in 0..3 {
        let stamps = [stamp(&one, &[]).await, stamp(&two, &["a"]).await];
        for stamp in &stamps {
            assert!(is_current(&two, stamp).await);
        }
        invalidate_all(&one).await;
        for stamp in &stamps {
            assert!(!is_current(&two, stamp).await);
        }
        // Nor does any of it come back.
        let next = stamp(&two, &[]).await;
        invalidate_labels(&one, &["b"]).await;
        for stamp in &stamps {
            assert!(!is_current(&one, stamp).await);
        }
        assert!(is_current(&one, &next).await);
    }
}

/// Invalidating under one tag leaves the others alone.
pub async fn invalidating_under_one_tag_leaves_the_others_alone<S: Store>(one: S, two: S) {
    let other = Tag::new("two").expect("a tag");
    let mine = stamp(&one, &["a"]).await;
    let theirs = Stamp::new(one.generation(&other).await.expect("a generation"), labels(&["a"]));
    let invalidated = two.invalidate_labels(&other, &labels(&["a"])).await;
    invalidated.expect("an answer");
    assert!(is_current(&one, &mine).await);
    let standing = one.standing(&other, &theirs).await;
    assert_eq!(standing.expect("an answer"), Standing::Outdated);
    two.invalidate_all(&other).await.expect("an answer");
    assert!(is_current(&one, &mine).await);
}

/// A value that is out of date is not peeked at.
pub async fn what_is_out_of_date_is_not_peeked_at<S: Store>(one: S, two: S) {
    let address = address("a");
    for all in [false, true] {
        let stamp = stamp(&one, &["a"]).await;
        put(&one, &address, &value("content").stamped(stamp)).await;
        if all {
            invalidate_all(&two).await;
        } else {
            invalidate_labels(&two, &["a"]).await;
        }
        assert!(one.peek(&address, tokio::time::Instant::now()).is_none());
    }
}

/// Values whose invalidations a store has forgotten are out of date.
pub async fn what_is_forgotten_of_invalidations_is_out_of_date<S: Store>(one: S, two: S) {
    let first = stamp(&one, &["first"]).await;
    invalidate_labels(&one, &["first"]).await;
    let old = stamp(&one, &["old"]).await;
    // More than any store remembers.
    let tags: Vec<_> = (0..70_000).map(|n| n.to_string()).collect();
    for tags in tags.chunks(MAX_LABELS) {
        let labels = Label::all(tags).expect("labels");
        let invalidated = two.invalidate_labels(&tag(), &labels).await;
        invalidated.expect("an answer");
    }
    let new = stamp(&one, &["first", "old", "0", "69999"]).await;
    invalidate_labels(&two, &["another"]).await;
    assert!(!is_current(&one, &first).await);
    assert!(!is_current(&one, &old).await, "who knows whether it was invalidated");
    assert!(is_current(&one, &new).await);
}

/// A value that is invalidated softly is soft, and a value that is invalidated in both ways is out of date.
pub async fn what_is_softly_invalidated_is_soft<S: Store>(one: S, two: S) {
    let soften = async |tags: &[&str]| {
        let softened = two.soften_labels(&tag(), &labels(tags)).await;
        softened.expect("an answer to soften_labels");
    };
    let soften_all = async || two.soften_all(&tag()).await.expect("an answer to soften_all");
    let is_soft = async |stamp: &Stamp| matches!(standing(&one, stamp).await, Standing::Soft { .. });
    for all in [false, true] {
        let (with, without) = (stamp(&one, &["a", "b"]).await, stamp(&one, &["c"]).await);
        if all {
            soften_all().await;
        } else {
            soften(&["a"]).await;
        }
        assert!(is_soft(&with).await);
        assert_eq!(is_soft(&without).await, all);
        let next = stamp(&one, &["a"]).await;
        assert!(is_current(&one, &next).await);
        // In both ways, one after the other.
        invalidate_labels(&one, &["a"]).await;
        assert_eq!(standing(&one, &with).await, Standing::Outdated);
        assert_eq!(standing(&one, &next).await, Standing::Outdated);
        let last = stamp(&one, &["a"]).await;
        soften(&["a"]).await;
        soften_all().await;
        assert_eq!(standing(&one, &with).await, Standing::Outdated);
        assert_eq!(standing(&one, &next).await, Standing::Outdated);
        assert!(is_soft(&last).await);
        soften(&["b"]).await;
        assert!(is_soft(&last).await);
    }
    let last = stamp(&one, &["a"]).await;
    invalidate_all(&two).await;
    assert_eq!(standing(&one, &last).await, Standing::Outdated);
}

/// A value that is softly invalidated by a label is peeked at as such.
pub async fn what_is_softly_invalidated_by_a_label_is_peeked_at_as_such<S: Store>(one: S, two: S) {
    let address = address("a");
    put(&one, &address, &value("content").stamped(stamp(&one, &["a"]).await)).await;
    let softened = two.soften_labels(&tag(), &labels(&["a"])).await;
    softened.expect("an answer");
    if let Some(peeked) = one.peek(&address, tokio::time::Instant::now()) {
        assert!(peeked.soft_since().is_some());
    }
}

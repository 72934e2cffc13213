use super::super::copy::NearCopy;
use super::super::lease::Backing;
use super::*;
use crate::key::{Address, Key, Tag};
use crate::store::{Token, Value};

const TAG: &str = "t";

/// A feed that is the home of a tag. Its connection has all that the feed asked for.
fn home() -> (Arc<NearFeed>, Arc<NearTag>) {
    let (near, _) = Near::new(0, Some((1 << 20, Duration::from_secs(1))));
    let (feed, tag) = (near.feed(), near.tag(TAG).unwrap());
    feed.connected(0);
    assert!(!feed.is_home_of(&tag));
    assert_eq!(feed.steps(0).len(), 3);
    feed.tracked(0, TAG, true);
    for channel in [&tag.names.notices, &tag.names.replies] {
        assert!(feed.confirmed(0, channel, true));
    }
    assert!(feed.is_home_of(&tag) && feed.hears_replies(&tag));
    (feed, tag)
}

#[tokio::test]
async fn copies_end_with_the_connections_and_with_the_subscription() {
    let ends: [fn(&NearFeed, &NearTag); 5] = [
        |feed, _| feed.disconnected(0),
        |feed, _| feed.connected(1),
        |feed, _| feed.lost(),
        |feed, _| feed.commands_replaced(),
        |feed, tag| assert!(feed.confirmed(0, &tag.names.notices, false)),
    ];
    for end in ends {
        let (feed, tag) = home();
        let backing = Backing::of(feed.lease());
        feed.prove(&tag, backing.term());
        tag.join(backing.clone());
        assert!(feed.is_proven(TAG, feed.lease().term()) && tag.joined().is_some());
        end(&feed, &tag);
        assert!(!backing.holds() && tag.joined().is_none());
        assert!(!feed.is_proven(TAG, feed.lease().term()));
    }
}

#[tokio::test]
async fn what_is_heard_on_an_earlier_connection_changes_nothing() {
    let (feed, tag) = home();
    feed.connected(1);
    let term = feed.lease().term();
    feed.disconnected(0);
    feed.tracked(0, TAG, true);
    feed.confirmed(0, &tag.names.notices, true);
    feed.grant(0, Sent::now());
    assert_eq!(feed.lease().term(), term);
    assert!(!feed.is_home_of(&tag) && !feed.lease().is_held(Instant::now()));
}

#[tokio::test]
async fn a_subscription_that_is_refused_is_asked_for_again_when_the_map_is_looked_at() {
    let (feed, tag) = home();
    feed.connected(1);
    assert_eq!(feed.steps(1).len(), 3);
    assert!(feed.refuse(1) && !feed.refuse(1));
    assert!(feed.steps(1).is_empty() && !feed.is_home_of(&tag));
    assert_eq!(feed.steps(1).len(), 2);
}

#[tokio::test]
async fn a_tag_that_comes_to_a_node_is_proven_there_by_its_own_canary() {
    let comes: [fn(&NearFeed, &Arc<NearTag>); 2] = [|_, _| (), |feed, tag| feed.listen(tag)];
    for come in comes {
        let (near, _) = Near::new(0, Some((1 << 20, Duration::from_secs(1))));
        let (feed, tag) = (near.feed(), near.tag(TAG).unwrap());
        feed.connected(0);
        let value = Address::new(&Tag::new(TAG).unwrap(), &Key::new("a").unwrap());
        assert!(feed.expect(&tag, &value));
        come(&feed, &tag);
        feed.is_home_of(&tag);
        feed.changed(0, [tag.names.canary.as_bytes()].into_iter());
        assert_eq!(feed.canaries(&tag), 1);
    }
}

/// Keeps a copy of something under this name, which came by this feed.
fn keep(feed: &NearFeed, name: &str) {
    let (own, from) = (feed.near.own.as_ref().unwrap(), Backing::of(feed.lease()));
    let placeholder = own.copies.begin(name, Instant::now(), &from).unwrap();
    let kept = placeholder.fill(NearCopy {
        value: Value::encoded("v"),
        expires_at: Instant::now() + Duration::from_secs(60),
        from,
        home: None,
        currency: None,
    });
    assert!(kept);
}

fn copies(feed: &NearFeed) -> u64 {
    feed.near.counters.copies.get()
}

/// The count of news of the generations.
fn news(tag: &NearTag) -> u64 {
    tag.generations.load(Ordering::Acquire)
}

fn is_to_recheck(tag: &NearTag) -> bool {
    tag.recheck.swap(false, Ordering::Relaxed)
}

/// Whether the task that keeps the copies was woken since the last call.
fn is_woken(feed: &NearFeed) -> bool {
    std::pin::pin!(feed.near.wake.notified()).enable()
}

/// Another tag, whose set and channels are elsewhere.
fn guest(feed: &NearFeed) -> Arc<NearTag> {
    let tag = feed.near.tag("guest").unwrap();
    let value = Address::new(&Tag::new("guest").unwrap(), &Key::new("a").unwrap());
    assert!(feed.expect(&tag, &value));
    tag
}

#[tokio::test]
async fn what_a_change_of_the_keys_of_a_tag_means_is_known_by_their_names() {
    let (feed, tag) = home();
    let names = &tag.names;
    is_woken(&feed);
    for (key, recheck, outdated, woken) in [
        (&names.members, true, 0, true),
        (&names.canary, false, 0, true),
        (&names.generations, false, 1, false),
        (&format!("{}/other", names.members), false, 0, false),
    ] {
        let before = news(&tag);
        feed.changed(1, [key.as_bytes()].into_iter());
        assert!(
            !is_woken(&feed) && !is_to_recheck(&tag) && news(&tag) == before,
            "{key}"
        );
        feed.changed(0, [key.as_bytes()].into_iter());
        assert_eq!(is_to_recheck(&tag), recheck, "{key}");
        assert_eq!(news(&tag) - before, outdated, "{key}");
        assert_eq!(is_woken(&feed), woken, "{key}");
    }
    assert_eq!(feed.canaries(&tag), 1);
}

#[tokio::test]
async fn a_key_that_changes_ends_its_copy_alone() {
    let (feed, _) = home();
    ["t:a", "t:b"].iter().for_each(|name| keep(&feed, name));
    feed.changed(1, [&b"t:a"[..]].into_iter());
    assert_eq!(copies(&feed), 2);
    feed.changed(0, [&b"\xff"[..], b"t:c", b"t:a"].into_iter());
    assert_eq!(copies(&feed), 1);
    let counters = &feed.near.counters;
    assert_eq!((counters.messages.get(), counters.dropped.get()), (3, 1));
}

#[tokio::test]
async fn when_all_keys_may_have_changed_no_copy_from_there_stays() {
    let (feed, tag) = home();
    let (guest, other) = (guest(&feed), feed.near.feed());
    keep(&feed, "t:a");
    keep(&other, "t:b");
    is_woken(&feed);
    let before = (news(&tag), news(&guest));
    feed.changed_all(1);
    assert_eq!(
        (copies(&feed), news(&tag), feed.near.counters.flushes.get()),
        (2, before.0, 0)
    );
    assert!(!is_woken(&feed) && !is_to_recheck(&tag));
    feed.changed_all(0);
    assert_eq!((copies(&feed), feed.near.counters.flushes.get()), (1, 1));
    // The set of this tag may be gone as well. The set of the other one is on another server.
    assert_eq!((news(&tag), news(&guest)), (before.0 + 1, before.1));
    assert!(is_to_recheck(&tag) && !is_to_recheck(&guest) && is_woken(&feed));
}

#[tokio::test]
async fn another_map_of_the_cluster_ends_the_copies_from_a_node() {
    let (feed, tag) = home();
    let guest = guest(&feed);
    let mut seen = (news(&tag), news(&guest));
    for (connection, epoch, is_news) in [(0, 7, true), (0, 7, false), (1, 8, false), (0, 8, true), (0, 7, true)] {
        keep(&feed, "t:a");
        feed.has_map(connection, epoch);
        seen.0 += u64::from(is_news);
        assert_eq!((news(&tag), news(&guest)), seen, "{connection} {epoch}");
        assert_eq!(copies(&feed) == 0, is_news, "{connection} {epoch}");
        feed.forget_all();
    }
}

#[tokio::test]
async fn a_notice_is_heeded_and_then_acknowledged() {
    let (near, mut owed) = Near::new(0, Some((1 << 20, Duration::from_secs(1))));
    let (feed, tag) = (near.feed(), near.tag(TAG).unwrap());
    feed.connected(0);
    feed.is_home_of(&tag);
    let [nonce, from] = [(); 2].map(|()| Token::random());
    let (notices, before) = (&tag.names.notices, news(&tag));
    for (about, connection, left, outdated) in [
        (About::Value("t:a"), 1, 1, 0),
        (About::Value("t:b"), 0, 1, 0),
        (About::Value("t:a"), 0, 0, 0),
        (About::Tags, 0, 0, 1),
    ] {
        if about == About::Value("t:a") && connection == 1 {
            keep(&feed, "t:a");
        }
        let notice = NearNotice { nonce, from, about }.text();
        assert!(feed.heard(connection, notices, notice.as_bytes()));
        assert_eq!(
            (copies(&feed), news(&tag)),
            (left, before + outdated),
            "{about:?} {connection}"
        );
        let sent = owed.try_recv().ok().map(|owed| (owed.channel, owed.nonce));
        let expected = (connection == 0).then(|| (tag.names.replies_of(from), nonce));
        assert_eq!(sent, expected, "{about:?} {connection}");
    }
    assert!(feed.heard(0, notices, b"gibberish") && owed.try_recv().is_err());
    assert!(!feed.heard(0, "t/ctl:a", b"tags"));
}

#[tokio::test]
async fn a_lease_is_asked_for_where_copies_could_be_served_and_are_wanted() {
    let (feed, tag) = home();
    feed.lease().want();
    assert!(!feed.needs_lease());
    feed.prove(&tag, feed.lease().term());
    assert!(feed.needs_lease() && !feed.needs_lease());
    keep(&feed, "t:a");
    assert!(feed.needs_lease() && feed.needs_lease());
    feed.commands_replaced();
    assert!(!feed.needs_lease());
}

use super::super::lease::Backing;
use super::*;
use crate::key::{Address, Key, Tag};

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
        tag.join(Some(backing.clone()));
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

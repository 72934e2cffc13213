//! What the set of a tag says about a stamp.

use super::server::Server;
use crate::error::StoreErrorKind;
use crate::key::{Label, Tag};
use crate::store::{Generation, RedisStore, Stamp, Standing, Store};

fn tag() -> Tag {
    Tag::from_literal("t")
}

fn label(text: &str) -> Label {
    Label::new(text).unwrap()
}

/// The set, and the member that says from which number on stamps count.
async fn set_and_floor(server: &Server, now: Generation) -> (String, String) {
    let [set] = <[String; 1]>::try_from(server.run::<Vec<String>>("KEYS t/gen:*").await).unwrap();
    (set, format!("#{:016x}", now.incarnation))
}

async fn standing(store: &RedisStore, stamp: &Stamp) -> Standing {
    store.standing(&tag(), stamp).await.unwrap()
}

#[tokio::test]
async fn a_stamp_counts_from_the_floor_of_its_own_incarnation_on() {
    let server = Server::start().await;
    let store = server.store().await;
    let now = store.generation(&tag()).await.unwrap();
    let (set, floor) = set_and_floor(&server, now).await;
    for labels in [vec![], vec![label("a")]] {
        let stamp = Stamp::new(now, labels);
        server.run::<()>(&format!("ZADD {set} {} {floor}", now.number)).await;
        assert_eq!(standing(&store, &stamp).await, Standing::Current);
        server
            .run::<()>(&format!("ZADD {set} {} {floor}", now.number + 1))
            .await;
        assert_eq!(standing(&store, &stamp).await, Standing::Outdated);
        server.run::<()>(&format!("ZREM {set} {floor}")).await;
        assert_eq!(standing(&store, &stamp).await, Standing::Outdated);
    }
}

#[tokio::test]
async fn a_hard_invalidation_counts_before_and_after_a_soft_one() {
    let server = Server::start().await;
    let store = server.store().await;
    for hard_first in [false, true] {
        let now = store.generation(&tag()).await.unwrap();
        let of = |name: &str| Stamp::new(now, vec![label(name)]);
        let (mut ways, both) = ([false, true], [label("a"), label("b")]);
        if hard_first {
            ways.reverse();
        }
        for hard in ways {
            match hard {
                true => store.invalidate_labels(&tag(), &both[..1]).await.unwrap(),
                false => store.soften_labels(&tag(), &both).await.unwrap(),
            }
        }
        assert_eq!(standing(&store, &of("a")).await, Standing::Outdated);
        let soft = standing(&store, &of("b")).await;
        assert!(matches!(soft, Standing::Soft { .. }), "{soft:?}");
        let either = Stamp::new(now, both.to_vec());
        assert_eq!(standing(&store, &either).await, Standing::Outdated);
        assert_eq!(standing(&store, &of("c")).await, Standing::Current);
        let later = store.begin_generation(&tag()).await.unwrap();
        assert_eq!(
            standing(&store, &Stamp::new(later, both.to_vec())).await,
            Standing::Current
        );
    }
}

#[tokio::test]
async fn a_key_that_is_no_set_is_an_error_and_no_answer() {
    let server = Server::start().await;
    let store = server.store().await;
    let now = store.generation(&tag()).await.unwrap();
    let (set, _) = set_and_floor(&server, now).await;
    server.run::<()>(&format!("SET {set} text")).await;
    let stamp = Stamp::new(now, vec![label("a")]);
    let errors = [
        store.generation(&tag()).await.unwrap_err(),
        store.begin_generation(&tag()).await.unwrap_err(),
        store.standing(&tag(), &stamp).await.unwrap_err(),
    ];
    assert_eq!(errors.map(|error| error.kind()), [StoreErrorKind::Rejected; 3]);
    // It is removed with all that it could have said.
    store.invalidate_all(&tag()).await.unwrap();
    assert_eq!(standing(&store, &stamp).await, Standing::Outdated);
}

use super::*;
use crate::key::Key;
use crate::store::Generation;

fn address(tag: &str, id: &str) -> Address {
    Address::new(&Tag::new(tag).unwrap(), &Key::new(id).unwrap())
}

fn bounded(most: usize) -> Backlog {
    let mut backlog = Backlog::new();
    backlog.most = most;
    backlog
}

#[test]
fn what_is_added_twice_is_kept_once_and_starts_one_task() {
    let backlog = Backlog::new();
    assert!(backlog.add(Debt::Value(address("t", "a"))));
    assert!(!backlog.add(Debt::Value(address("t", "a"))));
    assert_eq!((backlog.pending(), backlog.deferred()), (1, 2));
    assert!(backlog.covers(&address("t", "a")) && !backlog.covers(&address("t", "b")));
    assert!(!backlog.leave());
}

#[test]
fn what_is_added_while_it_is_sent_is_sent_again() {
    let backlog = Backlog::new();
    let debt = Debt::Value(address("t", "a"));
    let _ = backlog.add(debt.clone());
    let sent = backlog.all();
    let _ = backlog.add(debt.clone());
    backlog.remove(&debt, sent[0].1);
    assert!(backlog.covers(&address("t", "a")));
    backlog.remove(&debt, backlog.all()[0].1);
    assert!(backlog.is_empty() && backlog.leave());
    assert!(backlog.add(debt));
}

#[test]
fn too_many_of_one_tag_cover_all_under_it() {
    let backlog = bounded(4);
    for id in ["a", "b", "c"] {
        let _ = backlog.add(Debt::Value(address("t", id)));
    }
    let _ = backlog.add(Debt::Value(address("u", "a")));
    let _ = backlog.add(Debt::Value(address("t", "a")));
    assert!(!backlog.covers(&address("t", "d")));
    let _ = backlog.add(Debt::Value(address("t", "d")));
    assert_eq!(backlog.pending(), 2);
    for id in ["a", "d", "z"] {
        assert!(backlog.covers(&address("t", id)), "{id}");
    }
    assert!(backlog.covers(&address("u", "a")) && !backlog.covers(&address("u", "b")));
    assert!(backlog.check_generation(&Tag::new("t").unwrap()).is_err());
    assert!(backlog.check_generation(&Tag::new("u").unwrap()).is_ok());
    let _ = backlog.add(Debt::Value(address("t", "e")));
    assert_eq!(backlog.pending(), 2);
    for (debt, number) in backlog.all() {
        backlog.remove(&debt, number);
    }
    assert!(!backlog.covers(&address("t", "z")) && backlog.is_empty());
    let _ = backlog.add(Debt::Value(address("u", "a")));
    assert!(!backlog.covers(&address("t", "z")));
    assert!(backlog.check_generation(&Tag::new("t").unwrap()).is_ok());
}

#[tokio::test]
async fn a_caller_that_waits_for_all_is_in_a_hurry_and_told_when_none_is_left() {
    let (backlog, debt) = (Backlog::new(), Debt::Value(address("t", "a")));
    assert!(backlog.add(debt.clone()));
    let mut empty = std::pin::pin!(backlog.empty());
    assert!(futures_util::poll!(&mut empty).is_pending());
    backlog.hurried().await;
    // The task ends before it is done, and another one takes its place.
    assert_eq!(backlog.abandon(), 1);
    assert!(backlog.add(debt.clone()) && !backlog.leave());
    assert!(futures_util::poll!(&mut empty).is_pending());
    backlog.remove(&debt, backlog.all()[0].1);
    assert!(backlog.leave());
    empty.await;
}

#[test]
fn labels_cover_what_has_one_of_them() {
    let (backlog, tag) = (Backlog::new(), Tag::new("t").unwrap());
    let generation = Generation {
        incarnation: 1,
        number: 1,
    };
    let stamp = |labels: &[&str]| Stamp::new(generation, Label::all(labels).unwrap());
    let _ = backlog.add(Debt::Labels(tag.clone(), Label::all(&["x", "y"]).unwrap()));
    assert!(backlog.covers_stamp(&tag, &stamp(&["w", "y"])));
    assert!(!backlog.covers_stamp(&tag, &stamp(&["w"])) && !backlog.covers_stamp(&tag, &stamp(&[])));
    assert!(!backlog.covers_stamp(&Tag::new("u").unwrap(), &stamp(&["x"])));
    let _ = backlog.add(Debt::Stamped(tag.clone()));
    assert!(backlog.covers_stamp(&tag, &stamp(&[])));
}

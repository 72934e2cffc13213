//! Values on their way to other processes while they are made.

use std::time::Duration;

use bytes::Bytes;

use super::server::Server;
use super::{address, notice, private_address, reread};
use crate::store::parts::{Appended, Part, PartId, PartRead, Parts, Tail};
use crate::store::redis::parts::WINDOW;
use crate::store::{Lock, Notice, RedisStore, Release, Store, Token, Value};

const LEASE: Duration = Duration::from_secs(20);

/// A piece that is too long to be published.
const LONG: usize = 16 * 1024 + 1;

const HEARD: Appended = Appended::Done { heard: true };
const UNHEARD: Appended = Appended::Done { heard: false };

/// A leader of a value, and the part that it makes.
struct Leader {
    store: RedisStore,
    token: Token,
    part: Part,
}

impl Leader {
    async fn start(server: &Server) -> Self {
        let store = server.builder().inline_limit(3).connect().await.unwrap();
        let token = store.token();
        let acquired = store.acquire(&private_address(), token, LEASE).await.unwrap();
        assert_eq!(acquired.lock, Lock::Granted);
        let id_at = Part::ID_AT;
        let id = PartId::new(token);
        Self {
            store,
            token,
            part: Part { id, token, id_at },
        }
    }

    /// The bytes that a part begins with.
    fn beginning(&self) -> Vec<u8> {
        [&b"head"[..], &self.part.id.to_bytes()].concat()
    }

    async fn append(&self, at: usize, piece: &[u8]) -> Appended {
        let (address, at) = (private_address(), at as u64);
        let appended = self.store.append(&address, self.part, at, piece, LEASE).await;
        appended.unwrap()
    }

    async fn append_detached(&self, at: usize, piece: &[u8], force: bool) -> Appended {
        let (address, at) = (private_address(), at as u64);
        let appended = self.store.append_detached(&address, self.part, at, piece, force).await;
        appended.unwrap()
    }

    /// Reads as another process does.
    async fn read(&self, at: usize) -> PartRead {
        let (address, reader) = (private_address(), Token::random());
        let read = self.store.read(&address, self.part, reader, at as u64, 9);
        read.await.unwrap()
    }

    async fn commit(&self, at: usize, rest: &'static [u8]) -> bool {
        let whole = [&self.beginning()[..], b"abc", rest].concat();
        let value = Value::encoded(whole).with_tail(Some(Tail {
            part: self.part,
            at: at as u64,
            bytes: Bytes::from_static(rest),
            stamp: None,
        }));
        let address = private_address();
        let committed = self.store.commit(&address, self.token, &value, LEASE).await;
        committed.unwrap()
    }
}

fn growing(read: PartRead) -> Bytes {
    match read {
        PartRead::Growing(bytes, left) if left > Duration::ZERO => bytes,
        other => panic!("{other:?}"),
    }
}

fn is_gone(read: &PartRead) -> bool {
    matches!(read, PartRead::Gone)
}

#[tokio::test]
async fn a_part_grows_at_its_end_alone_and_says_whether_it_is_heard() {
    let server = Server::start().await;
    let leader = Leader::start(&server).await;
    let beginning = leader.beginning();
    let end = beginning.len();
    assert!(is_gone(&leader.read(0).await));
    assert_eq!(leader.append(0, &beginning).await, UNHEARD);
    let mut watch = leader.store.watch(&private_address());
    reread(&mut watch).await;
    for (at, piece) in [(end, vec![b'a'; 3]), (end + 3, vec![b'b'; LONG])] {
        assert_eq!(leader.append(at, &piece).await, HEARD);
        let Notice::Part(id, place, bytes) = notice(&mut watch).await else {
            panic!("no part");
        };
        assert_eq!((id, place), (leader.part.id, at as u64));
        let inline = bytes.is_some_and(|bytes| bytes == piece);
        assert_eq!(inline, piece.len() < LONG);
    }
    // Once more, because its answer was lost.
    assert_eq!(leader.append(end + 3, &vec![b'b'; LONG]).await, HEARD);
    assert_eq!(leader.append(end, b"x").await, Appended::Refused);
    assert_eq!(growing(leader.read(end + 1).await), &b"aabbbbbbb"[..]);
    assert!(is_gone(&leader.read(end + 4 + LONG).await));
    let found = leader.store.find(&private_address(), 9).await.unwrap().unwrap();
    assert_eq!((found.holder, &found.beginning[..]), (leader.token, &beginning[..9]));
    // Nothing more once the lock is gone.
    leader.store.invalidate(&private_address()).await.unwrap();
    assert_eq!(leader.append(end + 3 + LONG, b"x").await, Appended::Refused);
    assert!(leader.store.find(&private_address(), 9).await.unwrap().is_none());
}

#[tokio::test]
async fn a_part_becomes_the_value_or_the_whole_value_is_sent() {
    for (is_uploaded, softened) in [(true, false), (true, true), (false, false)] {
        let server = Server::start().await;
        let leader = Leader::start(&server).await;
        let (beginning, at) = (leader.beginning(), private_address());
        leader.append(0, &beginning).await;
        leader.append(beginning.len(), b"abc").await;
        if softened {
            leader.store.soften(&at).await.unwrap();
        }
        // Where the part ends elsewhere, it is of no use.
        let end = beginning.len() + if is_uploaded { 3 } else { 2 };
        assert_eq!(leader.commit(end, b"def").await, !softened);
        let found = leader.store.lookup(&at).await.unwrap().unwrap();
        assert_eq!(found.soft_since().is_some(), softened);
        assert!(found.bytes().unwrap().ends_with(b"abcdef"));
        if !softened {
            let PartRead::Whole(bytes, length) = leader.read(beginning.len()).await else {
                panic!("not whole");
            };
            assert_eq!((&bytes[..], length), (&b"abcdef"[..], beginning.len() as u64 + 6));
        }
        assert!(!leader.commit(end, b"def").await, "the lock was given back");
    }
}

#[tokio::test]
async fn a_detached_part_waits_for_its_readers_unless_it_is_forced() {
    let server = Server::start().await;
    let leader = Leader::start(&server).await;
    let (beginning, at) = (leader.beginning(), private_address());
    let end = beginning.len();
    leader.append(0, &beginning).await;
    assert_eq!(
        leader.store.detach(&at, leader.part, 1).await.unwrap(),
        Appended::Refused
    );
    assert_eq!(leader.store.detach(&at, leader.part, end as u64).await.unwrap(), HEARD);
    leader.store.release(&at, leader.token, Release::Pass).await.unwrap();
    assert_eq!(growing(leader.read(0).await), &beginning[..9]);
    let piece = vec![b'x'; WINDOW];
    assert_eq!(leader.append_detached(end, &piece, false).await, UNHEARD);
    // The reader is still at the beginning.
    assert_eq!(
        leader.append_detached(end + WINDOW, &piece, false).await,
        Appended::Full
    );
    assert_eq!(leader.append_detached(end + WINDOW, &piece, true).await, UNHEARD);
    assert!(is_gone(&leader.read(0).await));
    assert_eq!(growing(leader.read(end + 2 * WINDOW - 2).await), &b"xx"[..]);
    assert_eq!(leader.append_detached(0, b"x", true).await, Appended::Refused);
    leader.store.abandon(&at, leader.part).await.unwrap();
    assert!(is_gone(&leader.read(end + 2 * WINDOW - 2).await));
}

#[tokio::test]
async fn a_holder_hears_that_it_is_asked_as_long_as_it_listens() {
    let server = Server::start().await;
    let (store, other) = (server.store().await, server.store().await);
    let (at, token) = (private_address(), store.token());
    assert!(!other.ask(&at, token).await.unwrap());
    let [requests, _more] = [token, store.token()].map(|token| store.listen(&at, token));
    super::eventually(async || other.ask(&at, token).await.unwrap().then_some(())).await;
    requests.asked().await;
    // One subscription is for all leads under a tag.
    assert_eq!(server.run::<Vec<String>>("PUBSUB CHANNELS *part*").await.len(), 2);
}

#[tokio::test]
async fn values_that_other_members_of_the_family_hear_are_not_carried() {
    let server = Server::start().await;
    let store = server.store().await;
    assert!(store.carries(&private_address()) && !store.carries(&address("a")));
}

use std::sync::atomic::AtomicBool;

use super::*;
use crate::key::{Address, Key, Tag};
use crate::store::notice::Notice;
use crate::store::redis::conn::address::ServerUrl;
use crate::store::redis::near::Near;
use crate::store::redis::tests::scripted::ScriptedServer;

const LONG: Duration = Duration::from_secs(9);

/// A server that refuses subscriptions or not, and what a connection to it serves.
struct World {
    server: ScriptedServer,
    refuses: Arc<AtomicBool>,
    hub: Arc<Hub>,
    trouble: Arc<Notify>,
    dialer: Dialer,
}

impl World {
    async fn start(is_in_cluster: bool) -> Self {
        let (refuses, trouble) = (Arc::new(AtomicBool::new(true)), Arc::<Notify>::default());
        let is_refused = Arc::clone(&refuses);
        let server = ScriptedServer::start(move |words| {
            let is_refused = words[0].ends_with("SUBSCRIBE") && is_refused.load(Ordering::Relaxed);
            is_refused.then(|| "-NOPERM no\r\n".to_owned())
        })
        .await;
        let hub = match is_in_cluster {
            true => Hub::of_cluster(Arc::clone(&trouble), Near::new(0, None).0.feed()),
            false => Hub::default(),
        };
        Self {
            dialer: Dialer::new(ServerUrl::read(&server.url()).unwrap(), LONG, LONG),
            hub: Arc::new(hub),
            server,
            refuses,
            trouble,
        }
    }

    async fn session(&self) -> Session<'_> {
        let hub = Arc::clone(&self.hub);
        let connection = self
            .dialer
            .notifications(Arc::new(move |push| hub.receive(1, push)))
            .await;
        self.hub.connect(1);
        Session {
            hub: &self.hub,
            dialer: &self.dialer,
            connection: connection.unwrap(),
            number: 1,
            mark: 0,
            refusals: 0,
            probes: Probes::default(),
            probed: 0,
        }
    }

    fn watch(&self, id: &str) -> Arc<Mailbox> {
        let address = Address::new(&Tag::new("t").unwrap(), &Key::new(id).unwrap());
        let mailbox = Arc::<Mailbox>::default();
        self.hub
            .registry()
            .attach(Keyspace::new(&address, 0), Arc::clone(&mailbox));
        mailbox
    }

    fn refuses(&self, refuses: bool) {
        self.refuses.store(refuses, Ordering::Relaxed);
    }

    fn is_hopeless(&self) -> bool {
        self.hub.hopeless.load(Ordering::Relaxed)
    }

    fn is_trouble(&self) -> bool {
        std::pin::pin!(self.trouble.notified()).enable()
    }
}

#[tokio::test]
async fn a_refusal_of_a_single_server_is_one_for_good_until_nothing_is_refused() {
    let world = World::start(false).await;
    let mut session = world.session().await;
    let watcher = world.watch("a");
    session.ping().await.unwrap();
    assert!(world.is_hopeless());
    // The watcher reads for itself.
    assert!(matches!(watcher.try_next(), Some(Notice::Reread)));
    world.refuses(false);
    world.watch("b");
    session.ping().await.unwrap();
    assert!(world.is_hopeless(), "the other one is still refused");
    world.hub.registry().retry();
    session.ping().await.unwrap();
    assert!(!world.is_hopeless() && !world.hub.registry().has_refused());
    assert_eq!(world.server.heard(|words| words[0] == "SUBSCRIBE"), 6);
}

#[tokio::test]
async fn a_node_of_a_cluster_may_refuse_many_times_because_a_slot_is_on_its_way() {
    let world = World::start(true).await;
    let mut session = world.session().await;
    world.watch("a");
    for time in 1..=MANY {
        session.ping().await.unwrap();
        assert_eq!(world.is_hopeless(), time == MANY, "{time}");
        assert_eq!(world.is_trouble(), time < MANY, "{time}");
        world.hub.registry().retry();
    }
    world.refuses(false);
    session.ping().await.unwrap();
    assert!(!world.is_hopeless());
    // It may refuse as many times again.
    world.refuses(true);
    world.watch("b");
    session.ping().await.unwrap();
    assert!(!world.is_hopeless() && world.is_trouble());
}

#[tokio::test]
async fn a_server_that_cannot_serve_is_left_and_one_that_refuses_a_heartbeat_is_not() {
    for (answer, is_left) in [("-LOADING", true), ("-READONLY", true), ("-NOPERM no", false)] {
        let is_greeted = AtomicBool::new(false);
        let server = ScriptedServer::start(move |words| {
            let is_ping = words[0] == "PING" && is_greeted.swap(true, Ordering::Relaxed);
            is_ping.then(|| format!("{answer}\r\n"))
        })
        .await;
        let world = World {
            dialer: Dialer::new(ServerUrl::read(&server.url()).unwrap(), LONG, LONG),
            server,
            ..World::start(false).await
        };
        let mut session = world.session().await;
        session.ping().await.unwrap();
        assert_eq!(session.ping().await.is_err(), is_left, "{answer}");
    }
}

//! Callers that wait while their slot moves, or its master is replaced.

use super::*;

/// Leaders on one node that compute until told, and followers on another that wait for them.
struct Waiting {
    memos: [MemoLock; 2],
    gate: Arc<Semaphore>,
    calls: Arc<Semaphore>,
}

impl Waiting {
    async fn on(cluster: &RedisCluster) -> Self {
        // They would compute for themselves without a store that answers in time.
        let memo = async || {
            let builder = RedisStore::cluster([cluster.nodes[5].url()]).timeout(PATIENCE);
            let store = builder.connect_timeout(PATIENCE).connect().await.expect("a store");
            MemoLock::new(store, "t").lease(LEASE).ttl(LEASE)
        };
        Self {
            memos: [memo().await, memo().await],
            gate: Arc::new(Semaphore::new(0)),
            calls: Arc::new(Semaphore::new(0)),
        }
    }

    fn ask(&self, memo: usize, id: &str) -> tokio::task::JoinHandle<Bytes> {
        let memo = self.memos[memo].clone();
        let (gate, calls, id) = (Arc::clone(&self.gate), Arc::clone(&self.calls), id.to_owned());
        tokio::spawn(async move {
            let compute = move || async move {
                calls.add_permits(1);
                let _permit = gate.acquire().await;
                Ok::<_, std::io::Error>(Bytes::from("v"))
            };
            memo.get_or_compute(id, compute).await.expect("an answer")
        })
    }

    /// Has one node lead, and the other one wait with its subscription in effect, for each of the ids.
    async fn begin(&self, cluster: &RedisCluster, ids: &[String]) -> Vec<tokio::task::JoinHandle<Bytes>> {
        let mut asked: Vec<_> = ids.iter().map(|id| self.ask(0, id)).collect();
        eventually("the computations", || self.calls.available_permits() == ids.len()).await;
        asked.extend(ids.iter().flat_map(|id| [self.ask(1, id), self.ask(1, id)]));
        for id in ids {
            let (node, channel) = (&cluster.nodes[cluster.home(id)], format!("t/notif:{id}"));
            eventually("a subscription", || {
                let plain = node.cli(&["PUBSUB", "NUMSUB", &channel]);
                let sharded = node.cli(&["PUBSUB", "SHARDNUMSUB", &channel]);
                plain.ends_with('1') != sharded.ends_with('1')
            })
            .await;
        }
        asked
    }

    /// Lets the computations end, and waits for the answers.
    async fn answered(&self, asked: Vec<tokio::task::JoinHandle<Bytes>>) {
        self.gate.add_permits(Semaphore::MAX_PERMITS);
        for answer in within("all answers", join_all(asked)).await {
            assert_eq!(answer.expect("no panic"), "v");
        }
    }

    /// Lets the computations end, and checks that there were no others.
    async fn end(&self, asked: Vec<tokio::task::JoinHandle<Bytes>>, ids: &[String]) {
        self.answered(asked).await;
        assert_eq!(self.calls.available_permits(), ids.len(), "computations");
        for id in ids {
            let stored = async || self.memos[1].get(id.as_str()).await.expect("a key").is_some();
            until("a stored value", stored).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_move_with_their_slot() {
    let cluster = RedisCluster::start();
    let waiting = Waiting::on(&cluster).await;
    let ids = SHAPES.map(|shape| cluster.id_on(0, shape));
    let asked = waiting.begin(&cluster, &ids).await;
    for id in &ids {
        let slot = cluster.slot(id);
        cluster.begin_migration(&slot, 0, 1);
        cluster.move_keys(&slot, 0, 1);
        cluster.end_migration(&slot, 0, 1);
    }
    subscribed(&cluster.nodes[1], &ids).await;
    let since = Instant::now();
    waiting.end(asked, &ids).await;
    // By the promise, not by the end of the lease.
    assert!(since.elapsed() < LEASE / 2, "{:?}", since.elapsed());
}

/// Waits until a watch listens on this node for what becomes of these ids.
async fn subscribed(node: &RedisServer, ids: &[String]) {
    for channel in ids.iter().map(|id| format!("t/ctl:{id}")) {
        eventually("a subscription on the new master", || {
            let channels = ["CHANNELS", "SHARDCHANNELS"].map(|what| node.cli(&["PUBSUB", what]));
            channels.iter().any(|channels| channels.contains(&channel))
        })
        .await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_move_to_the_new_master() {
    let cluster = RedisCluster::start();
    let waiting = Waiting::on(&cluster).await;
    let ids = SHAPES.map(|shape| cluster.id_on(0, shape));
    let asked = waiting.begin(&cluster, &ids).await;
    cluster.nodes[3].cli(&["CLUSTER", "FAILOVER"]);
    eventually("another master", || cluster.has_promoted(3)).await;
    subscribed(&cluster.nodes[3], &ids).await;
    let since = Instant::now();
    waiting.end(asked, &ids).await;
    assert!(since.elapsed() < LEASE / 2, "{:?}", since.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_told_to_read_again_finds_the_new_master() {
    let mut cluster = RedisCluster::start();
    let builder = RedisStore::cluster([cluster.nodes[5].url()]).connect_timeout(PATIENCE);
    let store = builder.connect().await.expect("a store");
    let at = address(&cluster.id_on(0, SHAPES[0]));
    let mut watch = store.watch(&at);
    reread(&mut watch).await;
    cluster.lose(0);
    // The connection is lost.
    reread(&mut watch).await;
    // Its slot has another master, to which there is no connection yet.
    reread(&mut watch).await;
    store.lookup(&at).await.expect("an answer from the new master");
}

#[tokio::test(flavor = "multi_thread")]
async fn those_who_wait_survive_the_death_of_a_master() {
    let mut cluster = RedisCluster::start();
    let waiting = Waiting::on(&cluster).await;
    let ids = SHAPES.map(|shape| cluster.id_on(0, shape));
    let asked = waiting.begin(&cluster, &ids).await;
    cluster.lose(0);
    eventually("another master", || cluster.has_promoted(3)).await;
    let since = Instant::now();
    waiting.answered(asked).await;
    assert!(since.elapsed() < LEASE / 2, "{:?}", since.elapsed());
    // Where the store was gone, each of the two nodes may have computed for itself.
    assert!(waiting.calls.available_permits() <= 2 * ids.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_computation_that_ends_while_its_slot_is_on_the_way_is_stored() {
    let cluster = RedisCluster::start();
    let waiting = Waiting::on(&cluster).await;
    let ids = SHAPES.map(|shape| cluster.id_on(0, shape));
    let asked = waiting.begin(&cluster, &ids).await;
    let slots = ids.clone().map(|id| cluster.slot(&id));
    slots.iter().for_each(|slot| cluster.begin_migration(slot, 0, 1));
    let ended = waiting.end(asked, &ids);
    let moved = async {
        sent_away(&cluster.nodes[0]).await;
        for slot in &slots {
            cluster.move_keys(slot, 0, 1);
        }
        sent_away(&cluster.nodes[1]).await;
        for slot in &slots {
            cluster.end_migration(slot, 0, 1);
        }
    };
    tokio::join!(ended, moved);
}

/// Waits until commands whose keys are here in part have been sent away, more than once.
async fn sent_away(node: &RedisServer) {
    eventually("commands that are sent away", || {
        let errors = node.cli(&["INFO", "errorstats"]);
        let again = errors
            .lines()
            .find_map(|line| line.strip_prefix("errorstat_TRYAGAIN:count="));
        again.is_some_and(|count| count.trim().parse::<u32>().expect("a number") > 2)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slot_on_its_way_is_served_from_both_ends() {
    let cluster = RedisCluster::start();
    let store = connect(&cluster).await;
    let id = cluster.id_on(0, "{#}");
    let (at, other, slot) = (address(&id), address(&format!("{id}x")), cluster.slot(&id));
    let (token, value) = (Token::random(), Value::encoded("v"));
    store.acquire(&at, token, LEASE).await.expect("an answer");
    assert!(store.commit(&at, token, &value, LEASE).await.expect("an answer"));
    cluster.begin_migration(&slot, 0, 1);
    // The value is still there, the lock of the other one will be taken where the slot goes.
    assert!(store.lookup(&at).await.expect("an answer").is_some());
    assert!(store.lookup(&other).await.expect("an answer").is_none());
    let acquired = store.acquire(&other, token, LEASE).await.expect("an answer");
    assert_eq!(acquired.lock, tower_memolock::store::Lock::Granted);
    assert!(store.renew(&other, token, LEASE).await.expect("an answer").is_held());
    assert_eq!(cluster.nodes[0].cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot]), "1");
    assert_eq!(cluster.nodes[1].cli(&["CLUSTER", "COUNTKEYSINSLOT", &slot]), "1");
    cluster.move_keys(&slot, 0, 1);
    assert!(store.lookup(&at).await.expect("an answer").is_some());
    let epoch = store.epoch();
    cluster.end_migration(&slot, 0, 1);
    assert!(store.lookup(&at).await.expect("an answer").is_some());
    assert_ne!(store.epoch(), epoch);
    assert!(store.commit(&other, token, &value, LEASE).await.expect("an answer"));
}

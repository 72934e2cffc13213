//! [`Node`]: one process of the cluster: the real core and the real layer over the simulated store.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use http::{Method, Request};
use http_body_util::{BodyExt, Empty};
use tower::{Layer, ServiceExt};
use tower_memolock::middleware::{Freshness, Handle, MemoLockService, StreamFollowers, UriKey};
use tower_memolock::simulation::{Planted, World, within};
use tower_memolock::{InvalidateError, MemoLock, MemoLockLayer, Receipt, RedisStore, Stats, Store};

use crate::handler::{Handler, Job, NOT_KEPT};
use crate::history::Gone;
use crate::link::Link;
use crate::near::NearCopies;
use crate::plan::{COMMAND_TIMEOUT, LEASE, NearSettings, Settings, Subject, TTL, Via, WAIT_TIMEOUT};
use crate::sim::{DATABASES, Sim};
use crate::store::SimStore;
use crate::world::NodeWorld;

/// The field that is part of the key.
const TENANT: &str = "x-tenant";

pub(crate) struct Node {
    pub(crate) index: usize,
    pub(crate) life: u64,
    pub(crate) world: Arc<NodeWorld>,
    pub(crate) links: [Arc<Link>; DATABASES],
    /// The real stores, where it has those.
    redis: Vec<RedisStore>,
    /// Whether its layer streams to followers.
    streams: bool,
    /// Where it keeps near copies.
    pub(crate) near: Option<NearCopies>,
    handler: Handler,
    core: MemoLock,
    elsewhere: MemoLock,
    tagged: MemoLock,
    made: MemoLock,
    handle: Handle,
    service: MemoLockService<Handler, UriKey>,
}

/// What a caller got.
pub(crate) enum Answer {
    Value(Bytes),
    /// Its own error, or that of another.
    Failed(&'static str),
}

/// The tasks of a client of Redis: two connections, what looks after each and tells its callers that they wait for long, and
/// what looks after near copies.
const REDIS_TASKS: usize = 7;

impl Node {
    /// Begins the life with that number.
    pub(crate) async fn start(
        sim: &Arc<Sim>,
        links: [Arc<Link>; DATABASES],
        life: u64,
        settings: Settings,
        planted: Option<Planted>,
    ) -> Arc<Self> {
        let index = links[0].node();
        let rng = sim.rng().fork(1000 * life + index as u64);
        let world = Arc::new(NodeWorld::new(rng, sim, &links[0], planted));
        let handler = Handler {
            sim: Arc::clone(sim),
            node: index,
            life,
            world: Arc::clone(&world),
            links,
            is_redis: settings.redis,
            is_closed: Arc::default(),
        };
        // All of it is made there, with the random numbers of that world.
        let made = within(Arc::clone(&world) as Arc<dyn World>, async {
            if settings.redis {
                let near = settings.near_on(index);
                let stores = [redis(index, 0, near).await, redis(index, 1, near).await];
                let near = near.map(|near| NearCopies::new(near, stores.clone()));
                return Self::over(&stores, settings, (handler, near, stores.to_vec()));
            }
            let stores = [0, 1].map(|database| SimStore::new(sim, database, &handler.links[database]));
            Self::over(&stores, settings, (handler, None, Vec::new()))
        });
        made.await
    }

    /// The same over these stores, one for each database.
    fn over<S: Store + Clone>(
        stores: &[S; DATABASES],
        settings: Settings,
        (handler, near, redis): (Handler, Option<NearCopies>, Vec<RedisStore>),
    ) -> Arc<Self> {
        let store = |database: usize| stores[database].clone();
        let lock = |database, tag| {
            MemoLock::new(store(database), tag)
                .lease(Duration::from_millis(LEASE))
                .wait_timeout(Duration::from_millis(WAIT_TIMEOUT))
                .ttl_of(|value| (!value.ends_with(NOT_KEPT.as_bytes())).then_some(Duration::from_millis(TTL)))
                .stamped(settings.stamped)
        };
        let mut freshness = Freshness::new();
        if settings.stale {
            let time = Duration::from_millis(TTL / 3);
            freshness = freshness.stale_while_revalidate(time).stale_if_error(time);
        }
        let streams = match settings.streams {
            true => StreamFollowers::Cluster,
            false => StreamFollowers::Off,
        };
        let layer = MemoLockLayer::new(store(0), "page")
            .lease(Duration::from_millis(LEASE))
            .wait_timeout(Duration::from_millis(WAIT_TIMEOUT))
            .ttl(Duration::from_millis(TTL))
            .stream_followers(streams)
            .freshness(freshness.stamped(settings.stamped))
            .key_headers([TENANT]);
        Arc::new(Self {
            index: handler.node,
            life: handler.life,
            world: Arc::clone(&handler.world),
            links: handler.links.clone(),
            redis,
            streams: settings.streams,
            near,
            core: lock(0, "like"),
            elsewhere: lock(1, "like"),
            made: lock(0, "made"),
            tagged: lock(0, "item").tags_of(|_, _| ["all"]),
            service: layer.layer(handler.clone()),
            handle: layer.handle(),
            handler,
        })
    }

    /// Runs `future` on this node.
    pub(crate) fn spawn<F>(&self, future: F) -> tokio::task::JoinHandle<F::Output>
    where
        F: Future<Output: Send> + Send + 'static,
    {
        let world: Arc<NodeWorld> = Arc::clone(&self.world);
        let task = tokio::spawn(within(world, future));
        World::started(&*self.world, task.abort_handle());
        task
    }

    fn memo(&self, via: Via) -> &MemoLock {
        match via {
            Via::Elsewhere => &self.elsewhere,
            Via::Tagged => &self.tagged,
            Via::Made => &self.made,
            Via::Core | Via::Layer => &self.core,
        }
    }

    pub(crate) async fn ask(&self, job: Job, receipt: Option<Receipt>) -> Answer {
        let handler = self.handler.clone();
        let Subject { via, key, .. } = job.subject;
        if via == Via::Layer {
            return self.request(job, receipt).await;
        }
        if via == Via::Made {
            let made = self.made.clone();
            let request = move || {
                let (handler, made) = (handler.clone(), made.clone());
                async move { handler.request(job, made) }
            };
            let made = self.made.get_or_request(format!("k{key}"), request).await;
            return made.map_or(Answer::Failed("an error"), Answer::Value);
        }
        let memo = self.memo(via);
        if job.anew {
            self.handler.sim.made("a caller has it computed now");
            let refreshed = memo.refresh(format!("k{key}"), move || handler.compute(job)).await;
            return refreshed.map_or(Answer::Failed("an error"), Answer::Value);
        }
        let memo = receipt.map_or_else(|| memo.clone(), |receipt| memo.since(receipt));
        let computed = memo
            .get_or_compute(format!("k{key}"), move || handler.compute(job))
            .await;
        computed.map_or(Answer::Failed("an error"), Answer::Value)
    }

    async fn request(&self, job: Job, receipt: Option<Receipt>) -> Answer {
        let mut request = request(Method::GET, job);
        if let Some(receipt) = receipt {
            request.extensions_mut().insert(receipt);
        }
        let asked = async {
            let response = self.service.clone().oneshot(request).await;
            let Ok(response) = response else {
                return Answer::Failed("an error");
            };
            if !response.status().is_success() {
                return Answer::Failed("a status");
            }
            match response.into_body().collect().await {
                Ok(body) => Answer::Value(body.to_bytes()),
                Err(_) => Answer::Failed("a body that broke off"),
            }
        };
        // A panic goes where it would have gone without the layer.
        let asked = std::panic::AssertUnwindSafe(asked).catch_unwind().await;
        asked.unwrap_or(Answer::Failed("a panic"))
    }

    pub(crate) async fn invalidate(&self, (gone, soft): (Gone, bool), job: Job) -> Result<Receipt, InvalidateError> {
        let invalidation = match gone {
            Gone::Tagged => self.tagged.invalidate_tags(["all"]),
            Gone::All(Via::Layer) => self.handle.invalidate_all(),
            Gone::All(via) => self.memo(via).invalidate_all(),
            Gone::One(Subject { via: Via::Layer, .. }) => self.handle.invalidate_request(&request(Method::GET, job)),
            Gone::One(Subject { via, key, .. }) => self.memo(via).invalidate(format!("k{key}")),
        };
        match soft {
            true => invalidation.soft().await,
            false => invalidation.await,
        }
    }

    /// An unsafe request.
    pub(crate) async fn change(&self, job: Job) {
        let _ = self.service.clone().oneshot(request(Method::POST, job)).await;
    }

    /// Whether it has said of an invalidation that it is pending.
    pub(crate) fn owes(&self) -> bool {
        let mut stores = self.redis.iter();
        stores.any(|store| store.stats().pending_invalidations > 0)
    }

    pub(crate) async fn shut_down(&self, grace: Duration) {
        self.handler.is_closed.store(true, Ordering::Relaxed);
        let locks = [&self.core, &self.elsewhere, &self.tagged, &self.made];
        let locks = futures_util::future::join_all(locks.map(|lock| lock.shutdown(grace)));
        futures_util::join!(locks, self.handle.shutdown(grace));
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.handler.is_closed.load(Ordering::Relaxed)
    }

    /// What is left, where nothing should be.
    pub(crate) fn leftovers(&self) -> Option<String> {
        let locks = [&self.core, &self.elsewhere, &self.tagged, &self.made];
        let flights: usize = locks.iter().map(|lock| lock.in_flight()).sum();
        let stats = locks.map(MemoLock::stats).into_iter().chain([self.handle.stats()]);
        let left =
            |stats: Stats| stats.waiting + stats.queued + stats.in_flight + stats.orphaned + stats.recorded_bytes;
        let left: u64 = stats.map(left).sum();
        let lasting = match self.redis.is_empty() {
            true => 0,
            // Once it has led, the layer listens for nodes that want to read along.
            false => DATABASES * REDIS_TASKS + usize::from(self.streams),
        };
        let tasks = self.world.tasks().saturating_sub(lasting);
        (left > 0 || flights > 0 || tasks > 0)
            .then(|| format!("node {}: gauges {left}, flights {flights}, tasks {tasks}", self.index))
    }

    /// What became of its near copies.
    pub(crate) fn tally(&self, sim: &Sim) {
        if let Some(near) = &self.near {
            near.tally(sim);
        }
    }

    pub(crate) fn commands(&self) -> u64 {
        self.links.iter().map(|link| link.commands()).sum()
    }
}

/// The real client of one database of a Redis server. Of every other node, it publishes no value, and announces it.
async fn redis(node: usize, database: usize, near: Option<NearSettings>) -> RedisStore {
    let timeout = Duration::from_millis(COMMAND_TIMEOUT);
    let mut builder = RedisStore::builder(format!("redis://127.0.0.1:6379/{database}"));
    if node % 2 == 1 {
        builder = builder.inline_limit(0);
    }
    if let Some(NearSettings { lag, bytes, .. }) = near {
        builder = builder.near(bytes).near_lag(Duration::from_millis(lag));
    }
    let connecting = builder.timeout(timeout).connect_timeout(timeout).connect();
    let store = tokio::time::timeout(20 * timeout, connecting).await;
    store
        .expect("an end of the attempt")
        .expect("a store that goes on trying")
}

fn request(method: Method, job: Job) -> Request<Empty<Bytes>> {
    let Subject { key, tenant, .. } = job.subject;
    let request = Request::builder().method(method).uri(format!("/k{key}"));
    let request = request
        .header("host", "host")
        .header(TENANT, format!("t{tenant}"))
        .extension(job);
    request.body(Empty::new()).expect("a request")
}

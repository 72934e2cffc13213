//! [`Handler`]: what is memoized, and counted: the computation beneath the core, and the service beneath the layer.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::{self, Stream};
use http::{Method, Request, Response};
use http_body::Frame;
use http_body_util::{Empty, StreamBody};
use tokio::time::sleep;
use tower::Service;
use tower_memolock::MemoLock;
use tower_memolock::middleware::MemoControl;
use tower_memolock::simulation::{World, within};

use crate::checks::text;
use crate::history::{Computation, address_of, database};
use crate::link::Link;
use crate::plan::{End, LEASE, Subject, TTL};
use crate::sim::{DATABASES, Sim};
use crate::world::NodeWorld;

pub(crate) type HandlerBody = StreamBody<Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>>>;

/// The end of a value that is not to be kept.
pub(crate) const NOT_KEPT: &str = "~";

/// What a request is to cost, and how it is to end, should it lead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Job {
    pub(crate) subject: Subject,
    pub(crate) cost: u64,
    pub(crate) end: End,
    /// Whether what is stored does not do.
    pub(crate) anew: bool,
}

#[derive(Clone)]
pub(crate) struct Handler {
    pub(crate) sim: Arc<Sim>,
    pub(crate) node: usize,
    pub(crate) life: u64,
    pub(crate) world: Arc<NodeWorld>,
    pub(crate) links: [Arc<Link>; DATABASES],
    pub(crate) is_redis: bool,
    /// Whether the node has given its leases back.
    pub(crate) is_closed: Arc<AtomicBool>,
}

impl Handler {
    /// One call more.
    fn begin(&self, job: Job) -> usize {
        let Job { subject, end, anew, .. } = job;
        let (sim, now) = (&self.sim, self.sim.now());
        let is_refused = self.is_refused(subject, now);
        let number = sim.history().begin(Computation {
            subject,
            node: self.node,
            life: self.life,
            begun: sim.moment(),
            begun_at: now,
            ended_at: None,
            end,
            anew,
            leased: !is_refused && !self.is_closed.load(Ordering::Relaxed),
        });
        sim.trace.say(format_args!(
            "node {} begins computation {number} of {subject:?}: {end:?}",
            self.node
        ));
        number
    }

    /// Whether it may go on without the lock.
    fn is_refused(&self, subject: Subject, now: u64) -> bool {
        let (database, name) = (database(subject.via), address_of(subject));
        let then = now.saturating_sub(LEASE);
        if self.is_redis {
            let lock = name.replacen(':', "/lock:", 1);
            let sim = &self.sim;
            return !sim.redis().has_granted(database, self.node, &lock) || sim.history().troubles(then, now) > 0;
        }
        self.links[database].was_refused_since(then, |address| address.starts_with(&name))
    }

    fn end(&self, number: usize) {
        let now = self.sim.now();
        self.sim.history().computations[number].ended_at = Some(now);
        self.sim
            .trace
            .say(format_args!("node {} ends computation {number}", self.node));
    }

    /// The computation beneath the core.
    pub(crate) async fn compute(self, job: Job) -> Result<Bytes, io::Error> {
        let number = self.begin(job);
        sleep(Duration::from_millis(job.cost)).await;
        self.end(number);
        match job.end {
            End::Fails => Err(io::Error::other("planned")),
            End::Panics => panic!("planned"),
            End::Shared => Ok(shared(job, number)),
            End::Well | End::BreaksOff | End::Private => Ok(text(job.subject, number).into()),
        }
    }

    /// Has the work started, by a worker that resolves the promise once it is done.
    pub(crate) fn request(self, job: Job, memo: MemoLock) -> Result<(), io::Error> {
        let number = self.begin(job);
        match job.end {
            End::Fails => return Err(io::Error::other("planned")),
            End::Panics => panic!("planned"),
            // The work is lost.
            End::BreaksOff => return Ok(()),
            End::Well | End::Private | End::Shared => {}
        }
        let world: Arc<NodeWorld> = Arc::clone(&self.world);
        let worker = async move {
            sleep(Duration::from_millis(job.cost)).await;
            self.end(number);
            let value = text(job.subject, number).into();
            let key = format!("k{}", job.subject.key);
            let _ = memo.resolve(key, value, Duration::from_millis(TTL)).await;
        };
        let worker = tokio::spawn(within(Arc::clone(&world) as Arc<dyn World>, worker));
        world.started(worker.abort_handle());
        Ok(())
    }

    async fn respond(self, request: Request<Empty<Bytes>>) -> Result<Response<HandlerBody>, io::Error> {
        let job = request.extensions().get::<Job>().copied();
        let job = job.ok_or_else(|| io::Error::other("no job"))?;
        if request.method() == Method::POST {
            return Ok(Response::new(StreamBody::new(Box::pin(stream::empty()))));
        }
        let number = self.begin(job);
        sleep(Duration::from_millis(job.cost * 3 / 4)).await;
        match job.end {
            End::Fails | End::Panics => self.end(number),
            End::Well | End::BreaksOff | End::Private | End::Shared => {}
        }
        match job.end {
            End::Fails => return Err(io::Error::other("planned")),
            End::Panics => panic!("planned"),
            End::Well | End::BreaksOff | End::Private | End::Shared => {}
        }
        let mut response = Response::builder();
        if job.end == End::Private {
            response = response.header("cache-control", "private");
        }
        if job.end == End::Shared {
            response = response.extension(MemoControl::new().ttl(Duration::ZERO));
        }
        let response = response.body(StreamBody::new(self.body(job, number)));
        response.map_err(io::Error::other)
    }

    /// In two pieces, the second of which comes later, or never.
    fn body(self, job: Job, number: usize) -> Pin<Box<dyn Stream<Item = io::Result<Frame<Bytes>>> + Send>> {
        let whole = Bytes::from(text(job.subject, number));
        let begin = whole.slice(..whole.len() / 2);
        let rest = whole.slice(whole.len() / 2..);
        let body = stream::unfold((self, 0), move |(handler, piece)| {
            let (begin, rest) = (begin.clone(), rest.clone());
            async move {
                match piece {
                    0 => Some((Ok(Frame::data(begin)), (handler, 1))),
                    1 => {
                        sleep(Duration::from_millis(job.cost / 4)).await;
                        handler.end(number);
                        let rest = match job.end {
                            End::BreaksOff => Err(io::Error::other("planned")),
                            End::Well | End::Fails | End::Panics | End::Private | End::Shared => Ok(Frame::data(rest)),
                        };
                        Some((rest, (handler, 2)))
                    }
                    _ => None,
                }
            }
        });
        Box::pin(body)
    }
}

/// A value that says that it is not to be kept.
fn shared(job: Job, number: usize) -> Bytes {
    (text(job.subject, number) + NOT_KEPT).into()
}

impl Service<Request<Empty<Bytes>>> for Handler {
    type Response = Response<HandlerBody>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Response<HandlerBody>, io::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), io::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Empty<Bytes>>) -> Self::Future {
        Box::pin(self.clone().respond(request))
    }
}

//! Reports that another program renders: a handler only puts a job into a queue, a worker in Python gives the response to
//! all its waiters, on however many of these servers.
//!
//! ```text
//! redis-server --port 6379
//! cargo run --example deferred
//! python3 examples/deferred/worker.py 6379 2
//! curl -i http://127.0.0.1:3000/report/42            # takes two seconds, for all clients together
//! curl -i http://127.0.0.1:3000/report -d 'March'    # so does this: the body tells what to render
//! curl -i http://127.0.0.1:3000/body/42              # here the worker gives nothing but the body
//! ```
//!
//! Without the worker, the handler is called once a lease, and three times at most. After the wait timeout the clients of
//! those calls are told that the report is on its way (202), and all others that it is not there (504).

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use axum::Router;
use axum::extract::{Extension, Path, State};
use axum::http::header::RETRY_AFTER;
use axum::http::{Method, Request, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use redis::AsyncCommands;
use redis::aio::ConnectionManager;
// A `println!` that does not panic when standard output is closed.
use support::{Args, println, read_args};
use tokio::net::TcpListener;
use tower::BoxError;
use tower_memolock::middleware::{BodyKey, MemoControl, Promise};
use tower_memolock::{Key, MemoLockLayer, RedisStore};

const USAGE: &str = "\
Usage: deferred [OPTIONS]

Serves /report/{id}, POST /report and /body/{id}, which a worker renders.

  --listen ADDR         where to listen; port 0 takes a free one        [default: 127.0.0.1:3000]
  --redis URL           where servers and workers meet                  [default: redis://127.0.0.1:6379]
  --lease TIME          what rendering takes at most; then another request has it started again   [default: 10s]
  --wait-timeout TIME   how long a client waits at most                 [default: 30s]
  --help                this text";

struct Options {
    listen: SocketAddr,
    redis: String,
    lease: Duration,
    wait_timeout: Duration,
}

/// The list that workers take jobs from.
#[derive(Clone)]
struct Jobs(ConnectionManager);

impl Jobs {
    /// Has `report` rendered, in one of the forms that a worker may give it in.
    async fn start(mut self, promise: Option<Extension<Promise>>, form: &str, report: &str) -> Response {
        // Without Redis no two processes wait for it together, and the worker could not give it.
        let Some(Extension(promise)) = promise else {
            return (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")]).into_response();
        };
        let job = [form, promise.key(), &promise.channel(), report].join("\n");
        let queued: redis::RedisResult<()> = self.0.rpush("jobs", job).await;
        if queued.is_err() {
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
        let deferred = Extension(MemoControl::new().deferred());
        (StatusCode::ACCEPTED, deferred, [(RETRY_AFTER, "5")]).into_response()
    }
}

async fn report(State(jobs): State<Jobs>, Path(id): Path<u32>, promise: Option<Extension<Promise>>) -> Response {
    jobs.start(promise, "message", &id.to_string()).await
}

async fn described(State(jobs): State<Jobs>, promise: Option<Extension<Promise>>, report: String) -> Response {
    jobs.start(promise, "message", &report).await
}

async fn body(State(jobs): State<Jobs>, Path(id): Path<u32>, promise: Option<Extension<Promise>>) -> Response {
    jobs.start(promise, "body", &id.to_string()).await
}

/// The last segment of the path to the letter: a worker, or any other program of the family, finds `report:42`.
fn id<B>(request: &Request<B>) -> Option<Key> {
    let id: u32 = request.uri().path().rsplit('/').next()?.parse().ok()?;
    Key::new(id.to_string()).ok()
}

fn read_options(args: &mut Args) -> Result<Options, support::Error> {
    let mut options = Options {
        listen: SocketAddr::from(([127, 0, 0, 1], 3000)),
        redis: "redis://127.0.0.1:6379".to_owned(),
        lease: Duration::from_secs(10),
        wait_timeout: Duration::from_secs(30),
    };
    while let Some(flag) = args.next_flag()? {
        match flag {
            "--listen" => options.listen = args.address()?,
            "--redis" => options.redis = args.redis_url()?,
            "--lease" => options.lease = args.duration()?,
            "--wait-timeout" => options.wait_timeout = args.duration()?,
            _ => return Err(args.unknown()),
        }
    }
    Ok(options)
}

#[tokio::main]
async fn main() -> ExitCode {
    let options = read_args(USAGE, read_options);
    support::exit_code(serve(options).await)
}

async fn serve(options: Options) -> Result<(), BoxError> {
    let store = RedisStore::connect(&options.redis).await?;
    let connection = redis::Client::open(options.redis.as_str())?
        .get_connection_manager()
        .await;
    let jobs = Jobs(connection.map_err(|e| format!("cannot connect to the Redis of the jobs: {e}"))?);

    let layer = |tag| {
        let layer = MemoLockLayer::new(store.clone(), tag).may_defer();
        layer.lease(options.lease).wait_timeout(options.wait_timeout)
    };
    let described_layer = layer("described").methods([Method::POST]).key(BodyKey::new());
    let app = Router::new()
        .route("/report/{id}", get(report).layer(layer("report").key(id)))
        .route("/report", post(described).layer(described_layer))
        .route(
            "/body/{id}",
            get(body).layer(layer("body").raw_body("application/pdf").key(id)),
        )
        .with_state(jobs);

    let address = options.listen;
    let listener = TcpListener::bind(address)
        .await
        .map_err(|e| format!("cannot listen on {address}: {e}"))?;
    let (stop, overdue) = (support::shutdown(), support::overdue());
    println!("listening on http://{}", listener.local_addr()?);
    tokio::select! {
        result = axum::serve(listener, app).with_graceful_shutdown(stop) => Ok(result?),
        () = overdue => Ok(()),
    }
}

//! A reverse proxy for any HTTP server: however many ask for the same thing at once, on however many proxies, the
//! server is asked once.
//!
//! ```text
//! cargo run --example reverse_proxy -- --listen 127.0.0.1:8080 --upstream http://127.0.0.1:9000
//! ```
//!
//! Give several of them `--redis redis://127.0.0.1` and they share; with `--sentinel` or `--cluster`, through Sentinel or
//! a Redis Cluster. A request passes through
//!
//! 1. `server.rs`: hyper, HTTP/1 and HTTP/2;
//! 2. `rewrite.rs`: what a gateway must change, *before* the layer, so that all proxies build the same key;
//! 3. the layer;
//! 4. `upstream.rs`: hyper's client.
//!
//! With `--admin 127.0.0.1:8081`, operators see there what goes on, and invalidate (`admin.rs`).
//!
//! # What is not passed on
//!
//! Interim responses (1xx), `103 Early Hints` among them. hyper's client tells of them (`hyper::ext::on_informational`),
//! but hyper's server, 1.12 as well, can send none but its own `100 Continue`: a service returns one response, and a 1xx in
//! its place is an error. What hints announce, the final response announces again as a rule (RFC 8297, section 2).
//!
//! A response whose end is the connection's, without `Content-Length` or `Transfer-Encoding`, is whole wherever that ends
//! (RFC 9112, section 8): if the upstream dies without a reset, neither this proxy nor any other can tell.

mod admin;
mod connection;
mod framing;
mod impatient;
mod options;
mod own;
mod report;
mod rewrite;
mod server;
mod upstream;

use std::process::ExitCode;
use std::time::Duration;

use http_body_util::Either;
use tokio::net::TcpListener;
use tower::{BoxError, ServiceBuilder, ServiceExt, service_fn};
use tower_memolock::middleware::{Audit, CacheStatus, Freshness, Privacy, ResponseLimits};
use tower_memolock::{Limits, MemoLockLayer, MemoryStore, Store, StoreErrorKind};
use tracing_subscriber::filter::LevelFilter;

use self::options::Options;
use self::own::Asker;
use self::report::Report;
use self::rewrite::Target;
use self::upstream::{Upstream, no_answer};

/// How long what no client waits for any more may keep the program from ending.
const DRAIN: Duration = Duration::from_secs(2);

#[tokio::main]
async fn main() -> ExitCode {
    let options = Options::from_args();
    let level = std::env::var("RUST_LOG").ok();
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .log_internal_errors(false)
        .with_max_level(level.and_then(|l| l.parse().ok()).unwrap_or(LevelFilter::WARN))
        .init();
    support::exit_code(run(options).await)
}

async fn run(mut options: Options) -> Result<(), BoxError> {
    let Some(redis) = options.redis.take() else {
        return proxy(options, MemoryStore::new()).await;
    };
    let store = redis.connect().await?;
    match store.check(&options.sharing.tag).await {
        // A Redis that is away comes back by itself, a permission does not.
        Err(error) if error.kind() == StoreErrorKind::Rejected => Err(error.into()),
        _ => proxy(options, store).await,
    }
}

fn layer(store: impl Store, options: &Options) -> MemoLockLayer {
    let freshness = Freshness::new()
        .targeted(options.sharing.targeted.iter().cloned())
        .store_after(options.sharing.store_after)
        .receipts(options.sharing.receipts)
        // Or `?all=1` would reach nothing.
        .stamped(options.admin.is_some());
    let limits = Limits::new()
        .max_waiters(options.sharing.max_waiters)
        .at_limit(options.sharing.at_limit);
    MemoLockLayer::new(store, options.sharing.tag.clone())
        .ttl(options.sharing.ttl.unwrap_or_default())
        .freshness(freshness)
        .key_headers(options.sharing.key_headers.iter().cloned())
        .privacy(Privacy::new().set_cookie(options.sharing.set_cookie))
        .cache_status(CacheStatus::Outcome)
        .lease(options.sharing.lease)
        .wait_timeout(options.sharing.wait_timeout)
        .response_limits(ResponseLimits::new().max_body(options.sharing.max_body))
        .stream_followers(options.sharing.stream_followers)
        .limits(limits)
        .audit(match options.shadow {
            true => Audit::Shadow,
            false => Audit::Verify(options.verify),
        })
}

async fn proxy(options: Options, store: impl Store) -> Result<(), BoxError> {
    let target = Target::new(options.upstream.clone()).ok_or("--upstream has no host")?;
    let listener = TcpListener::bind(options.listen).await;
    let listener = listener.map_err(|e| format!("cannot listen on {}: {e}", options.listen))?;
    let (stop, leave) = (support::shutdown(), support::shutdown());
    let layer = layer(store, &options);
    let admin = match options.admin {
        Some(address) => Some(admin::Listening::on(address, &layer, target.clone()).await?),
        None => None,
    };
    let report = (options.shadow || options.verify > 0.0).then(|| Report::of(&layer));
    if let Some(report) = &report {
        report.print_when_asked();
    }
    let handle = layer.handle();
    let asked = handle.clone();
    support::print_stats(move || asked.stats());
    support::println!("listening on http://{}", listener.local_addr()?);
    if let Some(admin) = &admin {
        support::println!("admin on http://{}", admin.address()?);
    }

    let shared = ServiceBuilder::new()
        .map_request(move |request| target.rewrite(request))
        .layer(layer)
        .service(Upstream::new(options.upstream_timeout));
    let service = service_fn(move |request| {
        let asker = Asker::of(&request);
        let answer = shared.clone().oneshot(request);
        async move {
            Ok(match answer.await {
                Ok(response) => response.map(Either::Left),
                Err(error) => no_answer(&error, &asker).map(Either::Right),
            })
        }
    });
    // What takes longer is taken over by another proxy, before this one is gone.
    let leave = async {
        leave.await;
        handle.shutdown(support::GRACE_OF_LEASES).await;
        std::future::pending::<()>().await;
    };
    let admin = async {
        if let Some(admin) = admin {
            admin.serve().await;
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        () = server::serve(listener, service, stop) => {}
        () = leave => {}
        () = admin => {}
    }
    handle.shutdown(DRAIN).await;
    if let Some(report) = &report {
        report.print().await;
    }
    Ok(())
}

//! Three processes that call one slow API make one call: the layer around a client.
//!
//! ```text
//! cargo run --example outbound                                     # three clients in this process
//! cargo run --example outbound -- --redis redis://127.0.0.1        # three processes
//! ```
//!
//! The parts by hand, each in a terminal of its own:
//!
//! ```text
//! cargo run --example outbound -- --serve 127.0.0.1:9000
//! cargo run --example outbound -- --redis redis://127.0.0.1 --call http://127.0.0.1:9000/rates/eur
//! ```

mod api;
mod call;
mod clients;
mod options;

use std::process::{ExitCode, Stdio};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::Uri;
use support::{eprintln, println, read_args};
use tokio::process::Command;
use tower::BoxError;
use tower_memolock::{AnyStore, MemoryStore, RedisStore, Store, Tag};

use self::api::Api;
use self::options::{Options, Part, read_options};

/// How many call the API.
const CALLERS: usize = 3;
/// How long Redis may take to answer.
const PATIENCE: Duration = Duration::from_secs(5);
/// The first part of the names of all keys.
const TAG: &str = "outbound";

#[tokio::main]
async fn main() -> ExitCode {
    let options = read_args(options::USAGE, read_options);
    let stop = support::shutdown();
    let result = tokio::select! {
        result = run(options) => result,
        () = stop => Ok(()),
    };
    support::exit_code(result)
}

async fn run(options: Options) -> Result<(), BoxError> {
    match &options.part {
        Part::All => demonstrate(&options).await,
        Part::Serve(address) => {
            let api = Api::start(*address, options.work).await?;
            println!("listening on http://{}", api.address);
            api.ended().await
        }
        Part::Call(url) => {
            let outcome = call::call(store(&options).await?, &options, url).await?;
            println!("{outcome}");
            Ok(())
        }
    }
}

async fn store(options: &Options) -> Result<AnyStore, BoxError> {
    Ok(match &options.redis {
        None => MemoryStore::new().into_any(),
        Some(url) => {
            let store = RedisStore::builder(url).timeout(PATIENCE).connect().await?;
            // To a store, a Redis that is down is no error: the client works without it. Here, it is worth a word.
            if let Err(error) = store.check(&Tag::new(TAG)?).await {
                eprintln!("warning: no help from this Redis ({error}): each process will call the API itself");
            }
            store.into_any()
        }
    })
}

/// Starts the API and all its callers. Fails if the API was not called once.
async fn demonstrate(options: &Options) -> Result<(), BoxError> {
    let api = Api::start(([127, 0, 0, 1], 0).into(), options.work).await?;
    // No request was for this one before, so that a Redis from an earlier run has no answer yet.
    let run = SystemTime::now().duration_since(UNIX_EPOCH)?.as_nanos();
    let url: Uri = format!("http://{}/rates/{run}", api.address).parse()?;
    let who = match options.redis {
        None => "clients in this process",
        Some(_) => "processes",
    };
    println!("{CALLERS} {who} call a slow API ({:?}) at once\n", options.work);
    match &options.redis {
        None => call_here(options, &url).await?,
        Some(redis) => call_elsewhere(options, &url, redis).await?,
    }
    let calls = api.calls();
    let noun = if calls == 1 { "call" } else { "calls" };
    println!("\n{CALLERS} {who}: {calls} {noun} of the API");
    match calls {
        1 => Ok(()),
        _ => Err("it should have been one call: they did not share".into()),
    }
}

async fn call_here(options: &Options, url: &Uri) -> Result<(), BoxError> {
    let store = store(options).await?;
    let call = || call::call(store.clone(), options, url);
    let outcomes = tokio::try_join!(call(), call(), call())?;
    for outcome in <[String; CALLERS]>::from(outcomes) {
        println!("{outcome}");
    }
    Ok(())
}

async fn call_elsewhere(options: &Options, url: &Uri, redis: &str) -> Result<(), BoxError> {
    let program = std::env::current_exe()?;
    let mut processes = Vec::new();
    for _ in 0..CALLERS {
        let mut command = Command::new(&program);
        command.args(["--call", &url.to_string(), "--redis", redis]);
        command.args(["--client", options.client.name()]);
        command.stdout(Stdio::piped()).kill_on_drop(true);
        processes.push(command.spawn()?);
    }
    for process in processes {
        let output = process.wait_with_output().await?;
        if !output.status.success() {
            return Err(format!("one of the processes ended with {}", output.status).into());
        }
        println!("{}", String::from_utf8_lossy(&output.stdout).trim_end());
    }
    Ok(())
}

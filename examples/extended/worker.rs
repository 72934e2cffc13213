//! A program that resolves a promise. It needs no more than a Redis client: any program in any language can be one.

use std::io;
use std::time::Duration;

use rust_stemmers::{Algorithm, Stemmer};
use tokio::process::Command;
use tower::BoxError;

use support::{eprintln, println};

/// How long a stem is kept, in milliseconds.
const KEPT: u64 = 10_000;

/// Starts a worker for `word` as a process of its own, and does not wait for it.
///
/// # Errors
///
/// Whatever keeps the process from starting.
pub(crate) fn start(word: &str, redis: &str) -> io::Result<()> {
    let mut worker = Command::new(std::env::current_exe()?)
        .args(["--worker", word])
        // Not an argument, because every user of this machine can read those, and there may be a password in it.
        .env("REDIS_URL", redis)
        .spawn()?;
    let id = worker.id().unwrap_or_default();
    println!("process {id} stems {word:?}");
    tokio::spawn(async move {
        match worker.wait().await {
            Ok(status) if status.success() => {}
            Ok(status) => eprintln!("process {id} did not come to a stem: {status}"),
            Err(error) => eprintln!("process {id}: {error}"),
        }
    });
    Ok(())
}

/// Stems `word` and tells all nodes.
///
/// # Errors
///
/// Whatever Redis says.
pub(crate) async fn stem(word: &str, redis: &str) -> Result<(), BoxError> {
    // Stands for the model that a better stemmer would have to load first.
    tokio::time::sleep(Duration::from_secs(2)).await;
    let stem = Stemmer::create(Algorithm::English)
        .stem(&word.to_lowercase())
        .into_owned();

    let client = redis::Client::open(redis)?;
    let mut connection = client.get_multiplexed_async_connection().await?;
    let mut resolve = redis::pipe();
    resolve.atomic();
    resolve
        .cmd("SET")
        .arg(format!("ext:{word}"))
        .arg(&stem)
        .arg("PX")
        .arg(KEPT);
    resolve.cmd("PUBLISH").arg(format!("ext/notif:{word}")).arg(&stem);
    resolve.exec_async(&mut connection).await?;
    Ok(())
}
